"""A call that is sent again makes no second batch, whatever has happened to the server in between."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import Served, serving
from waiting import wait_until

pytestmark = pytest.mark.slow

SLOW = """
import pathlib, time
here = pathlib.Path(__file__).parent
(here / "loading").touch()
while not (here / "loaded").exists():
    time.sleep(0.02)

def title(item):
    return item
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """A server that allows `pipe:title`, and `slow:title`, whose module loads when a file `loaded` is there."""
    (tmp_path / "pipe.py").write_text("def title(item):\n    return item\n")
    (tmp_path / "slow.py").write_text(SLOW)
    with serving(tmp_path, "--allow", "pipe:*", "--allow", "slow:*") as made:
        yield made


def send(server: Served, key: str, func: str = "pipe:title", **more: Any) -> httpx.Response:
    asked = {"func": func, "items": [1, 2], **more}
    return server.client.post("/api/v1/batches", json=asked, headers={"Idempotency-Key": key})


def upload(server: Served, key: str, body: bytes) -> httpx.Response:
    where = "/api/v1/batches/upload?func=pipe:title&name=a.jsonl"
    return server.client.post(where, content=body, headers={"Idempotency-Key": key})


def begin_upload(server: Served, batch_id: str) -> socket.socket:
    """A large upload that has begun, and never ends."""
    host, port = server.url.removeprefix("http://").split(":")
    caller = socket.create_connection((host, int(port)))
    head = (
        f"POST /api/v1/batches/upload?func=pipe:title&name=a.jsonl&batch_id={batch_id} HTTP/1.1\r\n"
        f"Host: {host}:{port}\r\nAuthorization: Bearer {server.token}\r\nIdempotency-Key: k4\r\n"
        "Content-Length: 5000000\r\n\r\n"
    )
    caller.sendall(head.encode() + b"{}\n" * 700_000)
    wait_until(lambda: (server.home / batch_id / "input" / "a.jsonl").exists())
    return caller


def total(server: Served) -> int:
    """Batches that there are, by their folders."""
    return len([path for path in server.home.iterdir() if path.name[0] != "."])


def test_a_key_is_good_for_one_batch_also_of_a_server_that_was_killed(server: Served) -> None:
    first = send(server, "k1")
    assert first.status_code == 201 and "idempotency-replayed" not in first.headers
    second = send(server, '"k1"')
    assert (second.status_code, second.text, second.headers["location"]) == (201, first.text, first.headers["location"])
    assert second.headers["idempotency-replayed"] == "true"
    assert send(server, "k1", concurrency=2).status_code == 422
    assert send(server, "x" * 300).status_code == 400
    sent = upload(server, "k2", b"{}\n")
    assert sent.status_code == 201
    assert upload(server, "k2", b"{ }\n").status_code == 422
    assert upload(server, "k1", b"{}\n").status_code == 422
    refused = send(server, "k3", deadline="never")
    assert refused.status_code == 422
    with begin_upload(server, "torn"):
        server.kill()
    assert (server.home / "torn").exists()
    server.start()
    assert send(server, "k1").json()["batch_id"] == first.json()["batch_id"]
    assert upload(server, "k2", b"{}\n").text == sent.text
    assert send(server, "k3").status_code == 201, "a key that has made nothing is as good as new"
    wait_until(lambda: not (server.home / "torn").exists())
    assert total(server) == 3
    keys = list((server.home / ".server" / "keys").iterdir())
    assert len(keys) == 4 and not [path for path in keys if path.stat().st_mode & 0o077]


def test_who_stops_an_upload_can_send_it_again_at_once(server: Served) -> None:
    begin_upload(server, "torn").close()
    where = "/api/v1/batches/upload?func=pipe:title&name=a.jsonl&batch_id=torn"
    again = server.client.post(where, content=b"{}\n", headers={"Idempotency-Key": "k4"})
    assert (again.status_code, again.json().get("batch_id")) == (201, "torn"), again.text
    assert server.wait_for("torn")["success_count"] == 1


def test_a_server_killed_while_a_batch_is_made_knows_it_by_its_key(server: Served, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(send, server, "k1", "slow:title")
        wait_until((tmp_path / "loading").exists)
        assert send(server, "k1", "slow:title").status_code == 409
        server.kill()
        assert isinstance(lost.exception(30), httpx.TransportError)
    server.start()
    again = send(server, "k1", "slow:title")
    assert again.status_code == 409, "the process that makes it has outlived the server"
    (tmp_path / "loaded").touch()
    answers: list[httpx.Response] = []

    def is_there() -> bool:
        answers.append(send(server, "k1", "slow:title"))
        return answers[-1].status_code != 409

    wait_until(is_there)
    assert answers[-1].status_code == 201 and answers[-1].headers["idempotency-replayed"] == "true"
    assert total(server) == 1
    assert server.wait_for(answers[-1].json()["batch_id"])["success_count"] == 2
