"""Workers that are killed again and again cost their items a repetition, and the supervisor nothing.

``KILLS=200 pytest -s tests/promises/test_many_kills.py`` tries more of them and prints what the supervisor holds.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import ledger
import psutil
import pytest
from command import Bench, ended, kill, wait_until_gone, workers
from waiting import wait_until

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", "16"))
EARLY = KILLS // 4
"""After so many kills the supervisor holds what it should hold at the end too."""
ITEMS_A_KILL = 100
CRASH_ATTEMPTS = 2
"""Deaths alone in quarantine that are an item's own."""
HANDLER = f"""
import asyncio, os
from ledger import note

async def harmless(item):
    note("start", item)
    while not os.path.exists(os.environ["GATE"]):
        await asyncio.sleep(0.05)
        if item["n"] < {KILLS * ITEMS_A_KILL * 3 // 4}:
            break  # the others stay: there is something in flight until the last kill
    return item["n"]
"""
SPARE_MB = 24


def holds(process: psutil.Process) -> tuple[int, int, float]:
    """Descriptors, threads and megabytes of a process."""
    return process.num_fds(), process.num_threads(), process.memory_info().rss / 1e6


def at_work(session: int) -> list[psutil.Process]:
    """Workers that have come as far as claiming items."""
    found = []
    for worker in workers(session):
        try:
            if any(file.path.endswith("batch.db") for file in worker.open_files()):
                found.append(worker)
        except psutil.Error:
            continue
    return found


def test_batch_whose_workers_are_killed_again_and_again_ends_well(tmp_path: Path) -> None:
    rng = random.Random(1)
    bench = Bench(tmp_path)
    bench.write_input(ITEMS_A_KILL * KILLS)
    (tmp_path / "mine.py").write_text(HANDLER)
    options = ("--id", "b1", "-q", "-c", "4", "-w", "2")
    process = bench.begin("start", "input.jsonl", "--func", "mine.py:harmless", *options)
    supervisor = psutil.Process(process.pid)
    held = []
    for number in range(1, KILLS + 1):
        before = len(ledger.read(bench.ledger))
        wait_until(lambda before=before: len(ledger.read(bench.ledger)) > before and at_work(process.pid))
        assert process.poll() is None, process.communicate()
        if number in (EARLY, KILLS):
            wait_until(lambda: len(at_work(process.pid)) == 2)
            held.append(holds(supervisor))
        found = at_work(process.pid)  # asked once: it may end meanwhile
        kill(rng.sample(found, 1) if found else [])
    (tmp_path / "gate").touch()
    code = ended(process)
    wait_until_gone(process.pid)
    print(f"\nafter {EARLY} and {KILLS} kills: {held} (descriptors, threads, MB)")
    early, late = held
    assert late[0] <= early[0] + 8 and late[1] <= early[1] + 4, "a worker's worth may be in motion, and no more"
    assert late[2] <= early[2] + SPARE_MB

    outcomes = bench.outcomes()
    assert set(outcomes) == set(range(1, bench.items + 1)), "an item is lost"
    assert {count for count, _ in outcomes.values()} == {1}, "an item has two outcomes"
    starts = Counter(n for word, n in ledger.read(bench.ledger) if word == "start")
    blamed = {n for n, (_, result) in outcomes.items() if result is None}
    assert code == (1 if blamed else 0)
    # One death among others makes it a suspect; only those that it dies alone are its own.
    assert all(starts[n] > CRASH_ATTEMPTS for n in blamed), f"innocents are blamed: {blamed}"
    failed = bench.run("results", "b1", "--only", "failed").stdout
    assert failed.count("WorkerCrashed") == failed.count("\n") == len(blamed)
    assert bench.broken_invariants() == []
