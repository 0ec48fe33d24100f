"""What is said where no Dask cluster is, before anything is stored."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from distributed import Scheduler

from batchq.app.request import usable_cores
from batchq.app.status import status
from batchq.cli.console import run_command
from batchq.cli.run import cli
from batchq.engine.dask import cluster
from batchq.store.home import Home


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.4)
    Path("in.txt").write_text("a\n")
    Path("f.py").write_text("def f(item):\n    return item\n")
    return tmp_path


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a program that accepts connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def refusal(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    code = run_command(cli, ["--home", "H", "start", "in.txt", "--func", "f.py:f", *options])
    assert not list(Path("H").glob("*")), "a batch was made"
    return code, capsys.readouterr().err


def test_what_is_no_scheduler_is_not_waited_for_for_ever(
    folder: Path, mute: int, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refusal(capsys, "--scheduler", f"tcp://127.0.0.1:{mute}")
    assert code == 69
    assert "it does not answer as a Dask scheduler does" in said
    assert "--engine local" in said


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.5:8786",
        "http://10.0.0.5:8787",
        "tcp://10.0.0.5",
        "tcp://10.0.0.5:8786/",
        "tcp://ada:secret@10.0.0.5:8786",
        "tcp://10.0.0.5:88786",
        "",
    ],
)
def test_an_address_that_can_be_none_is_a_mistake_of_its_option(
    folder: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refusal(capsys, "--scheduler", address)
    assert code == 2
    assert f"--scheduler must be an address such as tcp://10.0.0.5:8786, not {address!r}" in said


def test_batch_stays_as_it_was_where_the_cluster_is_not_there_and_fits_where_it_goes_on(
    folder: Path, mute: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(*words: str) -> int:
        return run_command(cli, ["--home", "H", *words])

    def spec() -> dict[str, Any]:
        capsys.readouterr()
        assert say("status", "b", "--json") == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)["spec"]
        return told

    cluster = ("--scheduler", "tcp://127.0.0.1:1", "-w", "70", "-c", "70")
    assert say("start", "in.txt", "--func", "f.py:f", "--queue", "--id", "b", *cluster) == 0
    before = spec()
    assert say("resume", "b", "--scheduler", f"tcp://127.0.0.1:{mute}") == 69
    assert spec() == before
    assert say("resume", "b", "--engine", "local", "-q") == 0
    assert (spec()["engine"], spec()["workers"]) == ("local", min(70, usable_cores()))


def test_other_engine_on_the_command_line_beats_the_scheduler_of_a_variable(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BATCHQ_SCHEDULER", "tcp://127.0.0.1:1")
    asked = ("start", "in.txt", "--func", "f.py:f", "--queue")
    for batch, options, found in (
        ("b1", ("--engine", "local"), ("local", None)),
        ("b2", ("--engine", "dask"), ("dask", "tcp://127.0.0.1:1")),
        ("b3", ("--scheduler", "tcp://127.0.0.1:2"), ("dask", "tcp://127.0.0.1:2")),
    ):
        assert run_command(cli, ["--home", "H", *asked, "--id", batch, *options]) == 0
        spec = status(Home(Path("H")), batch).spec
        assert (spec.engine, spec.scheduler) == found
    assert run_command(cli, ["--home", "H", *asked, "--engine", "local", "--scheduler", "tcp://127.0.0.1:2"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_scheduler_that_is_lost_is_told_of_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(cluster, "CLOSE_SECONDS", 0.2)
    notes: list[str] = []

    async def lose_it() -> str:
        async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
            there = cluster.Cluster(scheduler.address, 0, 0.3, notes.append)
            await there.open()
        watch = asyncio.create_task(there.watch())
        while not notes:
            await asyncio.sleep(0.05)
        watch.cancel()
        await there.close()
        return str(scheduler.address)

    address = asyncio.run(asyncio.wait_for(lose_it(), 120))
    assert notes == [f"{address} does not answer; waiting for it"]
    assert notes[0] in caplog.messages
