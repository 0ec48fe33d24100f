"""The verbs that only read, over the real command: what they print, and that they are quick and quiet."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import Bench

HANDLERS = """
import asyncio
async def first_is_last(item):
    await asyncio.sleep(0 if item["n"] > 1 else 0.3)
    return item["n"]
def ok(item): return item["n"]
def fails(item): raise ValueError("=HYPERLINK(%d)" % item["n"])
def wordy(item): return {"text": "x" * 1000}
"""

HEAVY = {"tqdm", "tenacity", "multiprocessing", "persistqueue", "psutil", "asyncio", "batchq.engine"}
LOADED = """
import contextlib, sys
from batchq.cli.run import run
with contextlib.suppress(SystemExit):
    sys.exit(run(sys.argv[1:]))
print(*sorted(sys.modules), sep="\\n", file=sys.stderr)
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    made = Bench(tmp_path)
    made.write_input(3)
    return made


@pytest.fixture
def finished(bench: Bench) -> Bench:
    """Three items of which the first finished last."""
    said = bench.run("start", "input.jsonl", "--func", "handlers:first_is_last", "--id", "b1", "-c", "3", "-w", "1")
    assert said.returncode == 0, said.stderr
    return bench


def test_results_and_report_are_in_input_order_whatever_finished_first(finished: Bench) -> None:
    rows = [json.loads(line) for line in finished.run("results", "b1").stdout.splitlines()]
    assert [(row["seq"], row["id"], row["line"]) for row in rows] == [(1, "i1", 1), (2, "i2", 2), (3, "i3", 3)]
    table = list(csv.DictReader(io.StringIO(finished.run("report", "b1", "--format", "csv").stdout)))
    assert [(row["idea_id"], row["seq"], row["result"]) for row in table] == [
        ("i1", "1", "1"),
        ("i2", "2", "2"),
        ("i3", "3", "3"),
    ]


def test_failures_are_neutral_in_csv_and_as_they_were_in_json(bench: Bench) -> None:
    bench.run("start", "input.jsonl", "--func", "handlers:fails", "--id", "b1", "--retry-attempts", "1")
    table = list(csv.DictReader(io.StringIO(bench.run("report", "b1", "--format", "csv").stdout)))
    assert [row["error"] for row in table] == [f"'=HYPERLINK({n})" for n in (1, 2, 3)]
    raw = bench.run("results", "b1", "--format", "csv", "--raw").stdout
    assert "'=" not in raw and "=HYPERLINK(1)" in raw
    failures = json.loads(bench.run("report", "b1", "--json").stdout)["failures"]
    assert [failure["error"] for failure in failures] == [f"=HYPERLINK({n})" for n in (1, 2, 3)]
    assert len(bench.run("results", "b1", "--only", "failed").stdout.splitlines()) == 3
    assert bench.run("results", "b1", "--only", "success").stdout == ""


def test_list_is_newest_last_and_one_broken_batch_harms_no_other(finished: Bench) -> None:
    finished.run("start", "input.jsonl", "--func", "handlers:ok", "--id", "a2")
    shutil.copytree(finished.home / "b1", finished.home / "broken")
    (finished.home / "broken" / "batch.db").write_bytes(b"no database at all" * 100)
    said = finished.run("status")
    assert said.returncode == 0 and "Traceback" not in said.stderr
    assert [line.split()[0] for line in said.stdout.splitlines()[1:]] == ["b1", "a2"]
    assert "broken" in said.stderr
    listed = json.loads(finished.run("status", "--json").stdout)
    assert [batch["batch_id"] for batch in listed["batches"]] == ["b1", "a2"]
    assert listed["schema"] == 1 and len(listed["errors"]) == 1
    shown = finished.run("report", "broken")
    assert (shown.returncode, shown.stdout) == (2, "") and "Traceback" not in shown.stderr


def test_empty_home_is_no_error(bench: Bench) -> None:
    said = bench.run("status")
    assert (said.returncode, said.stdout) == (0, "")
    assert "no batches" in said.stderr
    assert json.loads(bench.run("status", "--json").stdout)["batches"] == []


@pytest.mark.parametrize("where", ["before", "after"])
def test_common_options_stand_before_or_after_the_verb(finished: Bench, where: str) -> None:
    common = ["--home", str(finished.home), "--json", "-q"]
    arguments = [*common, "status", "b1"] if where == "before" else ["status", "b1", *common]
    said = _batchq(*arguments, cwd=finished.folder)
    assert json.loads(said.stdout)["state"] == "completed", said.stderr


def test_home_by_the_environment_and_the_option_beats_it(finished: Bench) -> None:
    home = str(finished.home)
    assert _batchq("status", "b1", cwd=finished.folder, BATCHQ_HOME=home).returncode == 0
    assert _batchq("status", "b1", "--home", home, cwd=finished.folder, BATCHQ_HOME="/nowhere").returncode == 0
    assert _batchq("--home", home, "status", "b1", cwd=finished.folder, BATCHQ_HOME="/nowhere").returncode == 0


def test_recommended_command_works_as_it_stands(bench: Bench) -> None:
    bench.run("start", "input.jsonl", "--func", "handlers:fails", "--id", "b1", "--retry-attempts", "1")
    status = bench.run("status", "b1").stdout
    command = status[status.index("batchq results") :].splitlines()[0]
    assert f"--home {bench.home}" in command
    assert len(_batchq(*command.split()[1:], cwd=bench.folder).stdout.splitlines()) == 3


@pytest.mark.parametrize("command", [["results", "b1"], ["report", "b1", "--format", "csv"]])
def test_reader_that_leaves_early_ends_the_command_quietly(bench: Bench, command: list[str]) -> None:
    bench.write_input(500)
    bench.run("start", "input.jsonl", "--func", "handlers:wordy", "--id", "b1")
    process = bench.begin(*command)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 128 + signal.SIGPIPE
    assert said == ""


def test_batch_goes_on_when_nobody_reads_its_messages_any_more(bench: Bench) -> None:
    process = bench.begin("start", "input.jsonl", "--func", "handlers:first_is_last", "--id", "b1")
    assert process.stderr is not None and process.stdout is not None
    process.stderr.readline()
    process.stderr.close()
    process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    assert set(bench.outcomes()) == {1, 2, 3}


def test_report_that_nobody_reads_leaves_the_exit_code_to_the_batch(bench: Bench) -> None:
    for handler, code in (("ok", 0), ("fails", 1)):
        process = bench.begin("start", "input.jsonl", "--func", f"handlers:{handler}", "--retry-attempts", "1")
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        process.stderr.close()
        assert process.wait() == code
        assert "Traceback" not in said and "Broken pipe" not in said


def test_times_are_told_in_utc_and_are_the_same_everywhere(finished: Bench) -> None:
    told = [
        re.search(r"started +(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC)", finished.run(*command, TZ="Asia/Tokyo").stdout)
        for command in (["status", "b1"], ["report", "b1"])
    ]
    assert told[0] and told[1] and told[0][1] == told[1][1]
    assert told[0][1] in finished.run("status", TZ="America/Lima").stdout
    begun = json.loads(finished.run("status", "b1", "--json").stdout)["started_at"]
    assert begun.replace("T", " ").startswith(told[0][1].removesuffix(" UTC"))


def test_rows_of_json_carry_the_schema(finished: Bench) -> None:
    rows = [json.loads(line) for line in finished.run("results", "b1", "--json").stdout.splitlines()]
    assert [(row["schema"], row["seq"]) for row in rows] == [(1, 1), (1, 2), (1, 3)]


def test_log_shows_all_or_the_last_lines(finished: Bench) -> None:
    whole = finished.run("log", "b1").stdout.splitlines()
    assert any("supervising batch b1" in line for line in whole)
    assert finished.run("log", "b1", "-n", "1").stdout.splitlines() == whole[-1:]
    assert finished.run("log", "b1", "-n", "0").stdout == ""
    assert json.loads(finished.run("log", "b1", "--json").stdout)["lines"] == whole


@pytest.mark.parametrize(
    ("typed", "meant"), [(["staus"], "status"), (["reprot", "b1"], "report"), (["status", "b1x"], "b1")]
)
def test_mistyped_word_is_answered_with_the_nearest(finished: Bench, typed: list[str], meant: str) -> None:
    said = finished.run(*typed)
    assert (said.returncode, said.stdout) == (2, "")
    assert meant in said.stderr and "Traceback" not in said.stderr


@pytest.mark.parametrize(
    "command", [["status"], ["status", "b1"], ["results", "b1"], ["report", "b1"], ["log", "b1"], ["show", "b1", "i1"]]
)
def test_verbs_that_only_read_load_no_engine(finished: Bench, command: list[str]) -> None:
    said = subprocess.run(
        [sys.executable, "-c", LOADED, *command, "--home", str(finished.home)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert HEAVY & set(said.stderr.split()) == set()


def test_fault_of_ours_exits_70_and_says_where_the_traceback_is(bench: Bench) -> None:
    program = "import batchq.app.status as s\ns.list_batches = None\n" + LOADED.replace(
        "with contextlib.suppress(SystemExit):\n    sys.exit", "sys.exit"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, "status", "--home", str(bench.home)], capture_output=True, text=True
    )
    assert said.returncode == 70
    assert said.stderr.startswith("batchq: a fault of batchq: TypeError") and "Traceback" not in said.stderr
    kept = Path(said.stderr.split()[-1].rstrip("."))
    assert "Traceback" in kept.read_text()
    kept.unlink()


def _batchq(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "batchq", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
