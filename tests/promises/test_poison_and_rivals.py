"""Items that kill their worker, rivals for one batch, and an input that changes meanwhile."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import ledger
import pytest
from command import Bench, ended, kill, members, wait_until_gone
from waiting import wait_until


@pytest.mark.parametrize("dies_of", ["SIGKILL", "SIGSEGV", "abort"])
def test_item_that_always_kills_its_worker_is_failed_and_all_others_succeed(dies_of: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(60)
    process = bench.start("dies", "-c", "6", "-w", "2", "--json", DIES_OF=dies_of)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 1, stderr
    report = json.loads(stdout)
    assert (report["success_count"], report["failure_count"]) == (59, 1)
    failed = json.loads(bench.run("results", "b1", "--only", "failed").stdout)
    assert failed["id"] == "i7"
    assert failed["error_type"] == "WorkerCrashed"
    assert ("SIGABRT" if dies_of == "abort" else dies_of) in failed["error"]
    starts = Counter(n for word, n in ledger.read(bench.ledger) if word == "start")
    assert starts[7] == 3, "once among others, twice alone"
    assert bench.broken_invariants() == []
    wait_until_gone(process.pid)


@pytest.mark.parametrize(
    ("count", "runs"),
    [
        (1, 4),  # the first death was among others: lost with the supervisor, it is an interruption like any other
        (2, 3),
        (3, 3),
    ],
)
def test_deaths_are_counted_once_though_the_supervisor_dies_while_it_counts(
    count: int, runs: int, tmp_path: Path
) -> None:
    bench = Bench(tmp_path)
    bench.write_input(20)
    witness = tmp_path / "witness"
    first = bench.start(
        "dies", "-c", "2", "-w", "2", "-q",
        DIES_OF="SIGKILL", BATCHQ_PROBE=f"taken-over:{count}", BATCHQ_PROBE_WITNESS=str(witness),
    )  # fmt: skip
    assert ended(first) == -signal.SIGKILL
    wait_until_gone(first.pid)
    assert bench.run("resume", "b1", "-q", DIES_OF="SIGKILL").returncode == 1
    starts = Counter(n for word, n in ledger.read(bench.ledger) if word == "start")
    assert starts[7] == runs
    failed = json.loads(bench.run("results", "b1", "--only", "failed").stdout)
    assert (failed["id"], failed["error_type"]) == ("i7", "WorkerCrashed")
    assert bench.broken_invariants() == []


def test_item_whose_worker_is_killed_once_succeeds(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(60)
    process = bench.start("dies_once", "-c", "6", "-w", "2", "-q")
    assert ended(process) == 0
    assert set(bench.outcomes()) == set(range(1, 61))


def test_only_one_of_two_rivals_gets_the_batch_and_the_other_names_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(8)
    first = bench.start("held", "-c", "4", "-q")
    wait_until(lambda: len(ledger.read(bench.ledger)) >= 4)
    refused = bench.run("resume", "b1")
    assert refused.returncode == 75
    assert "b1" in refused.stderr and str(first.pid) in refused.stderr and "since" in refused.stderr
    kill(members(first.pid))
    ended(first)
    rivals = [bench.begin("resume", "b1"), bench.begin("resume", "b1")]
    wait_until(lambda: any(rival.poll() is not None for rival in rivals))
    (tmp_path / "gate").touch()
    said = {rival.pid: rival.communicate(timeout=60)[1] for rival in rivals}
    codes = sorted(rival.returncode for rival in rivals)
    loser = next(rival for rival in rivals if rival.returncode == 75)
    winner = next(rival for rival in rivals if rival.returncode == 0)
    assert codes == [0, 75]
    assert str(winner.pid) in said[loser.pid]
    assert all(count == 1 for count, _ in bench.outcomes().values())


def test_input_that_changed_is_not_read_on_and_what_is_stored_still_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(300, pad=100_000)
    first = bench.start("waits", "-q", BATCHQ_PROBE="filling:3", BATCHQ_PROBE_WITNESS=str(tmp_path / "witness"))
    assert ended(first) == -signal.SIGKILL
    wait_until_gone(first.pid)
    stored = bench.stored()
    assert 0 < stored < 300
    text = (tmp_path / "input.jsonl").read_text()
    (tmp_path / "input.jsonl").write_text(text.replace('"n": 1,', '"n": 9,', 1))
    resumed = bench.run("resume", "b1")
    assert resumed.returncode == 3
    assert "changed" in resumed.stderr and "--ignore-changed-input" in resumed.stderr
    assert len(bench.outcomes()) == stored
    assert bench.run("resume", "b1", "--ignore-changed-input").returncode == 0
    assert set(bench.outcomes()) == set(range(1, 301))


def test_input_with_another_time_but_the_same_content_is_read_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(300, pad=100_000)
    first = bench.start("waits", "-q", BATCHQ_PROBE="filling:3", BATCHQ_PROBE_WITNESS=str(tmp_path / "witness"))
    assert ended(first) == -signal.SIGKILL
    wait_until_gone(first.pid)
    os.utime(tmp_path / "input.jsonl", (1, 1))
    assert bench.run("resume", "b1", "-q").returncode == 0
    assert set(bench.outcomes()) == set(range(1, 301))
