"""Settings in files: who beats whom, what a file may not say, and what `batchq config` tells of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from command import Bench

from batchq.cli.run import cli
from batchq.cli.settings import CODE, Settings

HANDLERS = "def ok(item): return item['n']\ndef fails(item): raise ValueError('no')\n"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    (tmp_path / "own" / "batchq").mkdir(parents=True)
    made = Bench(tmp_path)
    made.write_input(3)
    return made


def run(bench: Bench, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command for which ``own`` has the user's configuration."""
    return bench.run(*arguments, XDG_CONFIG_HOME=str(bench.folder / "own"), **environment)


def held(bench: Bench, **environment: str) -> dict[str, tuple[Any, str]]:
    """What `config --json` says: value and origin by name."""
    said = run(bench, "config", "--json", **environment)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["schema"] == 1
    return {each["name"]: (each["value"], each["origin"]) for each in json.loads(said.stdout)["settings"]}


def started(bench: Bench, *options: str, **environment: str) -> dict[str, Any]:
    """The specification of a batch that was started here."""
    said = run(bench, "start", "input.jsonl", "--func", "handlers:ok", "--id", "b1", "-q", *options, **environment)
    assert said.returncode == 0, said.stderr
    spec: dict[str, Any] = json.loads(run(bench, "status", "b1", "--json").stdout)["spec"]
    return spec


def test_flag_beats_environment_beats_project_beats_user_beats_default(bench: Bench) -> None:
    own = bench.folder / "own" / "batchq" / "config.toml"
    own.write_text("concurrency = 2\ntimeout = 20\nretry_attempts = 2\nretry-delay = 0.2\n")
    project = bench.folder / "batchq.toml"
    project.write_text("concurrency = 3\ntimeout = 30\nretry-attempts = 3\n")
    environment = {"BATCHQ_CONCURRENCY": "4", "BATCHQ_TIMEOUT": "40"}
    assert {
        name: held(bench, **environment)[name] for name in ("timeout", "retry_attempts", "retry_delay", "grace")
    } == {
        "timeout": (40.0, "environment BATCHQ_TIMEOUT"),
        "retry_attempts": (3, f"{project}:3"),
        "retry_delay": (0.2, f"{own}:4"),
        "grace": (8.0, "default"),
    }
    spec = started(bench, "-c", "5", **environment)
    found = [spec[name] for name in ("concurrency", "timeout", "retry_attempts", "retry_delay", "grace")]
    assert found == [5, 40.0, 3, 0.2, 8.0]


def test_nearest_project_upwards_counts_and_one_without_a_table_is_passed_over(bench: Bench) -> None:
    (bench.folder / "batchq.toml").write_text("chunk_size = 11\n")
    inner = bench.folder / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "pyproject.toml").write_text('[project]\nname = "not-batchq"\n')
    nested = Bench(inner)
    assert held(nested)["chunk_size"] == (11, f"{bench.folder / 'batchq.toml'}:1")
    project = bench.folder / "a" / "pyproject.toml"
    project.write_text('[tool.other]\nchunk_size = 1\n\n[tool.batchq]\nchunk_size = 12\nno_retry = ["A", "b.C"]\n')
    assert held(nested)["chunk_size"] == (12, f"{project}:5")
    assert held(nested)["no_retry"] == (["A", "b.C"], f"{project}:6")


def test_home_is_relative_to_its_file_and_quiet_silences(bench: Bench) -> None:
    (bench.folder / "batchq.toml").write_text('home = "batches"\nquiet = true\n')
    inner = bench.folder / "inner"
    inner.mkdir()
    command = ["start", "../input.jsonl", "--func", f"{bench.folder}/handlers.py:ok", "--id", "b1"]
    said = _without_home(inner, command, bench.environment(BATCHQ_HOME=""))
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    assert (bench.folder / "batches" / "b1" / "batch.db").is_file()
    other = _without_home(inner, ["status"], bench.environment(BATCHQ_HOME=str(bench.folder / "other")))
    assert (other.returncode, other.stdout) == (0, "")


REFUSED = {
    "code": ('func = "os:system"\n', ["batchq.toml:1", "func", "code", "--func"]),
    "code to set up": ('\nsetup = "x:y"\n', ["batchq.toml:2", "setup", "code", "--setup"]),
    "code at the end": ('on-finish = "rm -rf ."\n', ["batchq.toml:1", "on_finish", "code"]),
    "a cluster": (
        'scheduler = "tcp://h:1"\n',
        ["batchq.toml:1", "where items are sent", "--scheduler, or BATCHQ_SCHED"],
    ),
    "unknown key": ("concurency = 3\n", ["batchq.toml:1", "concurency", "Did you mean concurrency?"]),
    "unlike any key": ("xyzzy = 3\n", ["batchq.toml:1", "xyzzy", "`batchq config`"]),
    "of one batch": ("limit = 3\n", ["limit", "command line only"]),
    "json": ("json = true\n", ["json", "command line only"]),
    "table": ("[start]\nconcurrency = 3\n", ["batchq.toml:1", "start", "no such setting"]),
    "text for a number": ('concurrency = "3"\n', ["batchq.toml:1", "concurrency", "a whole number", "'3'"]),
    "half a slot": ("concurrency = 1.5\n", ["concurrency", "a whole number", "1.5"]),
    "truth for a number": ("timeout = true\n", ["timeout", "a number", "True"]),
    "text for truth": ('fail_empty = "no"\n', ["fail_empty", "true or false"]),
    "no choice": ('durability = "fully"\n', ["durability", "'normal', 'full'"]),
    "text for a list": ('no_retry = "ValueError"\n', ["no_retry", "a list of texts"]),
    "no TOML": ("concurrency = \n", ["batchq.toml", "not TOML", "line 1"]),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_what_a_file_may_not_say_is_told_with_file_and_key_and_nothing_starts(bench: Bench, mistake: str) -> None:
    content, words = REFUSED[mistake]
    (bench.folder / "batchq.toml").write_text(content)
    said = run(bench, "start", "input.jsonl", "--func", "handlers:ok")
    assert (said.returncode, said.stdout) == (2, "")
    assert all(word in said.stderr for word in words), said.stderr
    assert len(said.stderr.splitlines()) <= 2 and "Traceback" not in said.stderr
    assert not bench.home.exists()
    assert run(bench, "start", "--help").returncode == 0


def test_every_option_that_names_code_is_kept_out_of_files() -> None:
    targets = {
        parameter.name
        for parameter in cli.commands["start"].params
        if isinstance(parameter, click.Option) and parameter.metavar == "TARGET"
    }
    assert targets and targets <= CODE
    assert not CODE & set(Settings.of(cli).options)


def test_plain_listing_has_a_line_a_setting_and_the_origin_on_demand(bench: Bench) -> None:
    (bench.folder / "batchq.toml").write_text("concurrency = 7\n")
    plain = dict(line.split(None, 1) for line in run(bench, "config").stdout.splitlines())
    assert plain["concurrency"] == "7" and plain["workers"] == "-" and plain["home"] == str(bench.home)
    lines = run(bench, "config", "--show-origin").stdout.splitlines()
    assert lines[0].split() == ["concurrency", "7", f"{bench.folder / 'batchq.toml'}:1"]
    assert [line.split()[-2:] for line in lines if line.startswith("home")] == [["command", "line"]]


def test_wrong_environment_is_told_with_its_name(bench: Bench) -> None:
    said = run(bench, "config", BATCHQ_CONCURRENCY="many")
    assert said.returncode == 2
    assert "--concurrency" in said.stderr and "many" in said.stderr


def _without_home(folder: Path, command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "batchq", *command], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_value_out_of_range_names_the_file_that_set_it_and_a_flag_blames_none(bench: Bench) -> None:
    (bench.folder / "batchq.toml").write_text('# mine\nconcurrency = 0\nrate = ["fast"]\n')
    said = run(bench, "start", "input.jsonl", "--func", "handlers:ok")
    assert said.returncode == 2 and not said.stdout
    assert f"{bench.folder / 'batchq.toml'}:2: concurrency: must be a whole number from 1" in said.stderr
    said = run(bench, "start", "input.jsonl", "--func", "handlers:ok", "-c", "2")
    assert "batchq.toml:3: rate: must be such as" in said.stderr
    said = run(bench, "start", "input.jsonl", "--func", "handlers:ok", "-c", "-1", "--rate", "2/s")
    assert "batchq.toml" not in said.stderr and "--concurrency must be" in said.stderr
