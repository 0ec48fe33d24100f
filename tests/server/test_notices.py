"""What batches of a server still owe to the addresses of `--notify` when nobody runs them, the server sends."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
from queued import Queue
from receiver import Receiver
from served import Served
from waiting import wait_until

from batchq.app.verbs import cancel
from batchq.store.home import Home

pytestmark = pytest.mark.slow

GONE = "def f(item):\n    return item\n"
FAILS = "def f(item):\n    raise ValueError(item['n'])\n"


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Queue:
    return Queue(tmp_path_factory.mktemp("notices"))


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver.listening() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def server(queue: Queue, receiver: Receiver) -> Iterator[Served]:
    """One that runs a batch at a time; it finds one that was cancelled before, and one whose function is gone."""
    queue.put("before", notify=(receiver.at("/before"),))
    cancel(Home(queue.home), "before")
    handlers = queue.folder / "gone.py"
    handlers.write_text(GONE)
    queue.put("gone", f"{handlers}:f", notify=(receiver.at("/gone", 503, 200),))
    handlers.unlink()
    (queue.folder / "pipe.py").write_text(GONE)
    owner = ("--allow", "pipe:f", "--notify", receiver.at("/owner", user="me:secret@"))
    with queue.served("--max-batches", "1", "--restart-delay", "0.02", *owner) as made:
        yield made


def process_of(queue: Queue, batch_id: str) -> int:
    """The process that the server has begun for a batch; it says so after the begin."""
    begun = re.compile(rf" {batch_id}: process (\d+) runs it")
    wait_until(lambda: begun.search(queue.said()))
    return int(begun.findall(queue.said())[-1])


def is_stopped(pid: int) -> bool:
    """Let a process stand still; False where it has ended already."""
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE))
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    return False


def test_batch_that_ended_while_there_was_no_server_is_told(server: Served, receiver: Receiver) -> None:
    wait_until(lambda: [each["type"] for each in receiver.told("/before")] == ["batch.cancelled"])


def test_batch_that_the_server_gives_up_is_told_and_not_begun_again(
    queue: Queue, server: Served, receiver: Receiver
) -> None:
    server.wait_for("gone", "failed")
    wait_until(lambda: "gone: 1 notifications were taken" in queue.said())
    assert receiver.types("/gone") == ["batch.halted", "batch.halted"]
    assert len({each.headers["webhook-id"] for each in receiver.taken("/gone")}) == 1
    assert "runs it" not in queue.said().partition("gone: given up")[2]


def test_what_a_process_owed_that_was_killed_while_it_sent_is_sent(
    queue: Queue, server: Served, receiver: Receiver
) -> None:
    handlers = queue.folder / "quick.py"
    handlers.write_text(GONE)
    queue.put("sends", f"{handlers}:f", notify=(receiver.at("/sends", (0, {}), 200),))
    wait_until(lambda: len(receiver.taken("/sends")) == 1)
    with suppress(ProcessLookupError):  # it does not try for ever
        os.kill(process_of(queue, "sends"), signal.SIGKILL)
    wait_until(lambda: len(receiver.taken("/sends")) == 2)
    first, second = receiver.taken("/sends")
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert (first.body, first.event["type"]) == (second.body, "batch.completed")


def test_process_that_only_sends_holds_no_place(queue: Queue, server: Served, receiver: Receiver) -> None:
    handlers = queue.folder / "fails.py"
    handlers.write_text(FAILS)
    for name in ("busy", "busy2", "busy3"):
        queue.put(name, f"{handlers}:f", items=1, retry_attempts=1, notify=(receiver.at(f"/{name}", 503),))
        wait_until(lambda name=name: bool(receiver.taken(f"/{name}")))  # type: ignore[misc]
        if is_stopped(busy := process_of(queue, name)):
            break  # else its few seconds were over: it was this process that stood still
    try:
        queue.put("next", f"{handlers}:f", items=1, retry_attempts=1, notify=(receiver.at("/next", *[503] * 4, 200),))
        server.wait_for("next", "completed")
        assert f"{name}: is completed" not in queue.said().partition("next: process")[0], "its process was still at it"
    finally:
        with suppress(ProcessLookupError):
            os.kill(busy, signal.SIGCONT)


def test_process_that_finds_no_taker_soon_leaves_that_to_the_server_and_its_batch_can_be_retried(
    queue: Queue, server: Served
) -> None:
    answer = server.client.post("/api/v1/batches/busy/retry").json()
    assert answer["retried"] == 1
    assert answer["state"] in ("queued", "filling", "running"), "it waits for its turn, and nothing has gone wrong"
    wait_until(lambda: server.batch("busy")["attempts"] == 2, 50)
    wait_until(lambda: "next: 1 notifications were taken" in queue.said())


def test_batch_made_over_http_tells_whom_the_owner_has_named_and_a_caller_names_nobody(
    server: Served, receiver: Receiver
) -> None:
    refused = server.client.post(
        "/api/v1/batches", json={"func": "pipe:f", "items": [1], "notify": [receiver.at("/caller")]}
    )
    assert refused.status_code == 403
    batch_id = server.create("pipe:f", [1, 2, 3])
    uploaded = server.client.post("/api/v1/batches/upload?func=pipe:f&name=a.txt&batch_id=up", content=b"one\n")
    assert uploaded.status_code == 201, uploaded.text
    wait_until(lambda: len(receiver.told("/owner")) == 2)
    told = [each["data"]["batch_id"] for each in receiver.told("/owner")]
    assert sorted(told) == sorted([batch_id, "up"]), "and those that were queued by a command tell their own addresses"
    assert [each["type"] for each in receiver.told("/owner")] == ["batch.completed"] * 2
    assert not receiver.taken("/caller")
    assert "secret" not in server.client.get(f"/api/v1/batches/{batch_id}").text
