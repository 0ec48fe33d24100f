"""Signals: those that ask a batch to stop, the one that must stay ignored, and being suspended."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import ledger
import psutil
import pytest
from command import Bench, ended, kill, members, wait_until_gone, workers
from waiting import wait_until

from batchq.engine.board import Board

pytestmark = pytest.mark.slow

SLOTS = 5
TIMEOUT = 3.0
"""Seconds: much more than an item of these tests takes while nothing is suspended, and less than the suspension."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.write_input(20)
    return made


def begin(bench: Bench, *options: str) -> subprocess.Popen[str]:
    """A batch of which the first items are in flight, until the gate opens."""
    process = bench.start("held", "-c", str(SLOTS), "-w", "2", *options)
    wait_until(lambda: len(ledger.read(bench.ledger)) == SLOTS)
    return process


def begin_and_suspend(
    bench: Bench, suspend: Callable[[list[psutil.Process]], None]
) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A batch that stands still before its first items have been in flight for `TIMEOUT`, and its processes."""
    for _ in range(5):
        process = bench.start("held", "-c", str(SLOTS), "-w", "2", "-q", "--timeout", str(TIMEOUT))
        idle = time.monotonic()

        def all_begun() -> bool:
            nonlocal idle
            now, begun = time.monotonic(), len(ledger.read(bench.ledger))
            idle = idle if begun else now
            return begun >= SLOTS

        wait_until(all_begun)
        everyone = [psutil.Process(process.pid), *workers(process.pid)]
        suspend(everyone)
        wait_until(lambda everyone=everyone: is_suspended(everyone))  # type: ignore[misc]
        if time.monotonic() - idle < 0.75 * TIMEOUT:
            return process, everyone
        kill(members(process.pid))  # the machine stood still itself: some may have timed out already
        ended(process)
        shutil.rmtree(bench.home)
        bench.ledger.unlink()
    raise AssertionError("this machine is too slow")


def open_gate(bench: Bench) -> None:
    (bench.folder / "gate").touch()


def check_each_ran_once(bench: Bench) -> None:
    now = json.loads(bench.run("status", "b1", "--json").stdout)
    counts = (now["state"], now["success_count"], now["attempts"], now["interruptions"])
    assert counts == ("completed", bench.items, bench.items, 0)
    assert sorted(n for word, n in ledger.read(bench.ledger) if word == "start") == list(range(1, bench.items + 1))
    assert bench.broken_invariants() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_lets_what_is_in_flight_finish_and_ends_the_batch_by_itself(
    bench: Bench, number: signal.Signals
) -> None:
    bench.write_input(2000)
    process = begin(bench)
    process.send_signal(number)
    wait_until(lambda: Board(bench.database.with_name("board")).place(0).stop)
    open_gate(bench)
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == -number and "batchq resume b1" in stderr, stderr
    wait_until_gone(process.pid)
    begun = sum(word == "start" for word, _ in ledger.read(bench.ledger))
    assert SLOTS <= begun == len(bench.outcomes()) < bench.items, "what had begun has ended, and it did stop"
    assert bench.run("resume", "b1", "-q").returncode == 0
    check_each_ran_once(bench)


def test_batch_under_nohup_outlives_its_terminal(bench: Bench) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does; the command inherits it
    try:
        process = begin(bench, "-q")
    finally:
        signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    open_gate(bench)
    assert ended(process) == 0
    check_each_ran_once(bench)


def is_suspended(processes: list[psutil.Process]) -> bool:
    return all(process.status() == psutil.STATUS_STOPPED for process in processes)


def let_time_pass(seconds: float) -> None:
    """Time itself is what happens here."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > until)


def test_ctrl_z_suspends_the_workers_too_and_charges_no_item(bench: Bench) -> None:
    process, _ = begin_and_suspend(bench, lambda everyone: everyone[0].send_signal(signal.SIGTSTP))
    open_gate(bench)
    let_time_pass(TIMEOUT + 1.5)
    assert len(ledger.read(bench.ledger)) == SLOTS, "nothing goes on while it is suspended"
    process.send_signal(signal.SIGCONT)
    assert ended(process) == 0
    check_each_ran_once(bench)


def test_machine_that_sleeps_charges_no_item(bench: Bench) -> None:
    def suspend(everyone: list[psutil.Process]) -> None:
        for each in everyone:
            each.suspend()

    process, everyone = begin_and_suspend(bench, suspend)
    open_gate(bench)
    let_time_pass(TIMEOUT + 1.5)
    for each in everyone:
        each.resume()
    assert ended(process) == 0
    check_each_ran_once(bench)
