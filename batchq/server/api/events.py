"""Server-sent events: how a batch, or all of them, move; a client that comes back goes on where it was."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from batchq.errors import BatchqError
from batchq.server.api import params
from batchq.server.api.answers import state_of
from batchq.server.security.guard import still_known
from batchq.server.streaming.feed import BatchFeed, Feed, HomeFeed, Watcher, WatcherBarred, WatcherLeft, deleted
from batchq.server.streaming.flow import PIECE_BYTES, when_left
from batchq.server.streaming.load import Slots

HEARTBEAT: Final = b": still here\n\n"
RETRY: Final = b"retry: 1000\n\n"
"""A client whose connection is cut comes back after a second."""
ALL: Final = ("1", "true")
ONLY_FAILED: Final = "failed"

log = logging.getLogger(__name__)

Write = Callable[[bytes], Awaitable[None]]


async def batch_events(request: Request) -> Response:
    """GET /api/v1/batches/{batch_id}/events?outcomes=: its status at each change, and its outcomes."""
    params.only(request, "outcomes")
    wanted = params.choice(request, "outcomes", (*ALL, ONLY_FAILED, "0", "false"), "0")
    state = state_of(request)
    batch_id = request.path_params["batch_id"]
    await state.catalog.current(batch_id)
    feed = state.load.feeds.batch(state.catalog, state.settings.home, batch_id)
    last = _last_id(request)

    async def follow(write: Write, watcher: Watcher) -> None:
        if wanted in (*ALL, ONLY_FAILED):
            await _outcomes(feed, write, watcher, last, wanted == ONLY_FAILED)
        else:
            await _status(feed, write, watcher, last)
        if feed.is_deleted:
            await write(deleted(batch_id))

    return EventStream(feed, follow, state.load.streams, still_known(request, state.access))


async def home_events(request: Request) -> Response:
    """GET /api/v1/events: each batch that has changed."""
    params.only(request)
    state = state_of(request)
    feed = state.load.feeds.home(state.catalog)
    last = _last_id(request)

    async def follow(write: Write, watcher: Watcher) -> None:
        await _batches(feed, write, watcher, last)

    return EventStream(feed, follow, state.load.streams, still_known(request, state.access))


def _last_id(request: Request) -> int:
    text = request.headers.get("last-event-id", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


async def _status(feed: BatchFeed, write: Write, watcher: Watcher, seen: int) -> None:
    """Each status that the client has not seen."""
    beats = feed.beats
    while not feed.has_ended:
        if feed.version != seen:
            seen = feed.version
            await write(feed.status)
        elif feed.beats != beats:
            await write(HEARTBEAT)
        beats = feed.beats
        await watcher.woken()


async def _outcomes(feed: BatchFeed, write: Write, watcher: Watcher, number: int, only_failed: bool) -> None:
    """Each outcome behind `number`, and the status after those that it counts; the first status comes at once."""
    await write(feed.unnumbered)
    seen, beats = 0, feed.beats
    while not feed.has_ended:
        version, status = feed.version, feed.unnumbered
        with suppress(BatchqError):  # that cannot be read now; the next look tries again
            last, events = await feed.outcomes(number, only_failed)
            while last != number:
                number = last
                await write(events)
                last, events = await feed.outcomes(number, only_failed)
        if version != seen:
            seen = version
            await write(status)
        elif feed.beats != beats:
            await write(HEARTBEAT)
        beats = feed.beats
        await watcher.woken()


async def _batches(feed: HomeFeed, write: Write, watcher: Watcher, seen: int) -> None:
    """Each status of each batch that the client has not seen."""
    if not seen or seen > feed.version:  # of a server that had counted further, before its count was lost
        deletions, seen = feed.deletions, feed.version
        await write(feed.recent())
    else:
        deletions = feed.deletions_before(seen)
    beats = feed.beats
    while not feed.has_ended:
        if feed.version != seen or feed.deletions != deletions:
            events = feed.since(seen, deletions)
            seen, deletions = feed.version, feed.deletions
            await write(events)
        elif feed.beats != beats:
            await write(HEARTBEAT)
        beats = feed.beats
        await watcher.woken()


class EventStream(Response):
    """Events for one client, until it leaves or there will be no more.

    Args:
        feed: what it watches.
        follow: writes events, of which each call waits until the client has room for them.
        slots: one of which it takes.
        may_watch: whether the client still may.
    """

    def __init__(
        self,
        feed: Feed,
        follow: Callable[[Write, Watcher], Awaitable[None]],
        slots: Slots,
        may_watch: Callable[[], bool],
    ) -> None:
        super().__init__(None, 200, {"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.headers["content-type"] = "text/event-stream"
        self._feed = feed
        self._follow = follow
        self._slots = slots
        self._may_watch = may_watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them; raises `Problem` 503 where too many watch already."""
        end = {"type": "http.response.body", "body": b"", "more_body": False}
        if scope["method"] == "HEAD":
            await self._begin(send)
            await send(end)
            return
        self._slots.take()
        watcher = Watcher(self._may_watch)
        watch = asyncio.create_task(when_left(receive, watcher.leave))
        try:
            with self._feed.watched(watcher):
                await self._begin(send)
                with suppress(WatcherBarred):
                    await self._run(send, watcher)
            await send(end)
        except WatcherLeft:
            pass
        except asyncio.CancelledError:
            if not watcher.is_cut:
                raise
            # To leave without having sent the end makes the server close the connection.
            log.warning("a client that watches took nothing for too long, and was cut off")
        finally:
            watch.cancel()
            self._slots.give_back()

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _run(self, send: Send, watcher: Watcher) -> None:
        async def write(data: bytes) -> None:
            # What is sent at once is held until the last of it is taken, for each client that does not read.
            for start in range(0, len(data), PIECE_BYTES):
                watcher.check()
                watcher.sending_since = time.monotonic()
                await send({"type": "http.response.body", "body": data[start : start + PIECE_BYTES], "more_body": True})
                watcher.sending_since = None

        await write(RETRY)
        await self._feed.first_look()
        await self._follow(write, watcher)
