"""Clients that are slow, many or broken: each test talks to the real protocol over sockets, with little patience."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing, suppress
from http.client import HTTPException, IncompleteRead
from typing import NamedTuple

import pytest
import uvicorn
from raw import ask, connect, is_ended, read_answer
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from waiting import wait_until

from batchq.server.api.faults import Faults
from batchq.server.security.headers import HEADERS, SafeHeaders
from batchq.server.security.slow_clients import Patience
from batchq.server.settings import ServerSettings
from batchq.server.uvicorn_setup import uvicorn_config
from batchq.store.home import Home

pytestmark = pytest.mark.slow

PATIENCE = Patience(
    head_seconds=1.0, body_seconds=1.0, body_bytes=1000, answer_seconds=2.0, idle_seconds=1, connections=60
)
OK = b"GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n"
MEGABYTE = b"x" * 1_000_000


class Running(NamedTuple):
    """A server in a thread of this process.

    Attributes:
        url: its address.
        streams: the names of the answers of /stream that have ended.
        held: one for each call of /hold that has come.
    """

    url: str
    streams: list[str]
    held: list[None]


async def _ok(request: Request) -> Response:
    assert request.client is not None
    return PlainTextResponse(f"{request.client.host} by {request.url.scheme}")


async def _size(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def _crash(request: Request) -> Response:
    raise RuntimeError("the secret of the house")


async def _break(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"begun"
        raise RuntimeError("the secret of the house")

    return StreamingResponse(pieces())


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """The protocol, with applications that read, wait, stream and crash."""
    ended: list[str] = []
    held: list[None] = []

    async def _hold(request: Request) -> Response:
        held.append(None)
        while not await request.is_disconnected():
            await asyncio.sleep(0.02)
        return Response()

    async def _stream(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield MEGABYTE
                    await asyncio.sleep(0)
            finally:
                ended.append(request.query_params["name"])

        return StreamingResponse(pieces())

    calls = {"/ok": _ok, "/size": _size, "/hold": _hold, "/crash": _crash, "/break": _break, "/stream": _stream}
    routes = [Route(path, call, methods=["GET", "POST"]) for path, call in calls.items()]
    app = Starlette(routes=routes, middleware=[Middleware(SafeHeaders), Middleware(Faults)])
    config = uvicorn_config(app, ServerSettings(Home.at("nowhere")), 1, PATIENCE)
    server = uvicorn.Server(config)
    bound = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    wait_until(lambda: server.started)
    yield Running(f"http://127.0.0.1:{bound.getsockname()[1]}", ended, held)
    server.should_exit = True
    thread.join()


def _all_ended(connections: list[socket.socket], drip: bytes = b"") -> bool:
    """Whether all were cut off, although each goes on with a byte now and then."""
    for connection in connections:
        if drip and not is_ended(connection):
            with suppress(ConnectionError):
                connection.send(drip)
    return all(map(is_ended, connections))


def test_fifty_clients_that_never_end_their_request_keep_nobody_from_being_answered(running: Running) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(connect(running.url))) for _ in range(50)]
        for connection in slow:
            connection.sendall(b"GET /ok HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        for _ in range(20):
            assert ask(running.url, OK).status == 200
        wait_until(lambda: _all_ended(slow, b"x"))
        assert ask(running.url, OK).status == 200


def test_client_that_says_nothing_is_cut_off_before_and_between_its_requests(running: Running) -> None:
    with closing(connect(running.url)) as silent, closing(connect(running.url)) as kept:
        kept.sendall(OK)
        assert read_answer(kept).status == 200
        wait_until(lambda: is_ended(silent) and is_ended(kept))


def test_body_that_drips_is_cut_off_whether_somebody_waits_for_it_or_not(running: Running) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(connect(running.url))) for _ in range(3)]
        for connection, path in zip(slow, ("/size", "/hold", "/ok"), strict=True):
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nsome"
            connection.sendall(head.encode())
        wait_until(lambda: _all_ended(slow, b"x"))


def test_body_that_comes_is_read_to_its_end(running: Running) -> None:
    head = b"POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    with closing(connect(running.url)) as connection:
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(MEGABYTE)
        assert read_answer(connection).body == b"1000000"


def test_reader_that_does_not_read_is_cut_off_and_one_that_reads_is_not(running: Running) -> None:
    asked = "GET /stream?name={} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with closing(connect(running.url)) as stuck, closing(connect(running.url)) as reading:
        stuck.sendall(asked.format("stuck").encode())
        reading.sendall(asked.format("reading").encode())
        wait_until(lambda: reading.recv(65536) and "stuck" in running.streams)
        assert "reading" not in running.streams and reading.recv(65536)
    wait_until(lambda: "reading" in running.streams)


def test_idle_connection_makes_room_for_the_next_and_busy_ones_are_kept(running: Running) -> None:
    hold = b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n"
    running.held.clear()
    with ExitStack() as stack:
        busy = []
        for _ in range(PATIENCE.connections - 1):
            busy.append(stack.enter_context(closing(connect(running.url))))
            busy[-1].sendall(hold)  # at once: it has a second for it
        wait_until(lambda: len(running.held) == len(busy))
        idle = stack.enter_context(closing(connect(running.url)))
        assert ask(running.url, OK).status == 200, "there is one place, and the idle one gives it up"
        wait_until(lambda: is_ended(idle))
        last = stack.enter_context(closing(connect(running.url)))
        last.sendall(hold)
        wait_until(lambda: len(running.held) == PATIENCE.connections)
        with closing(connect(running.url)) as connection:
            refused = read_answer(connection)
        assert (refused.status, refused.headers["retry-after"]) == (503, "5") and b"too many" in refused.body
        assert not any(map(is_ended, [*busy, last]))
    wait_until(lambda: _is_answered(running))


def _is_answered(running: Running) -> bool:
    with suppress(OSError, HTTPException):  # refused as long as not all of them are seen to have left
        return ask(running.url, OK).status == 200
    return False


def test_nobody_is_believed_to_call_for_another_unless_the_owner_says_so(running: Running) -> None:
    forged = OK[:-2] + b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nForwarded: for=192.0.2.1\r\n\r\n"
    assert ask(running.url, forged).body == b"127.0.0.1 by http"


def test_fault_is_told_by_a_number_and_the_log_tells_what_it_was(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ask(running.url, b"GET /crash HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer mine\r\n\r\n")
    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert b"secret" not in answer.body and b"RuntimeError" not in answer.body
    number = answer.body.decode().partition('"fault": "')[2][:8]
    assert f"fault {number}" in caplog.text and "RuntimeError: the secret of the house" in caplog.text
    assert "Bearer" not in caplog.text


def test_answer_that_breaks_off_is_not_taken_for_a_whole_one(running: Running) -> None:
    with pytest.raises(IncompleteRead):
        ask(running.url, b"GET /break HTTP/1.1\r\nHost: localhost\r\n\r\n")


def test_nonsense_in_the_middle_of_a_body_ends_the_call(running: Running) -> None:
    head = b"POST /size HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with closing(connect(running.url)) as connection:
        connection.sendall(head + b"4\r\ngood\r\nnonsense\r\n")
        assert read_answer(connection).status == 400
        wait_until(lambda: is_ended(connection))
