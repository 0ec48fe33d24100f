"""Steering a batch from another terminal: pause, cancel, retry, wait, rm, prune, check."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import ledger
import pytest
from command import Bench, ended, wait_until_gone
from said import say
from waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def state(bench: Bench) -> str:
    found: dict[str, Any] = json.loads(bench.run("status", "b1", "--json").stdout)
    return str(found["state"])


def starts(bench: Bench) -> int:
    return sum(word == "start" for word, _ in ledger.read(bench.ledger))


def running(bench: Bench, *options: str) -> Any:
    """A batch of which four items are in flight, held at a gate."""
    bench.write_input(40)
    process = bench.start("held", "-c", "4", "-w", "2", "-q", *options)
    wait_until(lambda: starts(bench) == 4)
    return process


def open_gate_when_told(bench: Bench) -> None:
    """Let what is in flight end once no worker begins anything more."""
    bench.wait_until_told()
    (bench.folder / "gate").touch()


def test_paused_batch_begins_nothing_finishes_what_is_in_flight_and_ends_its_process(bench: Bench) -> None:
    process = running(bench)
    assert bench.run("pause", "b1").returncode == 0
    assert state(bench) == "pausing"
    open_gate_when_told(bench)
    assert ended(process) == 3
    wait_until_gone(process.pid)
    assert (state(bench), starts(bench), len(bench.outcomes())) == ("paused", 4, 4)
    assert bench.broken_invariants() == []
    assert bench.run("resume", "b1", "-q").returncode == 0
    assert (state(bench), len(bench.outcomes())) == ("completed", 40)


def test_pause_that_waits_returns_when_nothing_is_in_flight(bench: Bench) -> None:
    process = running(bench)
    waiting = bench.begin("pause", "b1", "--wait")
    wait_until(lambda: state(bench) == "pausing")
    assert waiting.poll() is None
    open_gate_when_told(bench)
    assert ended(waiting) == 0
    assert state(bench) == "paused"
    ended(process)


def test_pausing_batch_that_is_resumed_goes_on_in_its_own_process(bench: Bench) -> None:
    process = running(bench)
    bench.run("pause", "b1")
    wait_until(lambda: "pausing" in bench.run("status", "b1").stdout)
    resumed = bench.run("resume", "b1")
    assert (resumed.returncode, f"process {process.pid}" in resumed.stderr) == (0, True), resumed.stderr
    (bench.folder / "gate").touch()
    assert ended(process) == 0
    assert (state(bench), len(bench.outcomes())) == ("completed", 40)


def test_pause_holds_when_the_process_is_killed_meanwhile(bench: Bench) -> None:
    process = running(bench)
    bench.run("pause", "b1")
    process.kill()
    ended(process)
    assert state(bench) == "paused"
    (bench.folder / "gate").touch()
    wait_until_gone(process.pid)
    assert bench.run("resume", "b1", "-q").returncode == 0
    assert len(bench.outcomes()) == 40


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_verb_that_is_given_twice_says_so_and_succeeds(bench: Bench, verb: str) -> None:
    process = running(bench)
    options = ["--yes"] if verb == "cancel" else []
    bench.run(verb, "b1", *options)
    twice = bench.run(verb, "b1", *options)
    assert (twice.returncode, f"{verb}" in twice.stderr or "pausing" in twice.stderr) == (0, True)
    open_gate_when_told(bench)
    assert ended(process) == 3
    again = bench.run(verb, "b1", *options)
    assert again.returncode == 0
    assert ("paused" if verb == "pause" else "cancelled") in again.stderr


def test_cancelled_batch_keeps_what_is_recorded_and_never_runs_the_rest(bench: Bench) -> None:
    process = running(bench)
    assert bench.run("cancel", "b1").returncode == 2, "without a terminal it wants to hear --yes"
    assert state(bench) == "running"
    assert bench.run("cancel", "b1", "--yes").returncode == 0
    open_gate_when_told(bench)
    assert ended(process) == 3
    assert (state(bench), len(bench.outcomes())) == ("cancelled", 4)
    for verb in ("resume", "pause"):
        assert bench.run(verb, "b1").returncode == 0
    assert bench.run("retry", "b1").returncode == 2
    assert (state(bench), starts(bench)) == ("cancelled", 4)


def test_waiting_for_a_batch_ends_with_its_exit_code(bench: Bench) -> None:
    process = running(bench)
    waiting = bench.begin("wait", "b1")
    (bench.folder / "gate").touch()
    assert (ended(process), ended(waiting)) == (0, 0)
    assert bench.run("wait", "b1").returncode == 0
    assert bench.run("wait", "nosuch").returncode == 2


def test_retry_runs_what_failed_and_nothing_else_and_keeps_the_history(bench: Bench) -> None:
    bench.write_input(12)
    (bench.folder / "mends.py").write_text(
        "import os, ledger\n"
        "def work(item):\n"
        "    ledger.note('start', item)\n"
        "    if item['n'] % 3 == 0 and not os.path.exists('mended'):\n"
        "        raise (TimeoutError if item['n'] == 3 else ValueError)(item['n'])\n"
    )
    options = ("--func", "mends.py:work", "--id", "b1", "-q", "--retry-attempts", "1")
    assert bench.run("start", "input.jsonl", *options).returncode == 1
    (bench.folder / "mended").touch()
    assert bench.run("retry", "b1", "--error", "^TimeoutError", "-q").returncode == 1
    assert starts(bench) == 13
    assert bench.run("retry", "b1", "--item", "#6", "--item", "i7", "-q").returncode == 1
    assert starts(bench) == 14
    assert bench.run("retry", "b1", "--error", "(", "-q").returncode == 2
    assert bench.run("retry", "b1", "-q").returncode == 0
    assert starts(bench) == 16
    nothing = bench.run("retry", "b1", "--json")
    assert (nothing.returncode, "no failed item" in nothing.stderr) == (0, True)
    report = json.loads(nothing.stdout)
    assert (report["success_count"], report["failure_count"], report["attempts"]) == (12, 0, 16)
    assert bench.broken_invariants() == []


def test_batch_that_runs_cannot_be_deleted_and_one_that_has_ended_can(bench: Bench) -> None:
    process = running(bench)
    refused = bench.run("rm", "b1", "--yes")
    assert (refused.returncode, str(process.pid) in refused.stderr) == (75, True)
    assert "`batchq pause b1 --wait --home " in refused.stderr
    (bench.folder / "gate").touch()
    ended(process)
    assert bench.run("rm", "b1").returncode == 2
    assert (bench.home / "b1").exists()
    assert bench.run("rm", "b1", "nosuch", "--yes").returncode == 2
    assert (bench.home / "b1").exists(), "all of them or none"
    assert bench.run("rm", "b1", "--yes").returncode == 0
    assert not (bench.home / "b1").exists()


def test_prune_deletes_what_ended_long_ago(bench: Bench) -> None:
    bench.write_input(3)
    ended(bench.start("waits", "-q"))
    assert bench.run("prune", "--older-than", "1d", "--yes").returncode == 0
    assert (bench.home / "b1").exists()
    assert bench.run("prune", "--older-than", "0s").returncode == 2
    assert bench.run("prune", "--older-than", "a week", "--yes").returncode == 2
    assert bench.run("prune", "--older-than", "0s", "--yes").returncode == 0
    assert not (bench.home / "b1").exists()


@pytest.fixture(scope="module")
def paused(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A batch that was paused when four items were in flight."""
    made = Bench(tmp_path_factory.mktemp("paused"))
    process = running(made)
    made.run("pause", "b1")
    open_gate_when_told(made)
    assert ended(process) == 3
    return made


def spoil(bench: Bench, statement: str) -> None:
    with closing(sqlite3.connect(bench.database)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tally SET success = success - 1",
        "UPDATE tally SET duration_us = duration_us + 5",
        "DELETE FROM ack_queue_chunks",
        "DELETE FROM latency",
        "UPDATE batch SET input_records = 3",
        "INSERT INTO ack_queue_chunks (data, status, first_seq, last_seq) VALUES ('[1, 40]', 1, 1, 40)",
    ],
)
def test_counts_and_queue_that_are_wrong_are_found_and_mended_from_the_items(
    paused: Bench, bench: Bench, statement: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(paused.folder, bench.folder, dirs_exist_ok=True)
    assert say(capsys, bench.home, "check", "b1").code == 0
    spoil(bench, statement)
    found = say(capsys, bench.home, "check", "b1")
    assert (found.code, "--repair" in found.err) == (1, True)
    mended = say(capsys, bench.home, "check", "b1", "--repair", "--json")
    assert (mended.code, json.loads(mended.out)["mended"]) == (0, True)
    assert bench.run("resume", "b1", "-q").returncode == 0
    assert (len(bench.outcomes()), bench.broken_invariants()) == (40, [])


def test_batch_that_runs_is_not_mended(bench: Bench) -> None:
    process = running(bench)
    assert bench.run("check", "b1").returncode == 0
    assert bench.run("check", "b1", "--repair").returncode == 75
    (bench.folder / "gate").touch()
    assert ended(process) == 0
