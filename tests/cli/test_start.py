"""`batchq start` as a user meets it: what is refused, what it says, how it exits, what it leaves."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ledger
import pytest
from command import Bench, ended, wait_until_gone
from said import say
from waiting import wait_until

HANDLERS = """
import asyncio, time
from batchq import Permanent
def ok(item): return item["n"] * 10
def nothing(): pass
def some(item): return 1 / (item["n"] - 2)
async def both(item, ctx):
    return [ctx.item_id, ctx.seq, ctx.attempt, ctx.idempotency_key.endswith(f":{ctx.seq}"), ctx.resource]
async def same(item): return item
def prints(item): print("print-%d" % item["n"]); return item["n"]
def never(item): raise Permanent("no text")
async def slow(item): await asyncio.sleep(0.3); return 1
class pool:
    async def __aenter__(self): return "pool"
    async def __aexit__(self, *a): pass
class sticky:
    def __enter__(self): return 1
    def __exit__(self, *a): raise RuntimeError("cannot let go")
def exits(): raise SystemExit(3)
def broken_pool(): raise RuntimeError("no database")
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    (tmp_path / "broken.py").write_text("import nosuchthing\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit('no key')\n")
    made = Bench(tmp_path)
    made.write_input(3)
    return made


USER_ERRORS = {
    "no such file": (["nosuch.jsonl", "--func", "handlers:ok"], ["nosuch.jsonl", "no such file"]),
    "a near file": (["inputs.jsonl", "--func", "handlers:ok"], ["Did you mean input.jsonl?"]),
    "a folder": ([".", "--func", "handlers:ok"], ["folder"]),
    "no module": (["input.jsonl", "--func", "handles:ok"], ["handles", "Did you mean handlers?"]),
    "no function": (["input.jsonl", "--func", "handlers:okk"], ["okk", "Did you mean handlers:ok?"]),
    "no file of code": (["input.jsonl", "--func", "handler.py:ok"], ["handler.py", "handlers.py:ok"]),
    "no colon": (["input.jsonl", "--func", "handlers"], ["names no function"]),
    "no argument": (["input.jsonl", "--func", "handlers:nothing"], ["takes no argument"]),
    "import fails": (["input.jsonl", "--func", "broken:f"], ["nosuchthing"]),
    "import exits": (["input.jsonl", "--func", "leaves:f"], ["cannot use", "SystemExit: no key (leaves.py, line 2)"]),
    "file exits": (["input.jsonl", "--func", "leaves.py:f"], ["cannot use", "SystemExit: no key (leaves.py, line 2)"]),
    "value too many": (["input.jsonl", "--csv-types=1"], ["--csv-types", "`batchq start --help`"]),
    "not JSON": (["bad.jsonl", "--func", "handlers:ok"], ["bad.jsonl, line 1, column 7", "not JSON"]),
    "empty CSV": (["empty.csv", "--func", "handlers:ok"], ["empty.csv", "header"]),
    "unknown format": (["input.xyz", "--func", "handlers:ok"], ["--input-format"]),
    "id of strange letters": (["input.jsonl", "--func", "handlers:ok", "--id", "../x"], ["letters, digits"]),
    "no concurrency": (["input.jsonl", "--func", "handlers:ok", "-c", "0"], ["--concurrency"]),
    "half a slot": (["input.jsonl", "--func", "handlers:ok", "-c", "1.5"], ["--concurrency"]),
    "no number": (["input.jsonl", "--func", "handlers:ok", "--retry-delay", "nan"], ["--retry-delay"]),
    "negative": (["input.jsonl", "--func", "handlers:ok", "--retry-delay=-1"], ["--retry-delay"]),
    "infinite": (["input.jsonl", "--func", "handlers:ok", "--timeout", "inf"], ["--timeout"]),
    "attempts": (["input.jsonl", "--func", "handlers:ok", "--retry-attempts", "-3"], ["--retry-attempts"]),
    "unknown option": (["input.jsonl", "--func", "handlers:ok", "--fnuc"], ["--fnuc"]),
    "no setup": (["input.jsonl", "--func", "handlers:ok", "--setup", "handlers:poool"], ["handlers:pool"]),
}


@pytest.fixture
def here(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The bench, for commands that run in this process."""
    monkeypatch.chdir(bench.folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield bench
    for path in bench.folder.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.mark.parametrize("mistake", USER_ERRORS)
def test_mistake_is_told_in_a_line_with_what_to_do_and_leaves_nothing(
    here: Bench, mistake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here.folder / "bad.jsonl").write_text('{"a": oops}\n')
    (here.folder / "empty.csv").touch()
    (here.folder / "input.xyz").write_text("x\n")
    arguments, words = USER_ERRORS[mistake]
    said = say(capsys, here.home, "start", *arguments)
    assert (said.code, said.out) == (2, ""), said.err
    assert "Traceback" not in said.err
    assert all(word in said.err for word in words), said.err
    assert len(said.err.strip().splitlines()) <= 4, said.err
    assert not here.home.exists() or list(here.home.iterdir()) == []


def test_id_that_is_taken_is_refused_and_harms_nothing(bench: Bench) -> None:
    assert bench.run("start", "input.jsonl", "--func", "handlers:ok", "--id", "b1").returncode == 0
    again = bench.run("start", "input.jsonl", "--func", "handlers:ok", "--id", "b1")
    assert again.returncode == 2
    assert "b1" in again.stderr and "batchq resume b1" in again.stderr
    assert len(bench.outcomes()) == 3


def test_home_that_cannot_be_made_is_refused(bench: Bench) -> None:
    bench.home.write_text("a file where the folder would be")
    said = bench.run("start", "input.jsonl", "--func", "handlers:ok")
    assert said.returncode == 2
    assert "--home" in said.stderr and "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("name", "content"), [("e.jsonl", ""), ("b.jsonl", "\n\n"), ("h.csv", "id,text\n"), ("e.json", "[]")]
)
def test_input_without_items_is_a_finished_batch_of_none(bench: Bench, name: str, content: str) -> None:
    (bench.folder / name).write_text(content)
    said = bench.run("start", name, "--func", "handlers:ok", "--id", "b1")
    assert said.returncode == 0, said.stderr
    assert "0" in said.stdout + said.stderr
    for command in (["status", "b1"], ["results", "b1"], ["report", "b1", "--format", "csv"]):
        assert bench.run(*command).returncode == 0
    report = json.loads(bench.run("report", "b1", "--format", "json").stdout)
    assert (report["total_items"], report["state"]) == (0, "completed")


def test_bad_line_becomes_a_failed_item_that_names_it_and_the_rest_runs(bench: Bench) -> None:
    lines = [json.dumps({"n": n}) for n in range(1, 5001)]
    lines[3999] = '{"n": 4000,}'
    (bench.folder / "long.jsonl").write_text("\n".join(lines) + "\n")
    said = bench.run("start", "long.jsonl", "--func", "handlers:ok", "--id", "b1", "--json")
    assert said.returncode == 1
    report = json.loads(said.stdout)
    assert (report["success_count"], report["failure_count"], report["total_items"]) == (4999, 1, 5000)
    failed = json.loads(bench.run("results", "b1", "--only", "failed").stdout)
    assert (failed["seq"], failed["line"], failed["error_type"]) == (4000, 4000, "InvalidInput")
    assert "long.jsonl, line 4000" in failed["error"]
    assert bench.broken_invariants() == []


def test_exit_code_tells_whether_all_some_or_none_succeeded(bench: Bench) -> None:
    codes = [
        bench.run("start", "input.jsonl", "--func", f"handlers:{name}", "--retry-attempts", "1").returncode
        for name in ("ok", "some", "never")
    ]
    assert codes == [0, 1, 1]


def test_item_with_all_its_metadata_reaches_the_handler_and_comes_back(bench: Bench) -> None:
    record = {"id": "ünï-1", "text": "漢字 🙂", "meta": {"deep": [1, None, {"x": 1.5}], "e": ""}, "big": 2**60}
    (bench.folder / "one.jsonl").write_text(json.dumps(record, ensure_ascii=False) + "\n")
    assert bench.run("start", "one.jsonl", "--func", "handlers:same", "--id", "b1").returncode == 0
    row = json.loads(bench.run("results", "b1", "--with-input").stdout)
    assert row["result"] == record
    assert (row["id"], row["seq"], row["line"], row["status"]) == ("ünï-1", 1, 1, "success")


def test_context_and_setup_reach_the_handler(bench: Bench) -> None:
    said = bench.run("start", "input.jsonl", "--func", "handlers:both", "--setup", "handlers:pool", "--id", "b1")
    assert said.returncode == 0, said.stderr
    rows = [json.loads(line)["result"] for line in bench.run("results", "b1").stdout.splitlines()]
    assert rows == [[f"i{n}", n, 1, True, "pool"] for n in (1, 2, 3)]


def test_setup_that_fails_halts_the_batch_with_the_reason_and_keeps_the_items(bench: Bench) -> None:
    said = bench.run("start", "input.jsonl", "--func", "handlers:ok", "--setup", "handlers:broken_pool", "--id", "b1")
    assert said.returncode == 3
    assert "no database" in said.stderr + said.stdout and "Traceback" not in said.stderr
    text = (bench.folder / "handlers.py").read_text()
    (bench.folder / "handlers.py").write_text(text + "\nimport contextlib\nbroken_pool = contextlib.nullcontext\n")
    assert bench.run("resume", "b1").returncode == 0
    assert len(bench.outcomes()) == 3


def test_setup_that_exits_the_process_halts_the_batch_with_the_reason(bench: Bench) -> None:
    said = bench.run("start", "input.jsonl", "--func", "handlers:ok", "--setup", "handlers:exits", "--id", "b1")
    assert said.returncode == 3
    assert "SystemExit" in said.stderr and "Traceback" not in said.stderr
    assert json.loads(bench.run("status", "b1", "--json").stdout)["state"] == "failed"


def test_setup_that_cannot_be_left_changes_no_outcome_and_is_told_in_the_log(bench: Bench) -> None:
    said = bench.run("start", "input.jsonl", "--func", "handlers:ok", "--setup", "handlers:sticky", "--id", "b1")
    assert said.returncode == 0, said.stderr
    assert "cannot let go" in bench.run("log", "b1").stdout


def test_prints_of_handlers_go_to_the_log_and_data_alone_to_stdout(bench: Bench) -> None:
    said = bench.run("start", "input.jsonl", "--func", "handlers:prints", "--id", "b1", "--json")
    json.loads(said.stdout)
    assert "print-" not in said.stdout + said.stderr
    log = bench.run("log", "b1").stdout
    assert all(f"print-{n}" in log for n in (1, 2, 3))


def test_progress_outside_a_terminal_is_plain_lines(bench: Bench) -> None:
    said = bench.run("start", "input.jsonl", "--func", "handlers:slow", "--id", "b1")
    assert "\r" not in said.stderr and "\x1b" not in said.stderr
    assert "3 of 3" in said.stderr
    assert bench.run("start", "input.jsonl", "--func", "handlers:ok", "--id", "b2", "-q").stderr == ""


def test_terminal_shows_a_bar_even_when_it_does_not_know_its_size(bench: Bench) -> None:
    ours, theirs = pty.openpty()  # as in some containers: no columns, no rows
    command = [sys.executable, "-m", "batchq", "start", "input.jsonl", "--func", "handlers:slow", "--id", "b1"]
    environment = bench.environment(TERM="xterm", BATCHQ_HOME=str(bench.home))
    shown = b""
    with subprocess.Popen(command, cwd=bench.folder, env=environment, stdout=subprocess.DEVNULL, stderr=theirs) as run:
        os.close(theirs)
        with contextlib.suppress(OSError):  # the end of a pseudo terminal
            while block := os.read(ours, 4096):
                shown += block
    os.close(ours)
    assert run.returncode == 0
    assert b"%|" in shown and b"3/3" in shown.replace(b" ", b"")


def test_limit_and_standard_input(bench: Bench) -> None:
    assert bench.run("start", "input.jsonl", "--func", "handlers:ok", "--limit", "2", "--id", "b1").returncode == 0
    assert set(bench.outcomes()) == {1, 2}
    process = bench.begin("start", "-", "--input-format", "jsonl", "--func", f"{sys.prefix}/x.py:f")
    assert ended(process) == 2


def test_first_item_starts_while_the_input_is_still_open(bench: Bench) -> None:
    target = f"{Path(ledger.__file__)}:waits"
    process = bench.begin("start", "-", "--input-format", "jsonl", "--func", target, "--id", "b1", "-q", piped=True)
    assert process.stdin is not None
    process.stdin.write('{"n": 1}\n')
    process.stdin.flush()
    wait_until(lambda: set(bench.outcomes()) == {1})
    process.stdin.write('{"n": 2}\n')
    process.stdin.close()
    process.stdin = None
    assert ended(process) == 0
    assert set(bench.outcomes()) == {1, 2}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_lets_items_in_flight_finish_and_tells_how_to_go_on(bench: Bench, number: signal.Signals) -> None:
    bench.write_input(2000)
    process = bench.start("held", "-c", "4", "--grace", "60")
    wait_until(lambda: len(ledger.read(bench.ledger)) == 4)
    process.send_signal(number)
    bench.wait_until_told()
    (bench.folder / "gate").touch()
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == -number
    assert "batchq resume b1" in stderr and "Traceback" not in stderr
    wait_until_gone(process.pid)
    begun = {n for word, n in ledger.read(bench.ledger) if word == "start"}
    assert set(bench.outcomes()) == begun, "what was in flight was finished and recorded"
    assert json.loads(bench.run("status", "b1", "--json").stdout)["state"] == "interrupted"
    assert bench.run("resume", "b1", "-q").returncode == 0
    assert len([note for note in ledger.read(bench.ledger) if note[0] == "start"]) == 2000, "nothing ran twice"


def test_second_signal_abandons_what_is_in_flight(bench: Bench) -> None:
    process = bench.start("held", "-c", "2", "--grace", "600")
    wait_until(lambda: len(ledger.read(bench.ledger)) == 2)
    process.send_signal(signal.SIGINT)
    bench.wait_until_told()
    process.send_signal(signal.SIGINT)
    assert ended(process) == -signal.SIGINT
    assert bench.outcomes() == {}
    wait_until_gone(process.pid)
    (bench.folder / "gate").touch()
    assert bench.run("resume", "b1", "-q").returncode == 0


def test_cut_off_standard_input_is_gone_on_with_as_every_command_says(bench: Bench) -> None:
    target = f"{Path(ledger.__file__)}:waits"
    process = bench.begin("start", "-", "--input-format", "jsonl", "--func", target, "--id", "b1", piped=True)
    assert process.stdin is not None
    process.stdin.write('{"n": 1}\n')
    process.stdin.flush()
    wait_until(lambda: set(bench.outcomes()) == {1})
    process.send_signal(signal.SIGINT)
    wait_until(lambda: process.poll() is not None)  # `communicate` would close its input, and so end it
    _, stderr = process.communicate()
    advice = "batchq resume b1 --input-ended"
    assert advice in stderr
    assert advice in bench.run("status", "b1").stdout
    assert advice in bench.run("report", "b1").stdout
    refused = bench.run("resume", "b1")
    assert refused.returncode == 2
    assert advice in refused.stderr
    assert bench.run("resume", "b1", "--input-ended", "-q").returncode == 0


def test_resume_of_a_finished_batch_does_nothing_and_says_so(bench: Bench) -> None:
    bench.run("start", "input.jsonl", "--func", "handlers:some", "--retry-attempts", "1", "--id", "b1")
    again = bench.run("resume", "b1")
    assert again.returncode == 0
    assert "completed" in again.stderr + again.stdout
    assert all(count == 1 for count, _ in bench.outcomes().values())


@pytest.mark.parametrize("command", ["status", "resume", "results", "report", "log"])
def test_unknown_id_is_refused_with_nothing_on_stdout(bench: Bench, command: str) -> None:
    said = bench.run(command, "nosuch")
    assert (said.returncode, said.stdout) == (2, "")
    assert "nosuch" in said.stderr and "Traceback" not in said.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_reason_to_fail(bench: Bench, closed: str) -> None:
    """Else the batch's own file would be opened in their place."""
    bench.write_input(3)
    command = (
        f"{sys.executable} -m batchq start input.jsonl --func {ledger.__file__}:waits --id b1 --home home {closed}"
    )
    done = subprocess.run(["bash", "-c", command], cwd=bench.folder, env=bench.environment(), timeout=120)
    assert done.returncode == 0
    assert len(bench.outcomes()) == 3 and bench.broken_invariants() == []
