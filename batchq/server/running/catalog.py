"""How every batch of a home stands, kept in memory: read a few times a second however many ask.

    daemon ── refresh ──▶ ┌ batch: what was read, its files as they were then ┐ ◀── peek, entry, current ── calls
                          └ one lock a batch: whoever comes second waits, and ┘
                            is answered by what the first has read

A batch that runs is read again and again.  Any other changes only when somebody writes to its files, so they are looked
at instead: a home of thousands of batches that have ended costs next to nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from batchq.app.render import SCHEMA, json_line
from batchq.app.status import RESUMABLE, BatchStatus
from batchq.app.watching import Watch
from batchq.errors import BatchNotFound, BatchqError, StoreError
from batchq.model import ACTIVE, CANCELLED, CANCELLING, COMPLETED, ENDED, EXPIRED, PAUSING, QUEUED
from batchq.server.running.shelf import Batch, Shelf
from batchq.store.home import Home
from batchq.store.reading import reading
from batchq.store.turns import Turn

FRESH_SECONDS: Final = 0.5
"""What was read that long ago is shown once more: somebody who looks on cannot tell."""
LOOK_SECONDS: Final = 0.2
"""The daemon reads a running batch again after that, so that nobody who asks has to."""
TRY_SECONDS: Final = 5.0
"""A batch that cannot be read is tried again that often, although its files have not changed."""
SCAN_SECONDS: Final = 0.5
"""Of one `refresh` for batches that have never been read: those that run are not to wait for thousands of others."""
SHARES: Final = 20
"""Each `refresh` looks at the files of one in so many of the batches that have ended."""
OTHERS: Final = 200
"""Of those that rest, but may go on, the files of so many at least."""

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A batch as it was when it was last read.

    Attributes:
        status: how it stands.
        turn: its place in the queue.
        version: grows with each change that somebody could see.
        body: the JSON of it.
        read_at: monotonic seconds.
        in_flight: items that run.
    """

    status: BatchStatus
    turn: Turn
    version: int
    body: str
    read_at: float
    in_flight: int = 0


def actions_of(status: BatchStatus) -> list[str]:
    """What may be done to a batch now."""
    state, ended = status.state, status.state in ENDED
    waits = state == QUEUED and (status.is_wanted or status.holder is not None)
    possible = {
        "pause": state in ACTIVE or state == QUEUED,
        "resume": (state in RESUMABLE and not waits) or state == PAUSING,
        "cancel": not ended and state != CANCELLING,
        "retry": status.tally.failed > 0 and state not in (CANCELLED, EXPIRED) and status.holder is None,
        "set": not ended or state == COMPLETED,
        "delete": status.holder is None,
    }
    return [name for name, is_possible in possible.items() if is_possible]


class Catalog:
    """Knows every batch of a home; safe to ask from any thread.

    Args:
        home: the folder of batches.
        first: no version is lower; None takes the clock.

    Example:
        catalog = Catalog(home)
        while not catalog.refresh():
            pass
        print([entry.status.batch_id for entry in catalog.entries()])
    """

    def __init__(self, home: Home, first: int | None = None) -> None:
        self._home = home
        self._shelf: Shelf[Entry] = Shelf(home)
        self._versions = itertools.count(time.time_ns() // 1000 if first is None else first)
        self._asked: dict[str, asyncio.Task[Entry]] = {}
        self._turn = 0

    def peek(self, batch_id: str) -> Entry | None:
        """A batch as it was half a second ago at most, from memory: in microseconds; None where it must be read."""
        batch = self._shelf.get(batch_id)
        return batch.value if batch is not None and self._is_fresh(batch) else None

    def entry(self, batch_id: str, fresh: bool = False) -> Entry:
        """The same, read where it must be; `fresh`: as it is now.

        Raises:
            BatchNotFound: there is none.
            StoreError: its file cannot be read.
        """
        asked_at = time.monotonic()
        known = None if fresh else self.peek(batch_id)
        if known is not None:
            return known
        batch = self._shelf.get(batch_id) or self._shelf.add(self._home.find(batch_id))
        return self._read(batch, asked_at)

    async def current(self, batch_id: str) -> Entry:
        """As `entry`, for the event loop: of all who ask at a time, one has it read, in a thread."""
        known = self.peek(batch_id)
        if known is not None:
            return known
        task = self._asked.get(batch_id)
        if task is None:
            task = asyncio.ensure_future(asyncio.to_thread(self.entry, batch_id))
            self._asked[batch_id] = task
            task.add_done_callback(lambda done: self._answered(batch_id, done))
        return await asyncio.shield(task)

    def _answered(self, batch_id: str, task: asyncio.Task[Entry]) -> None:
        del self._asked[batch_id]
        if not task.cancelled():
            task.exception()  # whoever still waits gets it; nobody may

    def entries(self) -> list[Entry]:
        """Every batch that can be read, the newest first."""
        return [value for batch in self._shelf.sorted(_age) if (value := batch.value) is not None]

    def lively(self) -> list[Entry]:
        """Those of them that may still move by themselves, or have moved a moment ago, in no order."""
        return [value for batch in self._shelf.lively() if (value := batch.value) is not None]

    def moved(self) -> list[Entry]:
        """The same for the one that looks after them: one that has come to rest is told once more."""
        return [value for batch in self._shelf.moved() if (value := batch.value) is not None]

    def errors(self) -> dict[str, BatchqError]:
        """Why the others cannot be read, by their ids."""
        return {batch.batch_id: batch.error for batch in self._shelf if batch.error is not None}

    def refresh(self) -> bool:
        """Read again what may have changed; whether every batch has been read once."""
        self._shelf.look()
        self._turn += 1
        for batch in self._due():
            self._try(batch)
        until = time.monotonic() + SCAN_SECONDS
        unread = [batch for batch in self._shelf.lively() if not batch.is_read]
        unread.sort(key=lambda batch: -batch.made_at)
        for batch in unread:
            if time.monotonic() > until:
                return False
            self._try(batch)
        return True

    def forget(self, batch_id: str) -> None:
        """The batch is no longer there."""
        self._shelf.forget(batch_id)

    def _due(self) -> Iterator[Batch[Entry]]:
        """The batches that may be other than they were; of those that rest some each time."""
        yield from (batch for batch in self._shelf.some_over(SHARES, self._turn) if batch.has_changed())
        lively = [batch for batch in self._shelf.lively() if batch.is_read]
        others = max(1, sum(batch.is_settled for batch in lively) // OTHERS)
        now = time.monotonic()
        for number, batch in enumerate(lively, self._turn):
            if batch.is_settled:
                if number % others == 0 and batch.has_changed():
                    yield batch
            elif batch.error is None:
                if now - batch.read_at >= LOOK_SECONDS:
                    yield batch
            elif now - batch.read_at >= TRY_SECONDS or batch.has_changed():
                yield batch

    def _is_fresh(self, batch: Batch[Entry]) -> bool:
        if batch.value is None:
            return False
        if batch.is_settled:
            return not batch.has_changed()
        return time.monotonic() - batch.read_at < FRESH_SECONDS

    def _try(self, batch: Batch[Entry]) -> None:
        """Read a batch; what is wrong with it is said once."""
        before = str(batch.error)
        try:
            self._read(batch, time.monotonic())
        except BatchNotFound:
            pass
        except BatchqError as error:
            if str(error) != before:
                log.warning("%s", error)

    def _read(self, batch: Batch[Entry], asked_at: float) -> Entry:
        """Read a batch, unless somebody has done so since `asked_at`."""
        with batch.lock:
            if batch.value is not None and batch.read_at >= asked_at:
                return batch.value
            before = batch.value
            batch.begin()
            try:
                value = self._made(batch, before)
            except BatchNotFound:
                self.forget(batch.batch_id)
                raise
            except BatchqError as error:
                self._shelf.fail(batch, error)
                raise
            status = value.status
            self._shelf.put(batch, value, is_settled=status.holder is None, has_ended=status.state in ENDED)
            return value

    def _made(self, batch: Batch[Entry], before: Entry | None) -> Entry:
        folder = batch.folder
        watch = batch.watch or Watch(folder)
        try:
            with reading(folder.database) as reader:
                look = watch.look_by(reader)
            if look.status.batch_id != folder.batch_id:
                self._home.find(folder.batch_id)  # says whose file it is
        except BatchqError:
            self._home.find(folder.batch_id)  # knows better what is wrong
            raise
        except Exception as error:
            raise StoreError(str(folder.database), f"cannot be read ({type(error).__name__}: {error})") from error
        batch.watch = watch if look.status.holder is not None else None
        more = {"wanted": look.status.is_wanted, "actions": actions_of(look.status)}
        body = json_line({"schema": SCHEMA, **look.to_dict(), **more})
        version = before.version if before is not None and before.body == body else next(self._versions)
        return Entry(look.status, look.status.turn, version, body, batch.read_at, look.in_flight)


def summary(entries: Iterable[Entry]) -> dict[str, Any]:
    """How many batches are in which state."""
    states: dict[str, int] = {}
    for entry in entries:
        states[entry.status.state] = states.get(entry.status.state, 0) + 1
    return states


def _age(batch: Batch[Entry]) -> tuple[float, str]:
    return (-batch.value.status.created_at if batch.value is not None else 0.0, batch.batch_id)
