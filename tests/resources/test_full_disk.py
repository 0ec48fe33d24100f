"""A disk that is full stops the batch in words; nothing that ran is lost, and `resume` goes on when there is room."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import ledger
import pytest
from command import Bench, wait_until_gone
from disks import HANDLERS, SmallDisk, run_limited, small_disk
from hungry import LARGE
from waiting import wait_until

from batchq.store.connection import open_reader

pytestmark = pytest.mark.slow

MEGABYTES = 72
"""The reserve is an eighth of a disk at most, so here it has its full size."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path, MEGABYTES) as bench:
        yield bench


def starts(bench: Bench) -> Counter[int]:
    return Counter(n for word, n in ledger.read(bench.ledger) if word == "start")


def check_halted(bench: Bench, process: subprocess.Popen[str], word: str = "the disk of") -> None:
    """It has ended by itself, in one message that says what to do, with all that ran in its file."""
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 74, stderr
    wait_until_gone(process.pid)
    assert bench.run("wait", "b1").returncode == 74, "whoever waits for it is told the same"
    said = [line for line in stderr.splitlines() if word in line]
    assert len(said) == 1 and str(bench.home) in said[0] and "space" in said[0], stderr
    assert "Traceback" not in stderr and "batchq resume b1" in stderr
    status = bench.run("status", "b1", "--json")
    assert status.returncode == 0, "status works while the disk is full: " + status.stderr
    now = json.loads(status.stdout)
    assert (now["state"], word in now["reason"]) == ("failed", True)
    assert now["success_count"] == len(starts(bench)), "an item that ran has no outcome"
    assert now["failure_count"] == 0
    log = (bench.home / "b1" / "batch.log").read_text()
    assert log.count("cannot write") <= 10 and "Traceback" not in log
    with closing(open_reader(bench.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def check_done(bench: Bench) -> None:
    done = bench.run("resume", "b1", "-q")
    assert done.returncode == 0, done.stderr
    outcomes = bench.outcomes()
    assert set(outcomes) == set(range(1, bench.items + 1))
    assert {number for number, _ in outcomes.values()} == {1}, "an item has two outcomes"
    assert bench.broken_invariants() == []
    assert not (bench.home / "b1" / "reserve").exists(), "a batch that has ended takes no room in reserve"


def test_batch_that_fills_the_disk_stops_and_goes_on_when_there_is_room(disk: SmallDisk) -> None:
    disk.write_input(1300)
    check_halted(disk, disk.begin_hungry("large", "-q"))
    again = disk.run("resume", "b1", "-q")
    assert again.returncode == 74 and str(disk.home) in again.stderr and "Traceback" not in again.stderr
    assert f"batchq resume b1 --home {disk.home}" in again.stderr
    disk.resize(400)
    check_done(disk)
    assert set(starts(disk).values()) == {1}, "an item that had run was run again"
    assert {len(result) for _, result in disk.outcomes().values()} == {LARGE}


def test_batch_survives_that_somebody_else_fills_the_disk(disk: SmallDisk) -> None:
    disk.write_input(1000)
    disk.admit(200)
    process = disk.start("admitted", "-q")
    wait_until(lambda: len(starts(disk)) > 100)
    disk.use_up()
    disk.admit(disk.items)
    check_halted(disk, process)
    disk.ballast.unlink()
    check_done(disk)
    assert set(starts(disk).values()) == {1}


def test_items_in_flight_when_the_disk_fills_up_are_stored(disk: SmallDisk) -> None:
    disk.write_input(60)
    process = disk.begin_hungry("held_large", "-q", "-c", "50")
    wait_until(lambda: len(starts(disk)) == 50)
    disk.use_up()
    (disk.folder / "gate").touch()
    check_halted(disk, process)
    disk.ballast.unlink()
    check_done(disk)
    assert set(starts(disk).values()) == {1}, "the reserve was there for them"


def test_input_that_does_not_fit_on_the_disk_is_read_on_where_it_was(disk: SmallDisk) -> None:
    disk.write_input(1200, pad=100_000)
    check_halted(disk, disk.begin_hungry("small", "-q"))
    assert 0 < disk.stored() < disk.items
    disk.resize(500)
    check_done(disk)
    assert set(starts(disk).values()) == {1}


def test_log_that_cannot_be_written_fails_no_item(disk: SmallDisk) -> None:
    disk.write_input(2000)
    process = disk.begin_hungry("talks", "-q")
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 74 and "Traceback" not in stderr, stderr
    disk.resize(400)
    check_done(disk)
    assert json.loads(disk.run("status", "b1", "--json").stdout)["failure_count"] == 0


def test_batch_does_not_begin_on_a_full_disk(disk: SmallDisk) -> None:
    disk.write_input(5)
    disk.use_up()
    process = disk.begin_hungry("small")
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 2, stderr
    assert str(disk.home) in stderr and "disk" in stderr and "Traceback" not in stderr
    assert not (disk.home / "b1").exists() and starts(disk) == {}


def test_limit_of_the_size_of_a_file_is_told_apart(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(400)
    done = run_limited(
        bench, "-f 6000", "start", "input.jsonl", "--func", f"{HANDLERS}:large", "--id", "b1", "--chunk-size", "10"
    )
    assert done.returncode == 74, done.stderr
    assert "ulimit -f" in done.stderr and str(bench.home) in done.stderr and "Traceback" not in done.stderr
    assert bench.run("status", "b1").returncode == 0
    check_done(bench)
