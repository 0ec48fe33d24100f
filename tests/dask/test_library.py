"""Batches of a program on a Dask cluster."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psutil
import pytest

import batchq
from batchq.app.status import status
from batchq.cli.console import run_command
from batchq.cli.run import cli
from batchq.errors import ConfigError, UsageError
from batchq.store.home import Home


def test_closure_of_a_program_runs_on_the_cluster(
    scheduler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    factor = 3

    def triple(idea: int) -> tuple[int, int]:
        return factor * idea, os.getpid()

    report = batchq.run(range(1, 5), triple, scheduler=scheduler, home=tmp_path, enable_progress_tracking=False)
    assert [each["result"][0] for each in report.results] == [3, 6, 9, 12]
    assert all(psutil.Process(each["result"][1]).ppid() != os.getpid() for each in report.results)
    assert "is on the Dask worker tcp://" in (tmp_path / report.batch_id / "batch.log").read_text()
    assert (report.config["engine"], report.config["scheduler"]) == ("dask", scheduler)
    assert run_command(cli, ["status", report.batch_id, "--home", str(tmp_path)]) == 0
    assert f"  cluster   {scheduler}\n" in capsys.readouterr().out


def test_batch_that_was_queued_takes_as_many_workers_as_the_cluster_has_when_it_begins(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("batchq.app.request.usable_cores", lambda: 7)
    Path("in.txt").write_text("a\n")
    where = ("--scheduler", scheduler, "--home", "H", "--queue")
    for batch, more in (("all", ()), ("one", ("-w", "1")), ("set", ())):
        assert run_command(cli, ["start", "in.txt", "--func", "os.path:basename", "--id", batch, *where, *more]) == 0
    assert run_command(cli, ["set", "set", "-w", "1", "--home", "H"]) == 0
    capsys.readouterr()
    assert run_command(cli, ["status", "all", "--home", "H"]) == 0
    assert "5 at a time in all workers of the cluster" in capsys.readouterr().out
    for batch, workers in (("all", 2), ("one", 1), ("set", 1)):
        assert run_command(cli, ["resume", batch, "-q", "--home", "H"]) == 0
        assert status(Home(Path("H")), batch).spec.workers == workers


def test_what_a_dask_worker_lacks_is_told_with_where(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONLY_HERE", "1")
    Path("in.txt").write_text("a\n")
    Path("f.py").write_text("import os\nos.environ['ONLY_HERE']\ndef f(item):\n    return item\n")
    asked = ("start", "in.txt", "--func", "f.py:f", "--scheduler", scheduler, "--home", "H", "-q")
    assert run_command(cli, asked) == 2
    said = capsys.readouterr().err
    assert re.search(r"KeyError: 'ONLY_HERE' \(f.py, line 2\) \(on the Dask worker tcp://[0-9.:]+\)", said)


@pytest.mark.parametrize(
    "settings, kind, said",
    [
        ({"engine": "dask"}, UsageError, "engine='dask' needs mode='queue'"),
        ({"engine": "ray", "mode": "queue"}, ConfigError, "engine must be 'local' or 'dask', not 'ray'"),
        ({"scheduler": "localhost", "mode": "queue"}, ConfigError, "scheduler must be an address such as tcp://"),
        ({"scheduler": "tcp://a:1", "engine": "local"}, UsageError, "engine local and scheduler exclude each other"),
    ],
)
def test_engine_that_cannot_be_is_refused(settings: dict[str, str], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        batchq.BatchConfig(**settings)  # type: ignore[arg-type]
