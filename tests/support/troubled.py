"""An HTTP server with the troubles that servers have, in a thread of the test's own process."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from aiohttp import web

LARGE: Final = 200_000
"""Bytes of an answer that is larger than the tests allow."""
TROUBLES: Final = ("busy", "broken", "half", "garbled")
"""What goes by: an item with one of these in ``trouble`` is answered so the first time, and as it should be then."""


class Call(NamedTuple):
    """A request that came.

    Attributes:
        at: monotonic time.
        method: of the request.
        host: that it was sent to, without the port.
        target: path and query as they came.
        headers: by their names in small letters.
        body: as it came.
    """

    at: float
    method: str
    host: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Troubled:
    """What came, and whether the troubles that stay are over.

    Attributes:
        url: its address; ``localhost`` in the place of 127.0.0.1 is another host.
        calls: by path, in the order in which they came.
        healed: from now on nothing is wrong.
    """

    def __init__(self) -> None:
        self.calls: dict[str, list[Call]] = defaultdict(list)
        self.healed = False

    @classmethod
    @contextmanager
    def listening(cls) -> Iterator[Troubled]:
        """One that listens during the block."""
        server = cls()
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            runner = asyncio.run_coroutine_threadsafe(server._open(), loop).result(30)
            yield server
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(30)
            loop.close()

    @property
    def elsewhere(self) -> str:
        """The same server as another host."""
        return self.url.replace("127.0.0.1", "localhost")

    async def _open(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/notes/{id}", self._note)
        app.router.add_route("*", "/status/{status}", self._status)
        app.router.add_route("*", "/to/{status}", self._redirect)
        app.router.add_route("*", "/{rest:.*}", self._echo)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def _noted(self, request: web.Request) -> Call:
        headers = {name.lower(): value for name, value in request.headers.items()}
        host = request.host.partition(":")[0]
        call = Call(time.monotonic(), request.method, host, request.raw_path, headers, await request.read())
        self.calls[request.path].append(call)
        return call

    async def _note(self, request: web.Request) -> web.StreamResponse:
        """What its item asks for, the first time or ever."""
        call = await self._noted(request)
        item: dict[str, Any] = json.loads(call.body)
        trouble = item.get("trouble")
        if self.healed or (trouble in TROUBLES and len(self.calls[request.path]) > 1):
            trouble = None
        if trouble == "busy":
            return web.Response(status=429, headers={"Retry-After": "2"}, text="slow down")
        if trouble == "broken":
            return web.Response(status=500, text=f"failed for {call.headers.get('authorization')}")
        if trouble == "half":
            return await _half(request)
        if trouble == "garbled":
            return web.Response(body=b'{"n": ', content_type="application/json")
        if trouble == "large":
            return web.Response(body=b"x" * LARGE)
        if trouble == "bomb":
            return web.Response(body=gzip.compress(b"x" * LARGE), headers={"Content-Encoding": "gzip"})
        if trouble == "gone":
            return web.Response(status=404, text="no such note")
        if trouble == "moved":
            return web.Response(status=307, headers={"Location": f"{self.elsewhere}/moved"})
        return web.json_response({"n": item["n"], "for": call.headers.get("authorization")})

    async def _status(self, request: web.Request) -> web.Response:
        """An answer with a status, and with the headers of the query."""
        await self._noted(request)
        return web.Response(status=int(request.match_info["status"]), text="as asked", headers=dict(request.query))

    async def _redirect(self, request: web.Request) -> web.Response:
        """A redirect to the place of the query."""
        await self._noted(request)
        return web.Response(status=int(request.match_info["status"]), headers={"Location": request.query["at"]})

    async def _echo(self, request: web.Request) -> web.Response:
        call = await self._noted(request)
        answer = web.json_response({"method": call.method, "body": call.body.decode()})
        answer.set_cookie("visit", "1")
        return answer


async def _half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"n": ')
    assert request.transport is not None
    request.transport.close()
    return response
