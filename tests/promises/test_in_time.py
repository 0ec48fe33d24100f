"""How soon a command is felt: pause by what would begin next, resume by the first item that begins again.

``ITEMS=1000000 pytest -s tests/promises/test_in_time.py`` tries a large batch; the figures are printed.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

import ledger
import pytest
from command import Bench, ended, kill, members, wait_until_gone
from waiting import wait_until

from batchq.store.batch import BatchReader

pytestmark = pytest.mark.slow

ITEMS = int(os.environ.get("ITEMS", "20000"))
PAUSE_SECONDS = 1.0
"""From the command to the last item that begins; asserted with tenfold allowance, as is the next."""
RESUME_SECONDS = 2.0
"""From the command to the first item that begins, whatever the size of the batch."""
FILL_SECONDS = 600.0
HANDLER = f"""
import asyncio, os

STAMP = os.environ["STAMP"]
began = False

async def nothing(item):
    global began
    if not began:
        began = True
        os.close(os.open(STAMP, os.O_WRONLY | os.O_CREAT))
    if item["n"] > {ITEMS} * 3 // 4:
        await asyncio.sleep(3600)  # so that it does not end before it is killed
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.write_input(ITEMS)
    return made


def test_pause_is_felt_at_once_and_leaves_no_process(bench: Bench) -> None:
    process = bench.start("waits", "-c", "4", "-w", "2", "-q")
    wait_until(lambda: len(ledger.read(bench.ledger)) > 100)
    since = time.time()
    assert bench.run("pause", "b1", "-q").returncode == 0
    assert ended(process) == 3
    wait_until_gone(process.pid)
    took, gone = bench.ledger.stat().st_mtime - since, time.time() - since
    print(f"\npause: nothing begins after {took:.2f} s, no process is left after {gone:.2f} s")
    assert took < 10 * PAUSE_SECONDS
    begun = sum(word == "start" for word, _ in ledger.read(bench.ledger))
    assert begun == len(bench.outcomes()) < bench.items, "all that had begun has ended, and there was more to do"


def test_resume_begins_at_once_however_much_is_done(bench: Bench) -> None:
    (bench.folder / "mine.py").write_text(HANDLER)
    first, again = bench.folder / "first", bench.folder / "again"
    start = ("start", "input.jsonl", "--func", "mine.py:nothing", "--id", "b1", "-q", "-c", "100", "-w", "2")
    process = bench.begin(*start, STAMP=str(first))
    wait_until(first.exists)
    with closing(BatchReader.open(bench.database)) as reader:
        wait_until(lambda: reader.progress().tally.done >= ITEMS // 2, FILL_SECONDS)
    kill(members(process.pid))
    ended(process)
    wait_until_gone(process.pid)
    since = time.monotonic()
    process = bench.begin("resume", "b1", "-q", STAMP=str(again))
    wait_until(again.exists)
    took = time.monotonic() - since
    cpu = sum(sum(each.cpu_times()[:2]) for each in members(process.pid))
    print(f"\nresume: the first of {ITEMS:,} items begins after {took:.2f} s, {cpu:.2f} s of them at work")
    kill(members(process.pid))
    ended(process)
    wait_until_gone(process.pid)
    assert took < 10 * RESUME_SECONDS
