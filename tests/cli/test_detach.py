"""A detached batch runs on without the terminal that it was started in."""

from __future__ import annotations

import json
import os
from pathlib import Path

import ledger
import psutil
import pytest
from command import LEDGER_FILE, Bench, ended, kill, members
from waiting import wait_until

pytestmark = pytest.mark.slow

WAITS = f"{LEDGER_FILE}:held"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.write_input(20)
    return made


def starts(bench: Bench) -> int:
    return sum(word == "start" for word, _ in ledger.read(bench.ledger))


def test_detached_batch_survives_the_session_that_started_it(bench: Bench) -> None:
    starting = bench.begin("start", "input.jsonl", "--func", WAITS, "--id", "b1", "-d", "--json")
    told, _ = starting.communicate(timeout=120)
    batch = json.loads(told)
    assert (starting.returncode, batch["batch_id"]) == (0, "b1")
    assert os.getsid(batch["pid"]) == batch["pid"] != starting.pid, "it leads a session of its own"
    kill(members(starting.pid))
    wait_until(lambda: starts(bench) == 5)
    waiting = bench.begin("wait", "b1")
    (bench.folder / "gate").touch()
    assert ended(waiting) == 0
    assert len(bench.outcomes()) == 20
    wait_until(lambda: not psutil.pid_exists(batch["pid"]))
    assert "supervising batch b1" in bench.run("log", "b1").stdout


def test_only_the_id_is_told_on_standard_output(bench: Bench) -> None:
    (bench.folder / "gate").touch()
    done = bench.run("start", "input.jsonl", "--func", WAITS, "-d", "-q")
    batch_id = done.stdout.strip()
    assert (done.returncode, done.stderr) == (0, "")
    assert bench.run("wait", batch_id, "-q").returncode == 0
    assert bench.run("resume", batch_id, "-d").returncode == 0


def test_what_is_wrong_is_told_before_anything_is_detached(bench: Bench) -> None:
    done = bench.run("start", "input.jsonl", "--func", f"{LEDGER_FILE}:nosuch", "-d")
    assert (done.returncode, "nosuch" in done.stderr, done.stdout) == (2, True, "")
    assert not bench.home.exists()


def test_standard_input_is_read_by_the_detached_process(bench: Bench) -> None:
    (bench.folder / "gate").touch()
    arguments = ("start", "-", "--input-format", "jsonl", "--func", WAITS, "--id", "b1", "-d")
    process = bench.begin(*arguments, piped=True)
    process.communicate((bench.folder / "input.jsonl").read_text(), timeout=120)
    assert process.returncode == 0
    assert bench.run("wait", "b1", "-q").returncode == 0
    assert len(bench.outcomes()) == 20


def test_interrupted_batch_can_be_resumed_detached(bench: Bench) -> None:
    process = bench.start("held", "-q")
    wait_until(lambda: starts(bench) == 5)
    kill(members(process.pid))
    ended(process)
    (bench.folder / "gate").touch()
    assert bench.run("resume", "b1", "-d").stdout == "b1\n"
    assert bench.run("wait", "b1", "-q").returncode == 0
    assert (len(bench.outcomes()), bench.broken_invariants()) == (20, [])
