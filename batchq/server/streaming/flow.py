"""Long answers on their way from a thread that makes them to a client that takes them as fast as it can.

    thread ── write ──▶ Pipe: a few pieces, then the thread waits ── next ──▶ event loop ── send ──▶ client

A client that leaves, or takes nothing for long, ends the work.  What fails before the first piece is an error like any
other; what fails later breaks the connection off, so that nobody takes what has come for the whole.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from batchq.errors import BatchqError
from batchq.server.streaming.load import Slots

PIECE_BYTES: Final = 256 * 1024
AHEAD: Final = 4
"""Pieces that are made before the client has taken the ones before."""
STALL_SECONDS: Final = 60.0
"""A client that takes nothing for so long is cut off."""

log = logging.getLogger(__name__)


class ClientLeft(Exception):
    """Nobody wants the answer any more."""


class Pipe:
    """Takes bytes from one thread, and hands them to the event loop in which it was made.

    Args:
        make: writes the bytes to the pipe; called in a thread of its own. It may call `check`, too.
        ended: called in the event loop when the thread has ended.
    """

    def __init__(self, make: Callable[[Pipe], None], ended: Callable[[], None]) -> None:
        self._make = make
        self._tell_end = ended
        self._loop = asyncio.get_running_loop()
        self._held = bytearray()
        self._pieces: deque[bytes] = deque()
        self._room = threading.Semaphore(AHEAD)
        self._came = asyncio.Event()
        self._has_ended = self._has_left = False
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="batchq-download", daemon=True).start()

    def write(self, data: bytes) -> int:
        """Hand bytes on, from the thread; waits while there is no room. Raises `ClientLeft`."""
        view = memoryview(data)
        for start in range(0, len(view), PIECE_BYTES):
            self._held += view[start : start + PIECE_BYTES]
            if len(self._held) >= PIECE_BYTES:
                self._flush()
        return len(data)

    def check(self) -> None:
        """Raise `ClientLeft`, in the thread, where nobody waits for more."""
        if self._has_left:
            raise ClientLeft

    async def next(self) -> bytes | None:
        """The next bytes, in the event loop; None at the end. Raises what the thread has raised, or `ClientLeft`."""
        while not self._pieces and not self._has_ended and not self._has_left:
            self._came.clear()
            await self._came.wait()
        self.check()
        if self._pieces:
            self._room.release()
            return self._pieces.popleft()
        if self._error is not None:
            raise self._error
        return None

    def leave(self) -> None:
        """The client has left: the thread ends at its next look."""
        self._has_left = True
        self._room.release()
        self._came.set()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._make(self)
            self._flush()
        except BaseException as raised:  # carried to the loop
            error = raised
        with suppress(RuntimeError):  # the loop is closed: the server has ended
            self._loop.call_soon_threadsafe(self._end, error)

    def _flush(self) -> None:
        if not self._held:
            return
        self._room.acquire()
        self.check()
        piece = bytes(self._held)
        self._held.clear()
        try:
            self._loop.call_soon_threadsafe(self._take, piece)
        except RuntimeError:
            raise ClientLeft from None

    def _take(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._came.set()

    def _end(self, error: BaseException | None) -> None:
        self._has_ended, self._error = True, error
        self._came.set()
        self._tell_end()


class Download(Response):
    """An answer that is made while it is sent.

    Args:
        make: writes it to a `Pipe`, in a thread.
        slots: one of which it takes.
        media_type: what it is.
        file_name: under which a browser keeps it; letters, digits, dots, dashes and underscores.
        headers: more headers.
    """

    def __init__(
        self,
        make: Callable[[Pipe], None],
        slots: Slots,
        media_type: str,
        file_name: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(None, 200, {"Content-Disposition": f'attachment; filename="{file_name}"', **(headers or {})})
        del self.headers["content-length"]
        self.headers["content-type"] = media_type
        self._make = make
        self._slots = slots
        self._name = file_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; raises what goes wrong before there is anything to send."""
        if scope["method"] == "HEAD":
            await self._begin(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        self._slots.take()
        pipe = Pipe(self._make, self._slots.give_back)
        watch = asyncio.create_task(when_left(receive, pipe.leave))
        try:
            piece = await pipe.next()
            await self._begin(send)
            await self._send_rest(send, pipe, piece)
        except ClientLeft:
            log.info("%s: the client has left", self._name)
        finally:
            pipe.leave()
            watch.cancel()

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _send_rest(self, send: Send, pipe: Pipe, piece: bytes | None) -> None:
        try:
            while piece is not None:
                message = {"type": "http.response.body", "body": piece, "more_body": True}
                await asyncio.wait_for(send(message), STALL_SECONDS)
                piece = await pipe.next()
        # To leave without having sent the end makes the server close the connection.
        except asyncio.TimeoutError:
            log.warning("%s: cut off: the client took nothing for %g s", self._name, STALL_SECONDS)
            return
        except BatchqError as error:
            log.error("%s: cut off: %s", self._name, error)
            return
        except ClientLeft:
            raise
        except Exception:
            log.exception("%s: cut off", self._name)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def when_left(receive: Receive, tell: Callable[[], None]) -> None:
    """Call `tell` when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
    tell()
