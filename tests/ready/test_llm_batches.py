"""Whole batches of `--llm` against a server in trouble: every item right, the rate kept, nothing paid in vain.

``scripts/llm-load`` does the same with 2,000 items and tells the figures.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import (
    BUSY,
    HALF,
    OK,
    SILENCE,
    TROUBLES,
    UNFIT,
    Call,
    ChatServer,
    always,
    begun_while_held,
    most_in,
    troubled,
)
from command import Bench, ended, kill, members, wait_until_gone
from said import say
from waiting import wait_until

pytestmark = pytest.mark.slow

ITEMS = 300
SLOTS = 30
RATE, PERIOD = 240, 2.0
HOLD = 2.0
SLACK = 1.05
LATE = 0.5
"""A tenth of a second is promised; on a busy machine calls that are on their way when it stands still come later."""
AT_ONCE = 20


@pytest.fixture(scope="module")
def listening() -> Iterator[ChatServer]:
    with ChatServer().listening() as server:
        yield server


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return Bench(tmp_path)


def start(bench: Bench, server: ChatServer, *options: str) -> list[str]:
    prompt = "Write a title for: {n}"
    return [
        "start",
        "input.jsonl",
        "--llm",
        prompt,
        "--model",
        "small",
        "--base-url",
        server.url,
        "--id",
        "b1",
        *options,
    ]


def titles(bench: Bench) -> dict[str, Any]:
    """By id, the results of all that succeeded."""
    rows = map(json.loads, bench.run("results", "b1").stdout.splitlines())
    return {row["id"]: row["result"] for row in rows if row["status"] == "success"}


def right(bench: Bench) -> dict[str, str]:
    return {f"i{n}": f"About {n}" for n in range(1, bench.items + 1)}


def test_every_item_is_right_although_a_fifth_of_the_calls_fails_and_no_limit_is_overstepped(
    bench: Bench, listening: ChatServer
) -> None:
    others = troubled(0.2, (*(how for how in TROUBLES if how != BUSY), UNFIT))
    once = threading.Event()

    def script(call: Call) -> str:
        if call.prompt.endswith(": 100") and not once.is_set():
            once.set()
            return BUSY
        return others(call)

    listening.reset(script, retry_after=str(HOLD))
    bench.write_input(ITEMS)
    (bench.folder / "schema.json").write_text('{"type": "object", "required": ["title"]}')
    limits = ["-c", str(SLOTS), "-w", "2", "--rate", f"{RATE}/{PERIOD:g}s", "--timeout", "1.5", "--retry-delay", "0.2"]
    done = bench.run(*start(bench, listening, *limits, "--schema", "schema.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert titles(bench) == {item_id: {"title": title} for item_id, title in right(bench).items()}

    calls = listening.calls
    assert {call.how for call in calls} == {OK, *TROUBLES, UNFIT}
    assert most_in([call.at for call in calls], PERIOD) <= RATE * SLACK + SLOTS
    assert len([since for since in begun_while_held(calls, HOLD) if since > LATE]) <= SLOTS


def test_kill_in_the_middle_repeats_no_more_calls_than_were_in_flight(bench: Bench, listening: ChatServer) -> None:
    # The last ones are not answered before the kill, however late that comes.
    listening.reset(lambda call: OK if len(listening.calls) < 160 else SILENCE, seconds=0.1)
    bench.write_input(200)
    killed_at = random.Random(7).randrange(50, 150)
    (bench.folder / "prices.json").write_text(json.dumps({"small": {"input": 1, "output": 10}}))
    limits = ["-c", str(AT_ONCE), "-w", "2", "--prices", "prices.json", "--budget", "usd=100"]
    process = bench.begin(*start(bench, listening, *limits), "-q")
    wait_until(lambda: len(listening.calls) >= killed_at)
    kill(members(process.pid))
    wait_until_gone(process.pid)
    ended(process)
    assert len(listening.calls) < 200

    listening.script = always()
    done = bench.run("resume", "b1")
    assert done.returncode == 0, done.stderr
    assert titles(bench) == right(bench)
    paid = listening.paid
    assert len(paid) == 200
    assert sum(paid.values()) - 200 <= AT_ONCE
    spent = json.loads(bench.run("status", "b1", "--json").stdout)["spent"]
    assert spent["calls"] == pytest.approx(len(listening.calls), abs=AT_ONCE)
    # What was in flight counts with its estimate, which is more than any answer has cost.
    assert spent["usd"] >= len(listening.calls) * (30 * 1 + 12 * 10) / 1e6


def test_a_batch_file_runs_unchanged_and_its_results_are_what_a_batch_service_writes(
    bench: Bench, listening: ChatServer
) -> None:
    listening.reset(lambda call: HALF if call.prompt == "half" else OK, headers={"x-request-id": "r-1"})
    path = bench.folder / "batch.jsonl"
    with path.open("w") as file:
        for name in ("tea", "half"):
            body = {"model": "small", "messages": [{"role": "user", "content": name}]}
            record = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(record) + "\n")
    options = ["--base-url", listening.url, "--id", "b1", "--retry-attempts", "1"]
    assert (
        bench.run("start", "batch.jsonl", "--llm-batch", *options, OPENAI_API_KEY="sk-hidden-0123456").returncode == 1
    )
    good, bad = map(json.loads, bench.run("results", "b1", "--format", "openai").stdout.splitlines())
    assert (good["custom_id"], good["error"]) == ("tea", None)
    assert (good["response"]["status_code"], good["response"]["request_id"]) == (200, "r-1")
    assert good["response"]["body"]["choices"][0]["message"]["content"] == "About tea"
    assert (bad["custom_id"], bad["response"], bad["error"]["code"]) == ("half", None, "NoAnswer")

    kept = [each for each in bench.home.rglob("*") if each.is_file()]
    assert kept
    assert not [each for each in kept if b"sk-hidden" in each.read_bytes()]
    refused = bench.run("retry", "b1")
    assert refused.returncode == 2
    assert "OPENAI_API_KEY" in refused.stderr


def test_what_a_later_stage_has_made_of_a_response_is_none(
    bench: Bench, listening: ChatServer, capsys: pytest.CaptureFixture[str]
) -> None:
    listening.reset(always())
    body = {"model": "small", "messages": [{"role": "user", "content": "tea"}]}
    (bench.folder / "batch.jsonl").write_text(
        json.dumps({"custom_id": "c1", "url": "/v1/chat/completions", "body": body})
    )
    (bench.folder / "later.py").write_text("def length(response):\n    return len(response)\n")
    options = ["--base-url", listening.url, "--then", "later.py:length", "--id", "b1", "-w", "1"]
    assert bench.run("start", "batch.jsonl", "--llm-batch", *options).returncode == 0
    refused = say(capsys, bench.home, "results", "b1", "--format", "openai")
    assert refused.code == 2 and "--stage 1" in refused.err
    line = json.loads(say(capsys, bench.home, "results", "b1", "--format", "openai", "--stage", "1").out)
    assert line["custom_id"] == "c1" and line["response"]["status_code"] == 200
