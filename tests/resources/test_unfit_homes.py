"""A home that cannot be written, that cannot lock or cannot keep a log is refused before anything is stored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import LEDGER_FILE, Bench
from disks import SmallDisk, small_disk
from lesser import lesser_file_system

from batchq.store.home import BatchFolder

pytestmark = pytest.mark.slow

START = ("start", "input.jsonl", "--func", f"{LEDGER_FILE}:waits", "-q")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.write_input(5)
    return made


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path, 40) as bench:
        bench.write_input(5)
        yield bench


def check_refused(bench: Bench, reason: str, **environment: str) -> None:
    done = bench.run(*START, "--id", "b2", **environment)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert str(bench.home) in done.stderr and reason in done.stderr and "--home" in done.stderr
    assert len(done.stderr.splitlines()) == 2 and "Traceback" not in done.stderr
    assert not (bench.home / "b2").exists(), "a batch was half made"


def test_disk_that_was_mounted_read_only_is_refused_and_its_batches_can_be_read(disk: SmallDisk) -> None:
    assert disk.run(*START, "--id", "b1").returncode == 0
    disk.read_only(True)
    check_refused(disk, "Read-only file system")
    for verb in ("status", "results", "report", "log"):
        done = disk.run(verb, "b1")
        assert (done.returncode, done.stderr) == (0, "") and done.stdout, (verb, done.stderr)
    assert "b1" in disk.run("status").stdout
    for arguments in (["pause", "b1"], ["set", "b1", "-c", "3"], ["retry", "b1"], ["rm", "b1", "--yes"]):
        done = disk.run(*arguments)
        assert done.returncode == 74 and "Read-only file system" in done.stderr, (arguments, done.stderr)
        assert str(disk.home) in done.stderr and len(done.stderr.splitlines()) == 2
    disk.read_only(False)
    assert disk.run("rm", "b1", "--yes").returncode == 0


def test_folder_that_may_not_be_written_is_refused(bench: Bench) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write to every folder")
    bench.home.mkdir(mode=0o500)
    check_refused(bench, "Permission denied")


def test_file_in_the_place_of_a_home_is_refused(bench: Bench) -> None:
    bench.home.touch()
    check_refused(bench, "a file stands in its place")


def test_home_on_a_file_system_without_locks_is_refused(bench: Bench) -> None:
    unfit = {"LD_PRELOAD": lesser_file_system(bench.folder), "NO_LOCKS_UNDER": str(bench.home)}
    check_refused(bench, "cannot lock files", **unfit)
    told = bench.run("doctor", **unfit)
    assert told.returncode == 2 and "No locks available" in told.stdout
    assert bench.run(*START, "--id", "b2").returncode == 0, "it was the locks alone"
    assert not BatchFolder(bench.home / "b2").lock.is_held()


def test_home_on_a_file_system_that_cannot_keep_a_log_is_refused(bench: Bench) -> None:
    unfit = {"LD_PRELOAD": lesser_file_system(bench.folder), "NO_SHARED_MAPS_UNDER": str(bench.home)}
    check_refused(bench, "cannot keep a write-ahead log", **unfit)
    told = bench.run("doctor", **unfit)
    assert told.returncode == 2 and "write-ahead log" in told.stdout
    assert bench.run(*START, "--id", "b2").returncode == 0, "it was the maps alone"
