"""What may not be shown is in the payload and nowhere else; payloads are in no log at all."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from command import Bench
from said import say

HANDLERS = """
import asyncio, logging, os, time

def run(item):
    if item["kind"] == "dies":
        os.abort()
    if item["kind"] == "hangs":
        time.sleep(60)
    raise ValueError(f"cannot use {item}")

async def speaks(item, ctx):
    print("asking with", item["key"])
    logging.getLogger("mine").warning("a mail to %s", item["user"]["mail"])
    ctx.log.info("the whole item: %r", item)
    asyncio.get_running_loop().create_task(afterwards(item["key"]))
    await asyncio.sleep(0)
    if item["kind"] == "halts":
        raise KeyError(item["key"])
    raise RuntimeError(f"no answer to {item}") from ValueError(item["user"]["mail"])

async def afterwards(key):
    raise OSError(f"nobody waits for {key}")
"""


def write_items(folder: Path, *kinds: str) -> Bench:
    (folder / "mine.py").write_text(HANDLERS)
    with (folder / "input.jsonl").open("w") as file:
        for kind in kinds:
            item = {"id": kind, "kind": kind, "key": f'ma"rk-{kind}\nß', "user": {"mail": f"{kind}@mark.example.org"}}
            file.write(json.dumps(item) + "\n")
        file.write('{"key": "mark-of-a-bad-line", oops\n')
    return Bench(folder)


def start(bench: Bench, handler: str, *options: str) -> str:
    """Run the batch to its end; what it printed."""
    said = bench.run(
        "start", "input.jsonl", "--func", f"mine:{handler}", "--id", "b1", "-w", "1", "--retry-attempts", "1",
        *options, TOKEN="mark-of-the-environment",
    )  # fmt: skip
    assert said.returncode == 1, said.stderr
    return said.stdout + said.stderr


def test_payloads_are_in_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = write_items(tmp_path, "fails", "dies", "hangs")
    start(bench, "run", "--timeout", "1")
    log = (bench.home / "b1" / "batch.log").read_text()
    assert "died (signal SIGABRT)" in log and "still runs after its timeout" in log
    assert "rk-" not in log and "mark" not in log
    rows = [json.loads(line) for line in say(capsys, bench.home, "results", "b1").out.splitlines()]
    assert [row["error_type"] for row in rows] == ["ValueError", "WorkerCrashed", "ItemTimeout", "InvalidInput"]
    assert 'ma"rk-fails' in rows[0]["error"], "nobody has asked to hide it"


def test_redacted_values_are_in_the_payloads_and_nowhere_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = write_items(tmp_path, "fails", "halts")
    shown = start(bench, "speaks", "--redact", "key,user.mail", "--redact", "nosuch")
    assert "no record has the field nosuch that --redact names" in shown
    log = (bench.home / "b1" / "batch.log").read_text()
    for said in (
        "asking with [redacted]",
        "a mail to [redacted]",
        "'key': '[redacted]'",
        "nobody waits for [redacted]",
    ):
        assert said in log
    shown += log
    for command in (
        ["show", "b1", "fails"], ["show", "b1", "halts", "--json"], ["show", "b1", "#3"], ["status", "b1", "--json"],
        ["show", "b1", "fails", "--payload"], ["results", "b1", "--with-input"], ["report", "b1", "--format", "json"],
        ["results", "b1", "--with-input", "--format", "csv"], ["report", "b1", "--format", "csv"],
    ):  # fmt: skip
        said = say(capsys, bench.home, *command)
        assert said.code == 0 and "[redacted]" in said.out, command
        shown += said.out
    with closing(sqlite3.connect(bench.database)) as connection:
        stored = [line for line in connection.iterdump() if not line.startswith('INSERT INTO "items"')]
    assert "rk-" not in shown and "mark" not in shown
    assert "rk-" not in "".join(stored) and "mark" not in "".join(stored)
    assert '"redact": ["key", "user.mail", "nosuch"]' in "".join(stored), "it holds for resume too"
