"""A handler that never ends is recorded as timed out, and its neighbours lose nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Bench

pytestmark = pytest.mark.slow

HANDLERS = """
import asyncio, time
import ledger

async def swallows(item):
    ledger.note("start", item)
    while item["n"] == 7:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass
    await asyncio.sleep(0.02)

async def sleeps_in_the_loop(item):
    ledger.note("start", item)
    await asyncio.sleep(0.02)
    if item["n"] == 7:
        time.sleep(1e6)

async def spins(item):
    ledger.note("start", item)
    await asyncio.sleep(0.02)
    while item["n"] == 7:
        pass

async def spins_in_c(item):
    ledger.note("start", item)
    await asyncio.sleep(0.02)
    if item["n"] == 7:
        pow(7, 10**10)

def never_returns(item):
    ledger.note("start", item)
    if item["n"] == 7:
        time.sleep(1e6)
    time.sleep(0.02)
"""


@pytest.mark.parametrize(
    "handler, attempts",
    [("swallows", 2), ("sleeps_in_the_loop", 2), ("spins", 1), ("spins_in_c", 1), ("never_returns", 2)],
)
def test_handler_that_hangs_times_out_and_its_neighbours_lose_nothing(
    tmp_path: Path, handler: str, attempts: int
) -> None:
    (tmp_path / "hung.py").write_text(HANDLERS)
    bench = Bench(tmp_path)
    bench.write_input(60)
    options = ("--id", "b1", "-c", "6", "-w", "2", "--timeout", "1", "--retry-delay", "0.1", "--json", "-q")
    retry = ("--retry-attempts", str(attempts))
    done = bench.run("start", "input.jsonl", "--func", f"hung.py:{handler}", *options, *retry)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert (report["success_count"], report["failure_count"]) == (59, 1)
    failure = report["failures"][0]
    assert (failure["seq"], failure["error_type"], failure["error"]) == (7, "ItemTimeout", "Timeout after 1s")
    assert failure["attempts"] == attempts, "a timeout is tried again like any other failure"
    assert report["total_duration"] < 10 * attempts * (1 + 2), "within its timeout and two seconds, each time"
    assert bench.broken_invariants() == []
    outcomes = bench.outcomes()
    assert {n: count for n, (count, _) in outcomes.items()} == dict.fromkeys(range(1, 61), 1)
