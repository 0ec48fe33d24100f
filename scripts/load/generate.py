"""Load on a server: clients that watch, and calls of one path at a steady rate; or a server that costs nothing.

    python -m scripts.load.generate URL TOKEN BATCH_ID WATCHERS RATE    until standard input ends; then counts as JSON
    python -m scripts.load.generate dummy BYTES                         answers the same calls, with so many bytes

Written on bare protocols: a comfortable client would cost more than the server that it is to measure.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from urllib.parse import urlsplit

CONNECTIONS = 16
"""For calls; as many can be under way."""
EVENTS_SECONDS = 0.5
LAST_SECONDS = 30.0
"""After the end for what is due, at most: a call that has no answer then, or a watcher that was told nothing, is an
error.  How late the others are is told by the latencies."""
NICE = 5
"""So that the load takes nothing from what it is put on; a late call counts from when it was due all the same."""


class Caller(asyncio.Protocol):
    """A connection for calls, one after the other."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._began = 0.0
        self._left = -1
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._load.free.append(self)
        self._load.callers += 1

    def call(self, due: float) -> None:
        """Send the request; its time runs since it was due."""
        self._began = due
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        if self._left < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._head[:end].lower()
            at = head.find(b"content-length: ") + 16
            self._left = int(head[at : head.find(b"\r\n", at) if b"\r\n" in head[at:] else None])
            self._load.errors += not head.startswith(b"http/1.1 200")
            data, self._head = self._head[end + 4 :], b""
        self._left -= len(data)
        if self._left <= 0:
            self._left = -1
            self._load.latencies.append(time.perf_counter() - self._began)
            self._load.free.append(self)
            self._load.send_due()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost()


class Watching(asyncio.Protocol):
    """A connection for events, which are counted and not parsed."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._has_begun = False
        load.silent += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._load.watch)

    def data_received(self, data: bytes) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._load.silent -= 1
            self._load.errors += not data.startswith(b"HTTP/1.1 200")
        self._load.events += data.count(b"event: status")

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost()


class Load:
    """Calls and watchers on one server."""

    def __init__(self, url: str, token: str, batch_id: str) -> None:
        address = urlsplit(url)
        self.host, self.port = address.hostname, address.port
        head = f"HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n"
        self.request = f"GET /api/v1/batches/{batch_id} {head}".encode()
        self.watch = f"GET /api/v1/batches/{batch_id}/events {head}".encode()
        self.free: list[Caller] = []
        self.due: deque[float] = deque()
        self.latencies: list[float] = []
        self.events = self.errors = 0
        self.sent = self.callers = 0
        self.silent = 0
        """Watchers that nothing has been told yet."""
        self.is_ending = False

    def lost(self) -> None:
        """A connection has ended; before the end that is an error."""
        self.errors += not self.is_ending

    def send_due(self) -> None:
        """Send what is due, as far as there are connections."""
        while self.due and self.free:
            self.free.pop().call(self.due.popleft())

    async def run(self, watchers: int, rate: float) -> None:
        """Until standard input ends."""
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Caller(self), self.host, self.port)
        for _ in range(watchers):
            await loop.create_connection(lambda: Watching(self), self.host, self.port)
        print("ready", flush=True)
        ended = loop.run_in_executor(None, sys.stdin.read)
        begun = time.perf_counter()
        while not ended.done():
            wanted = int((time.perf_counter() - begun) * rate)
            self.due.extend(begun + number / rate for number in range(self.sent, wanted))
            self.sent = wanted
            self.send_due()
            await asyncio.sleep(0.01)
        until = time.perf_counter() + LAST_SECONDS
        while (self.due or len(self.free) < self.callers or self.silent) and time.perf_counter() < until:
            self.send_due()
            await asyncio.sleep(0.01)
        self.is_ending = True
        self.errors += self.sent - len(self.latencies) + self.silent

    def counts(self) -> dict[str, float]:
        """What came of it."""
        ordered = sorted(self.latencies) or [0.0]
        times = os.times()
        return {
            "calls": len(self.latencies),
            "calls_due": self.sent,
            "events": self.events,
            "errors": self.errors,
            "p50_ms": round(1000 * ordered[len(ordered) // 2], 2),
            "p99_ms": round(1000 * ordered[len(ordered) * 99 // 100], 2),
            "cpu_seconds": times.user + times.system,
        }


class Dummy(asyncio.Protocol):
    """Answers calls with always the same bytes, and watchers twice a second."""

    size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if b"/events" not in data:
            answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (self.size, b"x" * self.size)
            self._transport.write(answer)
        else:
            self._transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
            self._tell()

    def _tell(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"event: status\ndata: %s\n\n" % (b"x" * self.size))
            asyncio.get_running_loop().call_later(EVENTS_SECONDS, self._tell)


async def serve_dummy(size: int) -> None:
    """Until standard input ends; the address is told first."""
    Dummy.size = size
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Dummy, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Be one of the two."""
    if sys.argv[1] == "dummy":
        asyncio.run(serve_dummy(int(sys.argv[2])))
        return
    url, token, batch_id, watchers, rate = sys.argv[1:]
    os.nice(NICE)
    load = Load(url, token, batch_id)
    asyncio.run(load.run(int(watchers), float(rate)))
    print(json.dumps(load.counts()), flush=True)


if __name__ == "__main__":
    main()
