"""``start --out`` over real processes: whatever dies, each outcome is one whole line of the file."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from command import Bench, ended, kill, members, wait_until_gone
from disks import small_disk
from waiting import wait_until

from batchq.store.written import WrittenStore

pytestmark = pytest.mark.slow

ITEMS = 1200
KILLS = 4
SPARE = 90
"""Items that may still end when enough are written: a kill may come late, and must find the batch at work."""
HANDLER = """
import asyncio, ledger

async def admitted(item):
    await asyncio.sleep(0.004)
    return await ledger.admitted(item)
"""
OPTIONS = ("--out", "out.jsonl", "-q", "-c", "8", "-w", "2")


def position(bench: Bench) -> tuple[int, int]:
    """(outcomes, bytes) that are noted as written."""
    if not bench.database.exists():
        return 0, 0
    with closing(WrittenStore(bench.database)) as store:
        found = store.position()
        return (found.number, found.size) if found else (0, 0)


def check_noted(bench: Bench, out: Path) -> int:
    """What is noted is there, in whole lines; how many outcomes."""
    number, size = position(bench)
    data = out.read_bytes() if out.exists() else b""
    assert len(data) >= size, "more is noted than was written"
    assert data[:size].count(b"\n") == number and (not size or data[size - 1 : size] == b"\n")
    return number


def check_whole(bench: Bench, out: Path) -> None:
    lines = [json.loads(line) for line in out.read_text().split("\n")[:-1]]
    assert sorted(line["seq"] for line in lines) == list(range(1, bench.items + 1)), "a line is missing or doubled"
    assert position(bench) == (bench.items, out.stat().st_size)
    followed = bench.run("results", "b1", "-f").stdout
    assert followed == out.read_text(), "the order is not that of the commits"


def test_file_has_each_outcome_once_whatever_is_killed_when(tmp_path: Path) -> None:
    rng = random.Random(7)
    bench = Bench(tmp_path)
    bench.write_input(ITEMS)
    out = tmp_path / "out.jsonl"
    (tmp_path / "mine.py").write_text(HANDLER)
    start = ("start", "input.jsonl", "--func", "mine.py:admitted", "--id", "b1", *OPTIONS)
    seen = [0]
    for number in range(KILLS):
        at = seen[-1] + rng.randint(1, ITEMS // (KILLS + 2))
        bench.admit(at + SPARE)
        process = bench.begin("resume", "b1", "-q") if number else bench.begin(*start)
        wait_until(lambda at=at: position(bench)[0] >= at)  # type: ignore[misc]
        kill(members(process.pid))
        ended(process)
        wait_until_gone(process.pid)
        seen.append(check_noted(bench, out))
    bench.admit(ITEMS)
    done = bench.run("resume", "b1", "-q")
    assert done.returncode == 0 and "anew" not in done.stderr, done.stderr
    assert seen == sorted(seen) and seen[-1] < ITEMS, f"nothing was left to kill: {seen}"
    check_whole(bench, out)


@pytest.mark.parametrize("point", ["written:1", "noted:1"])
def test_supervisor_that_dies_between_the_file_and_the_note_doubles_nothing(tmp_path: Path, point: str) -> None:
    bench = Bench(tmp_path)
    bench.write_input(150)
    out = tmp_path / "out.jsonl"
    witness = {"BATCHQ_PROBE": point, "BATCHQ_PROBE_WITNESS": str(tmp_path / "witness")}
    process = bench.start("waits", *OPTIONS, **witness)
    assert ended(process) == -9 and (tmp_path / "witness").exists()
    wait_until_gone(process.pid)
    size = position(bench)[1]
    assert (out.stat().st_size > size) == (point == "written:1")
    assert bench.run("resume", "b1", "-q").returncode == 0
    check_whole(bench, out)


def test_full_disk_of_the_file_stops_the_batch_in_words_and_loses_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(1500)
    (tmp_path / "other").mkdir()
    with small_disk(tmp_path / "other", 1) as disk:
        out = disk.home / "out.jsonl"
        (disk.home / "whole.csv").write_text("old\n")
        disk.use_up(leave=20_000)
        bench.admit(1000)  # more than there is room for
        process = bench.start("admitted", "--out", str(out), "-q", "-c", "8", "-w", "2")
        bench.stops(process)
        bench.admit(bench.items)
        stderr = process.communicate(timeout=120)[1]
        assert process.returncode == 74 and "Traceback" not in stderr, stderr
        assert f"cannot write {out}: No space left" in stderr and "batchq resume b1" in stderr
        before = check_noted(bench, out)
        assert before < len(bench.outcomes()) < bench.items

        disk.use_up()
        said = bench.run("results", "b1", "-o", str(disk.home / "whole.csv"))
        assert said.returncode == 74 and "whole.csv: No space left" in said.stderr, said.stderr
        assert (disk.home / "whole.csv").read_text() == "old\n" and not list(disk.home.glob(".*"))

        disk.ballast.unlink()
        done = bench.run("resume", "b1", "-q")
        assert done.returncode == 0 and "anew" not in done.stderr, done.stderr
        check_whole(bench, out)


def test_following_shows_what_still_comes_and_ends_with_the_batch(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(6)
    process = bench.start("held", "-q", "-c", "6", "-w", "1")
    wait_until(lambda: bench.ledger.exists() and bench.ledger.read_text().count("start") == 6)
    follower = bench.begin("results", "b1", "--follow", "--format", "csv")
    assert follower.stdout is not None
    assert follower.stdout.readline().startswith("seq,run,id,")
    (tmp_path / "gate").touch()
    rows = follower.communicate(timeout=60)[0].splitlines()
    assert sorted(row.split(",")[0] for row in rows) == ["1", "2", "3", "4", "5", "6"]
    assert ended(process) == 0 and follower.returncode == 0


def test_finished_batch_is_a_table_in_a_pipe_and_gets_its_file_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(3)
    out = tmp_path / "out.csv"
    assert ended(bench.start("waits", "--out", "out.csv", "-q")) == 0
    whole = out.read_text()
    assert len(whole.splitlines()) == 4
    pytest.importorskip("pyarrow")
    command = [sys.executable, "-m", "batchq", "results", "b1", "--format", "parquet", "--home", str(bench.home)]
    table = subprocess.run(command, env=bench.environment(PYTHONUNBUFFERED="1"), capture_output=True, timeout=120)
    assert (table.returncode, table.stderr) == (0, b"") and table.stdout[:4] == table.stdout[-4:] == b"PAR1"
    out.unlink()
    said = bench.run("resume", "b1")
    assert said.returncode == 0 and "anew" in said.stderr and "nothing left" in said.stderr
    assert out.read_text() == whole
