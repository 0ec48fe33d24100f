"""A command for each item (--exec): its result, its failures, and that nothing of it outlives its worker."""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from command import Bench, ended, kill, members, workers
from said import say
from waiting import wait_until

SCRIPT = r"""#!/bin/sh
# How it is to end is its first argument; the item's own text its second.
echo "begins $BATCHQ_ITEM_ID" >&2
case $1 in
    text) printf '%s\n' "$2" ;;
    stdin) cat ;;
    none) exec true ;;
    env) echo "[\"$BATCHQ_ITEM_ID\", \"$BATCHQ_BATCH_ID\", \"$BATCHQ_ATTEMPT\", \"$BATCHQ_IDEMPOTENCY_KEY\", \"${BATCHQ_TOKEN-unset}\"]" ;;
    big) head -c 3000000 /dev/zero | tr '\0' x ;;
    endless) exec yes ;;
    binary) printf 'a\377' ;;
    fails) echo "no such $2" >&2; exit 3 ;;
    final) echo "wrong usage" >&2; exit 64 ;;
    killed) kill -SEGV $$ ;;
    hangs) trap '' TERM; (trap '' TERM; sleep 300) & echo $! > "$PIDS/$2"; sleep 300 ;;
esac
"""  # noqa: E501
HOSTILE = "a  b'\"; touch broken; $(touch broken) `touch broken` \\ *\n"
KINDS = ["text", "stdin", "none", "env", "big", "endless", "binary", "fails", "final", "killed", "hangs"]


def write(folder: Path, script: str, items: list[dict[str, Any]]) -> Bench:
    (folder / "run.sh").write_text(script)
    (folder / "run.sh").chmod(0o755)
    (folder / "input.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return Bench(folder)


def lives(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def is_ended(pid: int) -> bool:
    """Whether a process comes to its end, which one that was killed may do a moment later."""
    wait_until(lambda: not lives(pid), 30)
    return True


def number_in(path: Path) -> int:
    """The number that a file holds, once it does."""
    wait_until(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


def done(capsys: pytest.CaptureFixture[str], bench: Bench) -> int:
    """Items that have an outcome."""
    return int(json.loads(say(capsys, bench.home, "status", "b1", "--json").out)["processed_items"])


def test_what_a_command_writes_and_how_it_ends_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items: list[dict[str, Any]] = [{"id": kind, "kind": kind, "text": HOSTILE} for kind in KINDS]
    items[KINDS.index("none")]["pad"] = "x" * 200_000  # more than a pipe takes of what nobody reads
    items[KINDS.index("hangs")]["text"] = "pid"
    items += [{"id": "without", "kind": "text"}, {"id": "nul", "kind": "text", "text": "a\0b"}]
    bench = write(tmp_path, SCRIPT, items)
    process = bench.begin(
        "start", "input.jsonl", "--exec", "./run.sh {kind} {text}", "--id", "b1", "-w", "1", "-c", "20",
        "--retry-attempts", "2", "--retry-delay", "0.01", "--timeout", "0", "--no-retry-exit", "2",
        "--no-retry-exit", "64-78", "--no-retry", "ItemTimeout", "--max-output", "4M", "--no-breaker",
        PIDS=str(tmp_path), BATCHQ_TOKEN="s3cret",
    )  # fmt: skip
    # Whatever takes its time on a busy machine has it; what hangs is timed out when all the others have ended.
    hanging = number_in(tmp_path / "pid")
    wait_until(lambda: done(capsys, bench) == len(items) - 1)
    assert say(capsys, bench.home, "set", "b1", "--timeout", "1.5").code == 0
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 1, stderr
    told = {row["id"]: row for row in map(json.loads, say(capsys, bench.home, "results", "b1").out.splitlines())}
    results = {name: row.get("result") for name, row in told.items() if row["status"] == "success"}
    assert results["text"] == HOSTILE and not (tmp_path / "broken").exists()
    assert results["stdin"] == items[1] and results["none"] is None and results["big"] == "x" * 3_000_000
    assert results["env"][:3] == ["env", "b1", "1"] and results["env"][4] == "unset"
    assert re.fullmatch(r"[0-9a-f-]{36}:4", results["env"][3])
    failed = {name: (row["attempts"], row["error"]) for name, row in told.items() if row["status"] == "failed"}
    assert failed == {
        "endless": (1, "it has written more than 4,194,304 bytes on standard output (--max-output): begins endless"),
        "binary": (1, "standard output is not UTF-8 text, from byte 2 on; what is no text can go through `base64`"),
        "fails": (2, f"exit code 3: no such {HOSTILE.strip()}"),
        "final": (1, "exit code 64: wrong usage"),
        "killed": (2, "killed by SIGSEGV: begins killed"),
        "hangs": (1, "Timeout after 1.5s"),
        "without": (1, "--exec: item has no field 'text'; it has id, kind"),
        "nul": (1, "--exec: field 'text' has a NUL character, which no argument can hold"),
    }  # fmt: skip
    assert is_ended(hanging), "what the command had started outlived its timeout"
    log = say(capsys, bench.home, "log", "b1").out
    assert re.search(r" fails batchq\.item: no such a  b", log) and " final batchq.item: wrong usage" in log
    shown = say(capsys, bench.home, "show", "b1", "fails").out
    assert "  begins fails\n  no such a  b" in shown
    assert "ItemTimeout: Timeout after 1.5s\n  begins hangs" in say(capsys, bench.home, "show", "b1", "hangs").out
    assert json.loads(say(capsys, bench.home, "report", "b1", "--json").out)["config"]["work"]["kind"] == "exec"


ONCE = r"""#!/bin/sh
# The first time it leaves something behind that would go on for ever; afterwards it looks whether that still runs.
if [ -e pid ]; then
    ps -o stat= -p "$(cat pid)" | grep -q '^[^Z]' && echo beside || echo alone
else
    setsid sh -c 'echo $$ > pid.new; mv pid.new pid; exec sleep 300' &
    sleep 300
fi
"""


def test_nothing_of_a_command_outlives_a_worker_that_is_killed(tmp_path: Path) -> None:
    bench = write(tmp_path, ONCE, [{"id": "i1", "n": 1}])
    supervisor = bench.begin("start", "input.jsonl", "--exec", "./run.sh", "--id", "b1", "-q")
    left = number_in(tmp_path / "pid")
    kill([worker for worker in workers(supervisor.pid) if os.getsid(worker.pid) == supervisor.pid])
    assert ended(supervisor) == 0
    assert bench.outcomes() == {1: (1, "alone")} and is_ended(left)


def test_ctrl_z_suspends_a_command_and_nothing_of_it_outlives_the_grace_after_ctrl_c(tmp_path: Path) -> None:
    bench = write(tmp_path, ONCE, [{"id": "i1", "n": 1}])
    supervisor = bench.begin("start", "input.jsonl", "--exec", "./run.sh", "--id", "b1", "-q", "--grace", "0.2")
    left = number_in(tmp_path / "pid")
    supervisor.send_signal(signal.SIGTSTP)
    # The supervisor stops last, by itself; a signal to go on that comes before would be lost.
    for pid in (left, supervisor.pid):
        wait_until(lambda pid=pid: psutil.Process(pid).status() == psutil.STATUS_STOPPED)  # type: ignore[misc]
    supervisor.send_signal(signal.SIGCONT)
    wait_until(lambda: psutil.Process(left).status() == psutil.STATUS_SLEEPING)
    supervisor.send_signal(signal.SIGINT)
    assert ended(supervisor) == -signal.SIGINT
    assert bench.outcomes() == {} and is_ended(left)


def test_what_was_killed_with_all_of_batchq_is_ended_before_its_item_runs_again(tmp_path: Path) -> None:
    bench = write(tmp_path, ONCE, [{"id": "i1", "n": 1}])
    supervisor = bench.begin("start", "input.jsonl", "--exec", "./run.sh", "--id", "b1", "-q")
    left = number_in(tmp_path / "pid")
    kill(members(supervisor.pid))
    ended(supervisor)
    assert lives(left), "it has a session of its own"
    assert bench.run("resume", "b1", "-q").returncode == 0
    assert bench.outcomes() == {1: (1, "alone")} and is_ended(left)


def test_a_trial_shows_the_command_line_and_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "input.jsonl").write_text('{"id": "a1", "text": "a b"}\n')
    source = str(tmp_path / "input.jsonl")
    said = say(capsys, tmp_path / "home", "try", source, "--exec", "sh -c 'echo oh >&2; echo 5' {text}")
    assert said.code == 0 and "sh -c 'echo oh >&2; echo 5' 'a b'" in said.out and "batchq.item: oh" in said.out
    told = json.loads(say(capsys, tmp_path / "home", "try", source, "--exec", "echo 05", "--json").out)
    assert told["items"][0]["result"] == "05"
    told = json.loads(say(capsys, tmp_path / "home", "try", source, "--exec", "echo 7e12345", "--json").out)
    assert told["items"][0]["result"] == "7e12345", "no float holds that number"
    said = say(
        capsys, tmp_path / "home", "try", source, "--exec", "echo 05", "--stdout", "json", "--retry-attempts", "1"
    )
    assert said.code == 1 and "standard output is not JSON" in said.out
    piped = say(capsys, tmp_path / "home", "try", source, "--shell", "--exec", "echo {text} | tr a-z A-Z", "--json")
    assert json.loads(piped.out)["items"][0]["result"] == "A B"


@pytest.mark.parametrize(
    "options, said",
    [
        (("--exec", "nosuchcommand {id}"), "there is no command 'nosuchcommand'"),
        (("--exec", "./nosuch.sh {id}"), "there is no command './nosuch.sh'"),
        (("--exec", f"{__file__} {{id}}"), "test_exec.py' is not executable"),
        (("--exec", "echo 'a"), "no closing quotation in: echo 'a"),
        (("--exec", "echo '{id}'", "--shell"), "{id} stands between single quotes"),
        (("--exec", "true", "--func", "a:b"), "--func and --exec exclude each other"),
        (("--exec", "true", "--no-retry-exit", "0"), "--no-retry-exit must be an exit code"),
        (("--exec", "true", "--max-output", "much"), "--max-output must be"),
        (("--func", "a:b", "--max-output", "1M"), "--max-output is of use with --exec only"),
        (("--func", "a:b", "--shell"), "--shell is of use with --exec only"),
        ((), "Name a function with --func, or use --exec"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    (tmp_path / "input.jsonl").write_text('{"id": "a1"}\n')
    told = say(capsys, tmp_path / "home", "start", str(tmp_path / "input.jsonl"), *options)
    assert told.code == 2 and said in told.err
    assert not list(tmp_path.glob("home/*"))
