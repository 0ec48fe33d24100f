"""Batches that are left to a server: in what order it runs them, and what a user does to those that wait."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from command import ended
from queued import Queue, outcomes_of
from receiver import Receiver
from served import Served
from waiting import wait_until

from batchq.app.verbs import cancel, pause
from batchq.cli.console import run_command
from batchq.cli.run import cli
from batchq.engine.supervisor import Supervisor
from batchq.model import TAKE
from batchq.store.home import BatchFolder, Home
from batchq.store.turns import set_priority

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Queue:
    return Queue(tmp_path_factory.mktemp("queue"))


@pytest.fixture(scope="module")
def server(queue: Queue) -> Iterator[Served]:
    """A server that runs one batch at a time; the first is held until the gate is opened."""
    queue.put("first", priority=9)
    with queue.served("--max-batches", "1") as made:
        wait_until(lambda: queue.begun() == 1)
        yield made


def listed(server: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.client.get("/api/v1/batches").json()["batches"]
    return found


def began(queue: Queue, batch_id: str) -> float:
    with closing(sqlite3.connect(queue.home / batch_id / "batch.db")) as connection:
        when: float = connection.execute("SELECT min(started_at) FROM sessions").fetchone()[0]
    return when


def test_process_of_a_batch_has_nothing_of_the_server(queue: Queue, server: Served) -> None:
    child = queue.supervisor("first")
    assert child is not None and child.ppid() == server.process.pid
    assert os.getsid(child.pid) == child.pid, "no terminal and no signal of the server's reaches it"
    open_there = {}
    for descriptor in (Path("/proc") / str(child.pid) / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            open_there[descriptor.name] = os.readlink(descriptor)
    assert (open_there["0"], open_there["1"]) == ("/dev/null", "/dev/null")
    home, log = str(queue.home / "first"), queue.home / "first" / "batch.log"
    assert open_there["2"] == str(log)
    files = [path for path in open_there.values() if path.startswith("/") and not path.startswith("/dev/")]
    assert [path for path in files if not path.startswith(home)] == []
    assert [path for path in open_there.values() if path.startswith("socket:")] == []


def test_deadline_of_a_batch_that_waits_for_its_turn_is_kept_and_told(queue: Queue, server: Served) -> None:
    with Receiver.listening() as receiver:
        for name in ("late", "later"):
            queue.put(name, deadline="1s", notify=(receiver.at(f"/{name}"),))
        for name in ("late", "later"):
            server.wait_for(name, "expired")
            wait_until(lambda name=name: bool(receiver.taken(f"/{name}")))  # type: ignore[misc]
            assert [each["type"] for each in receiver.told(f"/{name}")] == ["batch.expired"]
    assert server.batch("first")["state"] == "running", "it had the only place all the time"


def test_server_tells_the_addresses_of_a_batch_that_nobody_runs(queue: Queue, server: Served) -> None:
    with Receiver.listening() as receiver:
        queue.put("told", notify=(receiver.at("/hook"),))
        wait_until(lambda: "told" in [each["batch_id"] for each in listed(server)])
        assert server.client.post("/api/v1/batches/told/cancel").json()["state"] == "cancelled"
        wait_until(lambda: [each["type"] for each in receiver.told("/hook")] == ["batch.cancelled"])
    assert receiver.told("/hook")[0]["data"]["batch_id"] == "told"


def test_those_that_wait_run_one_at_a_time_the_most_urgent_and_then_the_oldest_first(
    queue: Queue, server: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    queue.put("older")
    (queue.folder / "pipe.py").write_text("def f(item): return item\n")
    arguments = ["start", str(queue.folder / "older.jsonl"), "--func", f"{queue.folder}/pipe.py:f", "--id", "urgent"]
    home = ["--home", str(queue.home)]
    assert run_command(cli, [*arguments, "--queue", "--priority", "3", *home]) == 0
    told = capfd.readouterr()
    assert told.out == "urgent\n" and str(server.process.pid) in told.err and server.url in told.err
    for name in ("newer", "paused", "cancelled"):
        queue.put(name)
    assert run_command(cli, ["set", "newer", "--priority", "4", *home]) == 0
    assert pause(Home(queue.home), "paused") == "paused"
    assert cancel(Home(queue.home), "cancelled") == "cancelled"
    assert [(server.batch(name)["state"], server.batch(name)["priority"]) for name in ("older", "urgent")] == [
        ("queued", 0),
        ("queued", 3),
    ]
    capfd.readouterr()
    for where in (home, ["--server", server.url, "--token-file", str(queue.home / ".server" / "token")]):
        assert run_command(cli, ["status", "urgent", *where]) == 0
        told = capfd.readouterr().out
        assert "priority" in told and "the server, when its turn comes" in told
        assert "Next: batchq wait urgent" in told
    waiting = queue.begin("wait", "newer", "-q")
    queue.open_gate()
    assert ended(waiting) == 0, "it waits for one that no process runs yet"
    for name in ("older", "urgent"):
        server.wait_for(name)
    order = sorted(("first", "older", "urgent", "newer"), key=lambda name: began(queue, name))
    assert order == ["first", "newer", "urgent", "older"]
    assert [server.batch(name)["state"] for name in ("paused", "cancelled")] == ["paused", "cancelled"]

    too_late = Supervisor(BatchFolder(queue.home / "paused"), event=TAKE)
    assert too_late.run().state == "paused", "the pause came between the server's look and its child's"
    resumed = queue.run("resume", "paused", "-q")
    assert (resumed.returncode, server.wait_for("paused")["state"]) == (0, "completed"), resumed.stderr
    assert outcomes_of(queue.home, "cancelled") == []


def test_without_a_server_it_waits_and_that_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    queue = Queue(tmp_path)
    (tmp_path / "pipe.py").write_text("def f(item): return item\n")
    (tmp_path / "in.txt").write_text("a\n")
    target, home = f"{tmp_path}/pipe.py:f", ["--home", str(queue.home)]
    start = ["start", str(tmp_path / "in.txt"), "--func", target, *home]
    assert run_command(cli, [*start, "--queue", "--id", "b1", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["state"], told["priority"], told["server"]) == ("queued", 0, None)
    assert run_command(cli, [*start, "--queue", "--id", "b2"]) == 0
    assert "batchq serve --home" in capfd.readouterr().err
    assert run_command(cli, ["wait", "b1", *home]) == 3, "nobody will run it: that is no reason to wait"
    assert run_command(cli, ["serve", "--link", *home]) == 2
    for wrong, words in (
        (["--priority", "1"], "--queue only"),
        (["--queue", "-d"], "exclude each other"),
        (["--queue", "--priority", "high"], "'high' is not a valid integer"),
    ):
        capfd.readouterr()
        assert run_command(cli, [*start, *wrong]) == 2
        assert words in capfd.readouterr().err
    stdin = ["start", "-", "--input-format", "txt", "--func", target, "--queue", *home]
    assert run_command(cli, stdin) == 2
    assert "standard input cannot wait" in capfd.readouterr().err
    set_priority(queue.home / "b2" / "batch.db", 7)
    capfd.readouterr()
    assert run_command(cli, ["status", "b2", "--json", *home]) == 0
    assert json.loads(capfd.readouterr().out)["priority"] == 7
