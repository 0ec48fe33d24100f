"""File descriptors used up: told in words that say how to have more, and no outcome is lost."""

from __future__ import annotations

import json
import re
import resource
from pathlib import Path

import ledger
import psutil
import pytest
from command import Bench, kill, wait_until_gone, workers
from disks import HANDLERS, run_limited
from waiting import wait_until

pytestmark = pytest.mark.slow

START = ("start", "input.jsonl", "--func", f"{HANDLERS}:leaks", "--id", "b1", "-q", "--retry-attempts", "1")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.write_input(300)
    return made


@pytest.mark.parametrize("files", [6, 8, 10, 40])
def test_batch_does_not_begin_with_too_few_and_the_advice_cures_it(bench: Bench, files: int) -> None:
    done = run_limited(bench, f"-n {files}", *START, "-w", "2")
    assert done.returncode == 2 and not done.stdout, done.stderr
    assert f"may open {files} files" in done.stderr and "Traceback" not in done.stderr
    assert not bench.database.parent.exists(), "a batch was half made"
    advised = re.search(r"`ulimit -n (\d+)`", done.stderr)
    assert advised, done.stderr
    bench.write_input(3)
    cured = run_limited(bench, f"-n {advised[1]}", *START, "-w", "2")
    assert cured.returncode == 0, cured.stderr


def test_least_that_is_asked_for_suffices(bench: Bench) -> None:
    refused = run_limited(bench, "-n 20", *START, "-w", "2").stderr
    least = re.search(r"needs (\d+)", refused)
    assert least, refused
    bench.write_input(3)
    assert run_limited(bench, f"-n {least[1]}", *START, "-w", "2").returncode == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A batch that has ended."""
    made = Bench(tmp_path_factory.mktemp("finished"))
    made.write_input(3)
    assert made.run(*START).returncode == 0
    return made


@pytest.mark.parametrize("files", [7, 8, 9, 10])
def test_looking_at_a_batch_with_too_few_never_advises_to_delete_it(finished: Bench, files: int) -> None:
    for verb in ("status", "results", "report", "check"):
        done = run_limited(finished, f"-n {files}", verb, "b1")
        assert "Traceback" not in done.stderr and "batchq rm" not in done.stderr, done.stderr
        assert done.returncode == 0 or "ulimit -n" in done.stderr, (verb, done.returncode, done.stderr)


def test_handler_that_leaks_them_fails_by_itself_and_no_outcome_is_lost(bench: Bench) -> None:
    bench.write_input(30_000)
    done = run_limited(bench, "-n 100", *START)
    assert done.returncode == 3 and "failed alike" in done.stderr, done.stderr
    outcomes = bench.outcomes()
    assert {n for _, n in ledger.read(bench.ledger)} <= set(outcomes), "an item that ran has no outcome"
    now = json.loads(bench.run("status", "b1", "--json").stdout)
    counts = (now["state"], now["processed_items"], now["attempts"], now["interruptions"])
    assert counts == ("paused", len(outcomes), len(outcomes), 0)
    assert {group["error_type"] for group in now["failure_groups"]} == {"OSError"}
    assert "Traceback" not in bench.run("log", "b1").stdout
    assert bench.broken_invariants() == []


def test_supervisor_that_has_used_them_up_stops_the_batch_in_words(bench: Bench) -> None:
    bench.write_input(20)
    process = bench.start("held", "-q", "-c", "4", "-w", "2")
    wait_until(lambda: len(ledger.read(bench.ledger)) == 4)
    supervisor = psutil.Process(process.pid)
    allowed = supervisor.num_fds() + 1
    supervisor.rlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    kill(workers(process.pid)[:1])  # it has to start another, and cannot
    (bench.folder / "gate").touch()
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 74, stderr
    assert "too many open files" in stderr and "ulimit -n" in stderr and "batchq resume b1" in stderr
    assert "cannot write" not in stderr and "Traceback" not in stderr
    wait_until_gone(process.pid)
    assert bench.run("resume", "b1", "-q").returncode == 0
    assert bench.outcomes() == {n: (1, n) for n in range(1, bench.items + 1)}
    assert bench.broken_invariants() == []
