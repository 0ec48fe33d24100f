"""Connections that cost no more than they are worth: slow clients are cut off, and there is an end to their number.

uvicorn waits for ever for the head of a request, for a body, and for a reader that does not read.  Each connection is
looked at about once a second:

    idle ──first byte──▶ head ──▶ body ──▶ answer ──▶ idle
     │                    │        │         │
     │                    │        │         └ nothing of it taken for a minute: cut off
     │                    │        └ slower than a telephone line: cut off
     │                    └ not complete after ten seconds: cut off
     └ half a minute (uvicorn's keep-alive), or sooner when others need the place

What it uses of uvicorn's protocol is little, and the same in all of its versions since 0.30.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import struct
import sys
import termios
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from batchq.server.problems import Problem
from batchq.server.security.headers import HEADERS

LOOK_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long a client is waited for.

    Attributes:
        head_seconds: for the line and the headers of a request, from its first byte on.
        body_seconds: for `body_bytes` of a body, as often as it takes.
        body_bytes: with the default 1,000 bytes a second, a tenth of what a bad mobile network gives.
        answer_seconds: for a reader to take anything at all of what is ready for it.
        idle_seconds: for the next request on a connection.
        connections: at a time; the one that has been idle longest makes room for the next.
    """

    head_seconds: float = 10.0
    body_seconds: float = 20.0
    body_bytes: int = 20_000
    answer_seconds: float = 60.0
    idle_seconds: int = 30
    connections: int = 1000


class PatientProtocol(H11Protocol):
    """HTTP on one connection, as long as its client deserves patience.

    Take `protocol` for one with other limits.
    """

    patience: ClassVar[Patience] = Patience()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        limits = self.patience
        self._idle_since: float | None = self.loop.time()
        self._head_waited: float | None = 0.0
        self._body_waited, self._body_bytes = 0.0, 0
        self._answer_waited, self._left = 0.0, 0
        self._every = min(LOOK_SECONDS, min(limits.head_seconds, limits.body_seconds, limits.answer_seconds) / 4)
        self._looked_at = self._idle_since
        self._next_look = self.loop.call_later(self._every, self._look)
        if len(self.connections) > limits.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._next_look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request has come."""
        if self._idle_since is not None and self._head_waited is None:
            self._head_waited = 0.0
        self._body_bytes += len(data)
        super().data_received(data)
        if self._is_busy():
            self._idle_since = self._head_waited = None

    def on_response_complete(self) -> None:
        """The answer is written; what has not come of the request's body by now is of no use."""
        self._idle_since = self.loop.time()
        self._head_waited = 0.0 if self.conn.their_state is h11.SEND_BODY else None
        super().on_response_complete()
        if self._is_busy():  # by a request that had come already
            self._idle_since = self._head_waited = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or too much of it."""
        error = sys.exc_info()[1]  # uvicorn does not hand on what h11 has found
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        if self._is_busy():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._answer(Problem(status, f"this is not HTTP as it should be: {error or msg}"))
        else:
            self.transport.abort()

    def _answer(self, problem: Problem) -> None:
        """Answer in the place of the application, and hang up."""
        made = problem.response()
        headers = [*made.raw_headers, *((name.lower().encode(), value.encode()) for name, value in HEADERS.items())]
        for event in (
            h11.Response(status_code=made.status_code, headers=[*headers, (b"connection", b"close")]),
            h11.Data(data=bytes(made.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def _should_upgrade(self) -> bool:
        return False

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _make_room(self) -> None:
        others = [each for each in self.connections if each is not self and isinstance(each, PatientProtocol)]
        idle = [each for each in others if each._idle_since is not None and not each.transport.is_closing()]
        if idle:
            min(idle, key=lambda each: each._idle_since or 0.0)._cut_off("another needs its place")
        else:
            self._answer(Problem(503, "too many connections", headers={"Retry-After": "5"}))

    def _look(self) -> None:
        now = self.loop.time()
        # When this process has stood still, it is not the clients who were slow.
        step = min(now - self._looked_at, 2 * self._every)
        self._looked_at = now
        self._next_look = self.loop.call_later(self._every, self._look)
        if self._is_head_slow(step):
            self._cut_off("no whole request came")
        elif self._is_body_slow(step):
            self._cut_off("the body came too slowly")
        elif self._is_answer_stuck(step):
            self._cut_off("it does not read its answer")

    def _is_head_slow(self, step: float) -> bool:
        if self._head_waited is None:
            return False
        self._head_waited += step
        return self._head_waited >= self.patience.head_seconds

    def _is_body_slow(self, step: float) -> bool:
        cycle = self.cycle
        is_due = self._is_busy() and cycle.more_body and not cycle.waiting_for_100_continue
        if is_due and not self.flow.read_paused:
            self._body_waited += step
            if self._body_waited < self.patience.body_seconds:
                return False
            if self._body_bytes < self.patience.body_bytes:
                return True
        self._body_waited, self._body_bytes = 0.0, 0
        return False

    def _is_answer_stuck(self, step: float) -> bool:
        left = self.transport.get_write_buffer_size() + _unsent(self.transport)
        is_moving = left == 0 or left < self._left
        self._answer_waited = 0.0 if is_moving else self._answer_waited + step
        self._left = left
        return self._answer_waited >= self.patience.answer_seconds

    def _cut_off(self, why: str) -> None:
        log.debug("%s: cut off: %s", self.client, why)
        self.transport.abort()


def protocol(patience: Patience) -> type[PatientProtocol]:
    """A protocol with these limits, for `uvicorn.Config(http=…)`."""
    return type("Protocol", (PatientProtocol,), {"patience": patience})


def most_connections() -> int:
    """How many connections this process can hold beside the files that it needs."""
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = Patience.connections
    return most if files == resource.RLIM_INFINITY else max(32, min(most, files - 256))


def _unsent(transport: Any) -> int:
    """Bytes in the kernel that the other side has not confirmed: those in our own memory are not all."""
    try:
        asked = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    except (OSError, AttributeError, ValueError):
        return 0
    return int(struct.unpack("i", asked)[0])
