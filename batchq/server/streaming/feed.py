"""What moves, told to all who watch: one look and one text for everybody, however many they are.

    catalog ── a look each half second ──▶ Feed ── wakes ──▶ watchers ── send ──▶ clients

A watcher keeps nothing but how far its client is.  While a client does not read, nothing is gathered for it: when it
reads again it gets how things stand then, and outcomes from the batch's file.  All of it lives in the event loop.
"""

from __future__ import annotations

import asyncio
import bisect
import json
import logging
import time
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from batchq.errors import BatchNotFound, BatchqError
from batchq.model import ENDED
from batchq.server.running.catalog import Catalog, Entry
from batchq.store.home import Home
from batchq.store.reading import reading

LOOK_SECONDS: Final = 0.5
"""Two events a second of a batch are as many as somebody can follow."""
HEARTBEAT_SECONDS: Final = 15.0
"""Proxies cut off what is silent for longer than 30 or 60 s."""
STALL_SECONDS: Final = 30.0
"""A client that takes nothing for so long is cut off."""
RECENT_SECONDS: Final = 600.0
"""Who begins to watch a home is told of the batches that live, or that ended so recently."""
PAGES: Final = 8
"""Pages of outcomes that are kept for those who are about as far."""
PAGES_BYTES: Final = 16 * 1024 * 1024
DELETIONS: Final = 1000

log = logging.getLogger(__name__)


def event(kind: str, number: int | None, body: str) -> bytes:
    """A server-sent event; without a number the client's last one stays what it was.

    Example:
        >>> event("status", 7, "{}")
        b'event: status\\nid: 7\\ndata: {}\\n\\n'
    """
    named = "" if number is None else f"id: {number}\n"
    return f"event: {kind}\n{named}data: {body.rstrip()}\n\n".encode("utf-8", "backslashreplace")


def deleted(batch_id: str, number: int | None = None) -> bytes:
    """The event of a batch that is gone."""
    return event("deleted", number, json.dumps({"batch_id": batch_id}))


class WatcherLeft(Exception):
    """The client has closed the connection."""


class WatcherBarred(Exception):
    """The client may watch no longer."""


class Watcher:
    """One client that watches.

    Args:
        may_watch: asked now and then whether it still may.

    Attributes:
        has_left: the client has closed the connection.
        is_barred: it may watch no longer.
        is_cut: it took nothing for too long, and is cut off.
        sending_since: monotonic seconds since when it takes nothing; None where nothing waits for it.
    """

    def __init__(self, may_watch: Callable[[], bool] = lambda: True) -> None:
        self._task = asyncio.current_task()
        self._woken = asyncio.Event()
        self._may_watch = may_watch
        self.has_left = self.is_barred = self.is_cut = False
        self.sending_since: float | None = None

    def wake(self) -> None:
        """There is something to look at."""
        self._woken.set()

    async def woken(self) -> None:
        """Wait until there is; raises as `check` does."""
        await self._woken.wait()
        self._woken.clear()
        self.check()

    def check(self) -> None:
        """Raise `WatcherLeft` or `WatcherBarred` where nothing more is to be sent."""
        if self.has_left:
            raise WatcherLeft
        if self.is_barred:
            raise WatcherBarred

    def leave(self) -> None:
        """The client has left."""
        self.has_left = True
        self.wake()

    def ask(self) -> None:
        """Ask whether the client still may watch."""
        if not self._may_watch():
            self.is_barred = True
            self.wake()

    def cut_off(self) -> None:
        """End it although it waits for its client."""
        self.is_cut = True
        if self._task is not None:
            self._task.cancel()


class Feed(ABC):
    """Looks for all its watchers, and wakes them when there is something new, and now and then when there is not.

    Attributes:
        has_ended: there will be nothing more.
        beats: grows when watchers are woken although nothing is new.
    """

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self._looking: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()
        self.has_ended = False
        self.beats = 0

    @property
    def is_watched(self) -> bool:
        """Whether somebody watches."""
        return bool(self._watchers)

    @contextmanager
    def watched(self, watcher: Watcher) -> Iterator[None]:
        """Wake `watcher` during the block."""
        self._watchers.add(watcher)
        if self._looking is None:
            self._looking = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._watchers.discard(watcher)

    async def first_look(self) -> None:
        """Wait until there was a look."""
        await self._looked.wait()

    def stop(self) -> None:
        """Nothing more will come."""
        self.has_ended = True
        self._looked.set()
        self._wake()

    @abstractmethod
    async def look(self) -> bool:
        """Look; whether something is new."""

    async def _run(self) -> None:
        beat = time.monotonic()
        while self._watchers and not self.has_ended:
            is_new = await self._try_look()
            self._looked.set()
            for watcher in self._watchers:
                watcher.ask()
            now = time.monotonic()
            if is_new or now - beat >= HEARTBEAT_SECONDS:
                beat = now
                self.beats += not is_new
                self._wake()
            for watcher in [each for each in self._watchers if each.sending_since is not None]:
                if now - (watcher.sending_since or now) > STALL_SECONDS:
                    watcher.cut_off()
            await asyncio.sleep(LOOK_SECONDS)
        self._looking = None
        self._looked.clear()

    async def _try_look(self) -> bool:
        try:
            return await self.look()
        except BatchqError as error:  # a file that cannot be read now; the watchers stay
            log.warning("%s", error)
        except Exception:
            log.exception("a look for the watchers failed")
        return False

    def _wake(self) -> None:
        for watcher in self._watchers:
            watcher.wake()


class BatchFeed(Feed):
    """How one batch stands, and its outcomes.

    Args:
        catalog: knows how it stands.
        home: where it is.
        batch_id: the batch.

    Attributes:
        version: of the status; 0 before the first look.
        status: the event of it, with its number.
        unnumbered: the same without, for those who count outcomes.
        is_deleted: the batch is gone.
    """

    def __init__(self, catalog: Catalog, home: Home, batch_id: str) -> None:
        super().__init__()
        self._catalog = catalog
        self._home = home
        self._pages: OrderedDict[tuple[int, bool], tuple[int, bytes]] = OrderedDict()
        self._reading = asyncio.Lock()
        self.batch_id = batch_id
        self.version = 0
        self.status = self.unnumbered = b""
        self.is_deleted = False

    async def look(self) -> bool:
        """Look; whether the status is new."""
        try:
            entry = await self._catalog.current(self.batch_id)
        except BatchNotFound:
            self.is_deleted = self.has_ended = True
            return True
        if entry.version == self.version:
            return False
        self.version = entry.version
        self.status = event("status", entry.version, entry.body)
        self.unnumbered = event("status", None, entry.body)
        return True

    async def outcomes(self, after: int, only_failed: bool) -> tuple[int, bytes]:
        """The next outcomes as events, and the number of the last one that was looked at: `after`, where none is new.

        Raises:
            BatchqError: the batch's file cannot be read.
        """
        key = after, only_failed
        async with self._reading:
            found = self._pages.get(key)
            if found is None:
                found = await asyncio.to_thread(self._read, after, only_failed)
                if found[0] != after:  # else there may be some by the next look
                    self._keep(key, found)
            return found

    def _read(self, after: int, only_failed: bool) -> tuple[int, bytes]:
        with reading(self._home.find(self.batch_id).database) as reader:
            if after > reader.last_commit():
                # Of another batch of that name, or lost in a power cut: rather all once more than some never.
                after = 0
            last, page = reader.numbered_lines(after, only_failed)
        events = b"".join([event("outcome", number, line) for number, line in page])
        # A number by itself is no event, and moves the place from which a client goes on.
        return last, events if page or last == after else f"id: {last}\n\n".encode()

    def _keep(self, key: tuple[int, bool], page: tuple[int, bytes]) -> None:
        self._pages[key] = page
        while len(self._pages) > PAGES or sum(len(events) for _, events in self._pages.values()) > PAGES_BYTES:
            self._pages.popitem(last=False)


class HomeFeed(Feed):
    """How all batches of a home stand.

    Args:
        catalog: knows them.

    Attributes:
        version: the highest one of all batches.
        deletions: batches that have gone since the feed began.
    """

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        self._catalog = catalog
        self._known: dict[str, tuple[int, bytes]] = {}
        self._ordered: list[tuple[int, bytes]] = []
        self._recent: list[bytes] = []
        self._deleted: deque[tuple[int, bytes]] = deque(maxlen=DELETIONS)
        self.version = 0
        self.deletions = 0

    async def look(self) -> bool:
        """Look; whether a batch has changed, come or gone."""
        entries = self._catalog.entries()
        before = self._known
        self._known = {entry.status.batch_id: self._event(entry, before) for entry in entries}
        gone = before.keys() - self._known.keys()
        if not gone and self._known == before:
            return False
        self._ordered = sorted(self._known.values())
        self.version = max([self.version, *(number for number, _ in self._ordered[-1:])])
        self._deleted.extend((self.version, deleted(batch_id, self.version)) for batch_id in sorted(gone))
        self.deletions += len(gone)
        self._recent = [self._known[entry.status.batch_id][1] for entry in reversed(entries) if _is_recent(entry)]
        return True

    def recent(self) -> bytes:
        """The events for those who begin to watch."""
        return b"".join(self._recent)

    def since(self, version: int, deletions: int) -> bytes:
        """The events behind `version`, and behind so many deletions."""
        start = bisect.bisect_right(self._ordered, version, key=lambda each: each[0])
        new = self.deletions - deletions
        gone = [told for _, told in list(self._deleted)[-new:]] if new else []
        return b"".join(gone + [told for _, told in self._ordered[start:]])

    def deletions_before(self, version: int) -> int:
        """How many deletions a client surely knows whose last event was `version`: not those at that very one."""
        return self.deletions - sum(number >= version for number, _ in self._deleted)

    def _event(self, entry: Entry, before: dict[str, tuple[int, bytes]]) -> tuple[int, bytes]:
        known = before.get(entry.status.batch_id)
        if known is not None and known[0] == entry.version:
            return known
        return entry.version, event("status", entry.version, entry.body)


def _is_recent(entry: Entry) -> bool:
    status = entry.status
    return status.state not in ENDED or time.time() - (status.ended_at or 0.0) < RECENT_SECONDS


class Feeds:
    """The feeds that somebody watches, or has watched lately.

    Attributes:
        is_stopping: the server ends, and with it all that is watched.
    """

    def __init__(self) -> None:
        self._home: HomeFeed | None = None
        self._batches: dict[str, BatchFeed] = {}
        self.is_stopping = False

    def home(self, catalog: Catalog) -> HomeFeed:
        """The feed of all batches."""
        if self._home is None:
            self._home = HomeFeed(catalog)
        return self._home

    def batch(self, catalog: Catalog, home: Home, batch_id: str) -> BatchFeed:
        """The feed of one batch."""
        for name in [name for name, feed in self._batches.items() if not feed.is_watched]:
            del self._batches[name]
        feed = self._batches.get(batch_id)
        if feed is None or feed.has_ended:
            feed = self._batches[batch_id] = BatchFeed(catalog, home, batch_id)
        return feed

    def stop(self) -> None:
        """End all that is watched."""
        self.is_stopping = True
        for feed in [*self._batches.values(), *([self._home] if self._home else [])]:
            feed.stop()
