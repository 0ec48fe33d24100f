"""`status --watch`: what somebody sees who looks on, on a terminal and elsewhere, and when it leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import ledger
import pytest
from command import Bench, ended
from terminal import CTRL_C, Terminal
from waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def running(bench: Bench, *options: str) -> subprocess.Popen[str]:
    """A batch of which four items are in flight, held at a gate."""
    bench.write_input(40)
    process = bench.start("held", "-c", "4", "-w", "2", "-q", *options)
    wait_until(lambda: sum(word == "start" for word, _ in ledger.read(bench.ledger)) == 4)
    return process


def open_gate(bench: Bench) -> None:
    (bench.folder / "gate").touch()


def watch_on_terminal(bench: Bench, *arguments: str, size: tuple[int, int] = (24, 80)) -> Terminal:
    command = [sys.executable, "-m", "batchq", "status", *arguments, "--watch", "--home", str(bench.home)]
    return Terminal(command, bench.folder, bench.environment(), size)


def test_terminal_is_redrawn_in_place_until_the_batch_ends(bench: Bench) -> None:
    process = running(bench)
    terminal = watch_on_terminal(bench, "b1", "--interval", "0.1")
    wait_until(lambda: terminal.shown.count(b"b1: running") >= 3 and b"in flight 4: i1, i2, i3, i4" in terminal.shown)
    screen = terminal.shown.decode()
    assert "0 of 40 done (0%)" in screen
    assert "300 s a try, 3 tries" in screen
    lines = screen.split("\033[J")[0].count("\n")
    assert f"\033[{lines}A\r" in screen  # back to where the first screen began
    open_gate(bench)
    assert ended(process) == 0
    assert terminal.ended() == 0
    last = terminal.shown.decode().rsplit("\r\033[?7l", 1)[1]
    assert "b1: completed" in last and "40 of 40 done (100%)" in last
    assert last.rstrip().endswith("\033[?7h")  # the terminal wraps lines again


def test_screen_is_never_higher_than_the_terminal(bench: Bench) -> None:
    process = running(bench)
    terminal = watch_on_terminal(bench, "b1", "--interval", "0.1", size=(4, 40))
    wait_until(lambda: terminal.shown.count(b"b1: running") >= 2)
    open_gate(bench)
    ended(process)
    assert terminal.ended() == 0
    assert all(screen.count("\n") <= 3 for screen in terminal.shown.decode().split("\033[?7h"))


def test_ctrl_c_ends_the_watch_quietly_and_not_the_batch(bench: Bench) -> None:
    process = running(bench)
    terminal = watch_on_terminal(bench, "b1")
    wait_until(lambda: b"b1: running" in terminal.shown)
    terminal.type(CTRL_C)
    assert terminal.ended() == -signal.SIGINT
    assert b"Traceback" not in terminal.shown and b"batchq:" not in terminal.shown
    assert process.poll() is None
    open_gate(bench)
    assert ended(process) == 0


def test_elsewhere_a_plain_line_each_interval_and_the_end_is_not_waited_for(bench: Bench) -> None:
    process = running(bench)
    brief = bench.begin("status", "b1", "--watch", "--interval", "0.1")
    assert brief.stdout is not None
    assert [brief.stdout.readline() for _ in range(3)] == ["b1: running, 0 of 40 done (0%)\n"] * 3
    patient = bench.begin("status", "b1", "--watch", "--interval", "3600")
    assert patient.stdout is not None
    first = patient.stdout.readline()
    open_gate(bench)
    assert ended(process) == 0
    rest, said = patient.communicate(timeout=120)
    assert (patient.returncode, said) == (0, "")
    assert [first, *rest.splitlines()] == ["b1: running, 0 of 40 done (0%)\n", "b1: completed, 40 of 40 done (100%)"]
    lines, said = brief.communicate(timeout=120)
    assert (brief.returncode, said) == (0, "")
    assert "\033" not in lines and lines.endswith("b1: completed, 40 of 40 done (100%)\n")


def test_json_is_an_object_a_line(bench: Bench) -> None:
    process = running(bench)
    watch = bench.begin("status", "b1", "--watch", "--json", "--interval", "3600")
    assert watch.stdout is not None
    first: dict[str, Any] = json.loads(watch.stdout.readline())
    assert (first["schema"], first["state"], first["in_flight"]) == (1, "running", 4)
    assert first["running"] == ["i1", "i2", "i3", "i4"]
    open_gate(bench)
    ended(process)
    last: dict[str, Any] = json.loads(watch.communicate(timeout=120)[0])
    assert (last["state"], last["processed_items"], last["in_flight"]) == ("completed", 40, 0)


def test_rate_is_that_of_the_last_seconds_and_failures_are_named(bench: Bench) -> None:
    (bench.folder / "mine.py").write_text(
        "import os, time\n"
        "def fails(item):\n"
        "    time.sleep(0.05)\n"
        "    while item['n'] > 20 and not os.path.exists(os.environ['GATE']): time.sleep(0.01)\n"
        "    raise ValueError('no text in item')\n"
    )
    bench.write_input(24)
    process = bench.begin(
        "start", "input.jsonl", "--func", "mine:fails", "--id", "b1", "-c", "2", "--retry-attempts", "1",
        "--no-breaker",
    )  # fmt: skip
    wait_until(bench.database.exists)
    watch = bench.begin("status", "b1", "--watch", "--json", "--interval", "0.1")
    assert watch.stdout is not None
    rates = []
    for line in watch.stdout:
        look = json.loads(line)
        rates.append(look["items_per_second"])
        if look["processed_items"] == 20 and look["failure_groups"]:
            break
    assert any(rates), "some items per second"
    told = {"error_type": "ValueError", "error": "no text in item", "failed": 20}
    assert [{key: group[key] for key in told} for group in look["failure_groups"]] == [told]
    plain = bench.begin("status", "b1", "--watch", "--interval", "3600")
    assert plain.stdout is not None
    line = plain.stdout.readline()
    assert "20 failed" in line and "ValueError: no text in item (20)" in line
    open_gate(bench)
    assert [ended(each) for each in (process, watch, plain)] == [1, 0, 0]


def test_watch_of_a_paused_batch_ends_at_once_with_what_to_do(bench: Bench) -> None:
    process = running(bench)
    watch = bench.begin("status", "--watch", "--interval", "3600")
    assert watch.stdout is not None
    assert "b1: running" in watch.stdout.readline()
    assert bench.run("pause", "b1").returncode == 0
    bench.wait_until_told()
    open_gate(bench)
    assert ended(process) == 3
    assert watch.communicate(timeout=120)[0] == "b1: paused, 4 of 40 done (10%)\n"
    terminal = watch_on_terminal(bench, "b1")
    assert terminal.ended() == 0
    assert b"batchq resume b1" in terminal.shown


@pytest.mark.parametrize(
    "options, words",
    [
        (["--watch", "--interval", "0"], "--interval must be a number from 0.1"),
        (["--watch", "--interval", "nan"], "--interval must be a number from 0.1"),
        (["--interval", "1"], "--watch"),
        (["nosuch", "--watch"], "no batch 'nosuch'"),
    ],
)
def test_mistakes_are_told_in_a_line(bench: Bench, options: list[str], words: str) -> None:
    said = bench.run("status", *options)
    assert (said.returncode, said.stdout) == (2, "")
    assert words in said.stderr and "Traceback" not in said.stderr


def test_home_without_batches_ends_the_watch(bench: Bench) -> None:
    said = bench.run("status", "--watch", "--json")
    assert said.returncode == 0
    assert json.loads(said.stdout) == {"schema": 1, "home": str(bench.home), "batches": []}
