"""`batchq try`: a few items in the foreground, with all that happens; nothing is stored."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from said import Said, say
from waiting import wait_until

HANDLERS = """
import asyncio, contextlib, logging, os, threading, time

class Client:
    name = "the client"

@contextlib.contextmanager
def client():
    yield Client()

def broken():
    raise OSError("no such server")

async def title(item, ctx):
    print("asking for", item["n"])
    logging.getLogger("mine").warning("slow")
    ctx.log.info("attempt %d", ctx.attempt)
    await ctx.spend(tokens=5)
    if item["n"] == 2 and ctx.attempt < 3:
        raise ConnectionError("refused")
    return [ctx.batch_id, ctx.item_id, ctx.seq, ctx.idempotency_key, getattr(ctx.resource, "name", None)]

def lock(item): return threading.Lock()
def nothing(item): return ""
def fails(item):
    try:
        {}["topic"]
    except KeyError as error:
        raise ValueError(f"bad {item['n']}") from error
def hangs(item): time.sleep(60)
def halts(item):
    from batchq import Halt
    raise Halt("the account is closed")
def shouts(item):
    os.system("echo from a process")
    print("from Python")
    return item["n"]
async def waits(item):
    open("began", "w").close()
    await asyncio.sleep(60)
"""


class Trial:
    """A folder with an input and handlers; the home is not there."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.home = folder / "home"
        self._capsys = capsys
        self.func = f"{folder / 'handlers_to_try.py'}"
        Path(self.func).write_text(HANDLERS)
        (folder / "input.jsonl").write_text("".join(f'{{"id": "i{n}", "n": {n}}}\n' for n in range(1, 6)) + "{oops\n")

    def run(self, handler: str, *options: str, source: str = "input.jsonl") -> Said:
        """Try that handler here; the home must not come into being."""
        arguments = [source if source == "-" else str(self.folder / source), "--func", f"{self.func}:{handler}"]
        said = say(self._capsys, self.home, "try", *arguments, "--retry-delay", "0.01", *options)
        assert not self.home.exists()
        return said

    def items(self, handler: str, *options: str) -> list[dict[str, Any]]:
        """What --json says of the items."""
        told = json.loads(self.run(handler, "--json", *options).out)
        assert told["schema"] == 1
        items: list[dict[str, Any]] = told["items"]
        return items


@pytest.fixture
def trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Trial:
    return Trial(tmp_path, capsys)


def test_first_three_items_run_with_all_that_a_context_has(trial: Trial) -> None:
    said = trial.run("title", "--setup", f"{trial.func}:client", "--json")
    told = json.loads(said.out)
    assert said.code == 0 and told["spent"] == {"tokens": 25} and told["stopped"] is None
    assert [(each["seq"], each["status"], each["attempts"]) for each in told["items"]] == [
        (1, "success", 1), (2, "success", 3), (3, "success", 1),
    ]  # fmt: skip
    batch_id, item_id, seq, key, resource = told["items"][0]["result"]
    assert (batch_id, item_id, seq, resource) == ("try", "i1", 1, "the client")
    assert key.startswith("try-") and key.endswith(":1")
    assert told["items"][0]["output"] == ["asking for 1", "WARNING mine: slow", "INFO batchq.item: attempt 1"]
    assert [each["error"] for each in told["items"][1]["history"] if each["status"] == "failed"] == ["refused"] * 2
    assert "3 items tried: 3 succeeded, 0 failed; nothing is stored" in said.err


def test_people_are_shown_items_prints_attempts_and_results_in_their_order(trial: Trial) -> None:
    said = trial.run("title", "-n", "2")
    order = [
        "Item i1 (#1, line 1)", '    "n": 1', "  | asking for 1", "Succeeded after", "Item i2 (#2", "  | asking for 2",
        "Attempt 1 at", "  ConnectionError: refused", "  The next attempt follows in 0.01", "  | asking for 2",
        "Attempt 2 at", "  as attempt 1: ConnectionError: refused", "Succeeded in 3 attempts after", '    "i2",',
    ]  # fmt: skip
    lines = iter(said.out.splitlines())
    for expected in order:
        assert any(line.startswith(expected) for line in lines), expected
    assert said.code == 0


def test_failure_is_told_with_its_whole_traceback(trial: Trial) -> None:
    said = trial.run("fails", "-n", "1", "--retry-attempts", "1")
    assert said.code == 1
    assert "KeyError: 'topic'" in said.out and "direct cause" in said.out and "  ValueError: bad 1" in said.out
    assert "handlers_to_try.py" in said.out and "in fails" in said.out
    assert "Failed after 1 attempt" in said.out


def test_items_at_places_are_tried_and_a_bad_record_is_told(trial: Trial) -> None:
    bad, fifth = reversed(trial.items("shouts", "--item", "6", "--item", "5"))
    assert (fifth["seq"], fifth["id"], fifth["result"]) == (5, "i5", 5)
    assert (bad["seq"], bad["status"], bad["error_type"], bad["attempts"]) == (6, "failed", "InvalidInput", 0)
    assert "line 6" in bad["error"]
    text = trial.run("shouts", "--item", "6").out
    assert '"{oops"' in text and "Failed: InvalidInput: " in text and "line 6, column 2" in text


@pytest.mark.parametrize(
    "handler, options, error",
    [
        ("lock", (), "UnserializableResult"),
        ("nothing", ("--fail-empty", "--retry-attempts", "1"), "EmptyResult"),
        ("hangs", ("--timeout", "0.1", "--retry-attempts", "1"), "ItemTimeout"),
    ],
)
def test_what_fails_an_item_of_a_batch_fails_it_here(
    trial: Trial, handler: str, options: tuple[str, ...], error: str
) -> None:
    [item] = trial.items(handler, "-n", "1", *options)
    assert (item["status"], item["error_type"], item["attempts"]) == ("failed", error, 1)


def test_halt_ends_the_trial_and_says_that_it_would_end_the_batch(trial: Trial) -> None:
    said = trial.run("halts")
    assert said.code == 1 and said.out.count("Item ") == 1
    assert "1 item tried" in said.err and "the batch would stop here: the account is closed" in said.err


def test_redacted_fields_are_hidden_here_too(trial: Trial) -> None:
    said = trial.run("fails", "--redact", "n,id", "-n", "1", "--retry-attempts", "1")
    assert '"n": "[redacted]"' in said.out and "ValueError: bad [redacted]" in said.out
    assert "i1" not in said.out and "Item item-1 (#1" in said.out


@pytest.mark.parametrize(
    "options, said",
    [
        (("--item", "7"), "has no item 7"),
        (("-n", "0"), "-n must be"),
        (("-n", "1", "--item", "1"), "exclude each other"),
        (("--timeout", "-1"), "--timeout must be"),
        (("--input-format", "csv", "--id", "x"), "No such option"),
    ],
)
def test_wrong_usage_exits_2(trial: Trial, options: tuple[str, ...], said: str) -> None:
    told = trial.run("title", *options)
    assert (told.code, told.out) == (2, "") and said in told.err


def test_wrong_target_and_input_are_told_as_start_tells_them(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(trial.folder / "input.jsonl")
    for name, func in ((source, f"{trial.func}:titel"), (source + "x", f"{trial.func}:title"), (source, "nosuch:f")):
        both = [say(capsys, trial.home, verb, name, "--func", func) for verb in ("try", "start")]
        assert both[0] == both[1] and both[0].code == 2, func
    (trial.folder / "bad.jsonl").write_text("{oops\n")
    (trial.folder / "none.jsonl").write_text("")
    assert trial.run("title", source="bad.jsonl").code == 2
    none = trial.run("title", source="none.jsonl")
    assert (none.code, none.out) == (0, "") and "0 items tried" in none.err
    assert trial.run("title", "--setup", f"{trial.func}:broken").code == 3


def test_stdout_is_json_and_nothing_else_and_the_home_is_left_alone(trial: Trial) -> None:
    environment = {**os.environ, "BATCHQ_HOME": str(trial.home)}
    command = [sys.executable, "-m", "batchq", "try", "-", "--input-format", "jsonl", "--func", f"{trial.func}:shouts"]
    said = subprocess.run(
        [*command, "--json"], input='{"n": 1}\n', capture_output=True, text=True, env=environment, cwd=trial.folder
    )
    assert said.returncode == 0
    assert [item["output"] for item in json.loads(said.stdout)["items"]] == [["from Python"]]
    assert "from a process" in said.stderr
    assert not trial.home.exists()


def test_ctrl_c_ends_it_at_once(trial: Trial) -> None:
    command = [sys.executable, "-m", "batchq", "try", "input.jsonl", "--func", f"{trial.func}:waits"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=trial.folder)
    wait_until((trial.folder / "began").exists, seconds=60)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert "interrupted; nothing is stored" in said and "Traceback" not in said
    assert process.returncode == -signal.SIGINT
