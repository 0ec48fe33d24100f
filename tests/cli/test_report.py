"""``batchq report`` over the real command: where it goes, in which form, and what is said when it cannot."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from batches import make_batch
from click.testing import CliRunner, Result
from command import Bench
from reported import make_reported

from batchq.cli.console import Console
from batchq.cli.run import cli

HEAVY = {"tqdm", "tenacity", "multiprocessing", "persistqueue", "psutil", "asyncio", "batchq.engine"}
LOADED = """
import contextlib, sys
from batchq.cli.run import run
with contextlib.suppress(SystemExit):
    run(sys.argv[1:])
print(*sorted(sys.modules), sep="\\n", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("home")
    for name in ("b1", "damaged"):
        (made / name).mkdir()
        make_reported(made / name, 100)
    damaged = made / "damaged" / "batch.db"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    (made / "damaged" / "batch.db-wal").unlink(missing_ok=True)
    return made


def ask(home: Path, *arguments: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(cli, ["report", *arguments, "--home", str(home)], obj=Console(), standalone_mode=False)


def told(home: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of the command in a process of its own."""
    command = [sys.executable, "-m", "batchq", "report", *arguments, "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr and done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "name, begin",
    [
        ("r.html", "<!doctype html>"),
        ("r.HTM", "<!doctype"),
        ("r.json", "{\n"),
        ("r.csv", "idea_id,"),
        ("r.txt", "b1: "),
    ],
)
def test_name_of_the_file_says_the_format(home: Path, tmp_path: Path, name: str, begin: str) -> None:
    path = tmp_path / name
    path.write_text("what was there before")
    said = ask(home, "b1", "-o", str(path))
    assert said.exception is None and said.stdout == ""
    assert path.read_text(encoding="utf-8").startswith(begin)
    assert f"wrote {path} ({path.stat().st_size:,} bytes)" in said.stderr
    assert os.listdir(tmp_path) == [name]


def test_format_beats_the_name_and_json_is_about_what_is_printed(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    said = json.loads(ask(home, "b1", "-o", str(path), "--format", "csv", "--json").stdout)
    assert said == {"schema": 1, "output": str(path), "format": "csv", "bytes": path.stat().st_size}
    # Before Python 3.11 its csv module reads no NUL, and an error here has one.
    table = csv.DictReader(io.StringIO(path.read_text().replace("\0", "")))
    assert len(list(table)) == 100
    assert json.loads(ask(home, "b1", "-o", "-", "--json").stdout)["batch_id"] == "b1"
    assert ask(home, "b1", "-o", "-", "--format", "html").stdout.endswith("</html>\n")


def test_failures_are_as_many_as_was_asked_for_and_counted_all(home: Path) -> None:
    every = json.loads(ask(home, "b1", "--format", "json").stdout)
    few = json.loads(ask(home, "b1", "--format", "json", "--failures", "2").stdout)
    assert len(every["failures"]) == every["failure_count"] == few["failure_count"] > 2
    assert few["failures"] == every["failures"][:2]


def test_schema_is_printed_without_a_batch(home: Path) -> None:
    assert json.loads(ask(home, "--schema").stdout)["title"] == "batchq report"


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((), "Missing argument 'ID'"),
        (("b1", "-o", "report.docx"), "name of report.docx does not tell its format"),
        (("b1", "-o", "no/such/report.html"), "no/such/report.html: its folder does not exist"),
        (("b1", "--failures", "3"), "json and html only, not with text"),
        (("b1", "--schema"), "leave ID and --format out"),
    ],
)
def test_wrong_usage_is_told_and_writes_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = ask(home, *arguments)
    assert words in (getattr(said.exception, "message", "") or str(said.exception))
    assert getattr(said.exception, "exit_code", None) == 2
    assert os.listdir(tmp_path) == []


def test_damaged_batch_leaves_the_former_report_alone(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("the one of yesterday")
    code, said = told(home, "damaged", "-o", str(path))
    assert code == 2 and "batch.db" in said
    assert path.read_text() == "the one of yesterday" and os.listdir(tmp_path) == ["report.html"]


def test_page_is_made_without_the_engine_and_its_commands_name_the_home(home: Path) -> None:
    command = [sys.executable, "-c", LOADED, "report", "b1", "--format", "html", "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    loaded = set(done.stderr.split())
    assert not [name for name in HEAVY if name in loaded or any(each.startswith(name + ".") for each in loaded)]
    assert f"batchq results b1 --only failed --home {home}" in done.stdout


def test_reader_that_leaves_ends_it_quietly(home: Path) -> None:
    command = f"'{sys.executable}' -m batchq report b1 --format html --home '{home}' | head -c 20"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout == "<!doctype html>\n<htm" and done.stderr == ""


def test_report_of_a_real_batch_tells_the_workers_and_when_they_worked(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(20)
    (tmp_path / "job.py").write_text("def run(item):\n    if item['n'] % 5 == 0: raise KeyError('<b>')\n    return 1\n")
    arguments = ("--id", "b1", "-w", "2", "-c", "4", "--retry-attempts", "2", "--retry-delay", "0.01")
    said = bench.run("start", "input.jsonl", "--func", "job:run", *arguments, "--json")
    report = json.loads(said.stdout)
    assert sum(each["items"] for each in report["workers"]) == 20
    assert {each["session"] for each in report["workers"]} == {1}
    assert report["attempts_needed"] == [
        {"attempts": 1, "success": 16, "failed": 0},
        {"attempts": 2, "success": 0, "failed": 4},
    ]
    counts = report["throughput"]["counts"]
    assert (sum(each["success"] for each in counts), sum(each["failed"] for each in counts)) == (16, 4)
    assert len(report["throughput"]["worked"]) == 1


def test_report_of_no_items_has_every_format(tmp_path: Path) -> None:
    (tmp_path / "b1").mkdir()
    make_batch(tmp_path / "b1", [])
    for form in ("text", "json", "csv", "html"):
        said = ask(tmp_path, "b1", "--format", form)
        assert said.exception is None and "nan" not in said.stdout.lower()
