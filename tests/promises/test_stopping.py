"""A batch stops by itself where going on would only cost money, and goes on when it is told to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Bench

pytestmark = pytest.mark.slow

HANDLERS = """
import asyncio, os
from batchq import Halt

class Refused(Exception):
    status = 401

async def wrong_key(item):
    if not os.path.exists("key"):
        raise Refused("no such key")

async def held(item):
    while item["n"] > 200 and not os.path.exists("key") and not os.path.exists("stopped"):
        await asyncio.sleep(0.02)

async def every_third(item):
    await asyncio.sleep(0.01)
    await held(item)
    if item["n"] % 3 == 0 and not os.path.exists("key"):
        raise ValueError("cannot be divided")

async def late_outage(item):
    await asyncio.sleep(0.005)
    await held(item)
    if item["n"] > 60 and not os.path.exists("key"):
        raise Refused("the key has expired")

async def closed(item):
    await asyncio.sleep(0.01)
    await held(item)
    if item["n"] == 10 and not os.path.exists("key"):
        raise Halt("the account is closed")

async def overloaded(item):
    if item["n"] == 1 and not os.path.exists("slept"):
        open("slept", "w").close()
        error = Refused("slow down")
        error.status, error.headers = 429, {"Retry-After": "1"}
        raise error
    await asyncio.sleep(0.002)
"""

IN_FLIGHT = 5
"""What `start` has at a time, unless it is told otherwise."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "stopping.py").write_text(HANDLERS)
    made = Bench(tmp_path)
    made.write_input(400)
    return made


def start(bench: Bench, handler: str, *options: str) -> tuple[int, str]:
    target = f"stopping.py:{handler}"
    process = bench.begin("start", "input.jsonl", "--func", target, "--id", "b1", "--retry-attempts", "1", *options)
    bench.stops(process)
    (bench.folder / "stopped").touch()  # what is held may end: it was not quicker than whoever stops the batch
    stderr = process.communicate(timeout=120)[1]
    return process.returncode, stderr


def status(bench: Bench) -> dict[str, object]:
    found: dict[str, object] = json.loads(bench.run("status", "b1", "--json").stdout)
    return found


@pytest.mark.parametrize(
    "handler, reason, most", [("wrong_key", "first", 20 + IN_FLIGHT), ("late_outage", "items all failed alike", 340)]
)
def test_batch_in_which_everything_fails_pauses_and_goes_on_when_that_is_mended(
    bench: Bench, handler: str, reason: str, most: int
) -> None:
    code, said = start(bench, handler)
    assert (code, reason in said) == (3, True), said
    before = status(bench)
    assert before["state"] == "paused" and reason in str(before["reason"])
    assert int(str(before["failure_count"])) <= most
    (bench.folder / "key").touch()
    resumed = bench.run("resume", "b1", "-q")
    assert resumed.returncode == 1, resumed.stderr
    after = status(bench)
    assert (after["state"], after["processed_items"]) == ("completed", 400)
    assert after["failure_count"] == before["failure_count"], "nothing failed afterwards"
    assert bench.broken_invariants() == []


def test_breaker_can_be_turned_off(bench: Bench) -> None:
    code, _ = start(bench, "wrong_key", "--no-breaker")
    assert (code, status(bench)["failure_count"]) == (1, 400)


@pytest.mark.parametrize("limit, most", [("30", 30 + IN_FLIGHT), ("20%", 120)])
def test_batch_halts_at_its_limit_of_failures_and_resume_goes_on(bench: Bench, limit: str, most: int) -> None:
    code, said = start(bench, "every_third", "--halt", limit)
    assert (code, "limit" in said) == (3, True), said
    before = status(bench)
    assert before["state"] == "failed" and 10 <= int(str(before["failure_count"])) <= most
    (bench.folder / "key").touch()
    assert bench.run("resume", "b1", "-q").returncode == 1
    assert status(bench)["processed_items"] == 400
    assert bench.broken_invariants() == []


def test_handler_can_stop_the_batch_and_its_words_are_the_reason(bench: Bench) -> None:
    code, said = start(bench, "closed")
    assert (code, "the account is closed" in said) == (3, True)
    before = status(bench)
    assert (before["state"], before["reason"]) == ("failed", "the account is closed")
    (bench.folder / "key").touch()
    assert bench.run("resume", "b1", "-q").returncode == 1
    assert bench.run("retry", "b1", "-q").returncode == 0
    assert (status(bench)["success_count"], bench.broken_invariants()) == (400, [])


@pytest.mark.parametrize("text", ["0", "-3", "101%", "many", "5.5"])
def test_limit_that_is_none_is_refused_before_anything_is_stored(bench: Bench, text: str) -> None:
    code, said = start(bench, "closed", f"--halt={text}")
    assert (code, "halt" in said) == (2, True)
    assert not bench.home.exists() or not list(bench.home.iterdir())


def test_overload_holds_the_whole_batch_back(bench: Bench) -> None:
    done = bench.run(
        "start", "input.jsonl", "--func", "stopping.py:overloaded", "--id", "b1", "-c", "2", "-w", "2", "--json", "-q"
    )
    report = json.loads(done.stdout)
    assert (report["success_count"], report["retries"]) == (400, 1)
    assert report["total_duration"] >= 1.0, "no other item was begun while the server had asked for a second"
    assert "overload" in (bench.home / "b1" / "batch.log").read_text()
