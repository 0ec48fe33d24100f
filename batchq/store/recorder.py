"""A worker's one line to the file: what it has to say, until the clerk has written it.

    event loop ── record(), finish(), give_back(), want() ──▶ buffers ──▶ Clerk ── one transaction ──▶ batch.db
        ◀──────────────── deliver(claim), room(), failed(error) ─────────────┘

The loop never waits for the disk, and each transaction does all that is due: outcomes, attempts, acks, what goes
back, the next claim.  A commit that fails keeps its buffers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from batchq.model import Chunk, FailedAttempt, Outcome, StageResult
from batchq.probe import reach
from batchq.store.chunks import LANE_ALL, ChunkQueue, Claim
from batchq.store.clerk import Clerk, Job
from batchq.store.connection import DatabaseError
from batchq.store.due import Due, Entry
from batchq.store.pace import StoredBook
from batchq.store.reserve import is_full, spend_reserve, storage_error

COMMIT_OUTCOMES: Final = 500
"""Outcomes that start a commit at once: beyond it a larger group gains nothing measurable."""
BUFFER_BYTES: Final = 8 * 1024 * 1024
"""Results held uncommitted by all workers; the slots wait at this size, whatever the number of results."""
FEW_OUTCOMES: Final = 8
"""On a full disk outcomes are committed so many at a time: what finds room is written, whatever the rest needs."""
GIVE_UP_SECONDS: Final = 30.0
"""A file that cannot be written for so long is reported, and the worker ends."""
FULL_SECONDS: Final = 2.0
"""The same at the end of a worker whose disk is full: nobody else is about to make room."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecorderSettings:
    """How a recorder works.

    Attributes:
        path: the batch's file.
        durability: ``normal`` or ``full``.
        claimant: the name in which chunks are claimed.
        epoch: the supervisor's epoch.
        claimants: workers that share what is ready.
        chunk_size: items in an average message.
        lane: which messages to claim.
        max_uncommitted: outcomes held uncommitted at most.
        at_once: commit each outcome by itself (quarantine).
        stages: of an item before its last one.
    """

    path: Path
    durability: str
    claimant: str
    epoch: int
    claimants: int
    chunk_size: int
    lane: int = LANE_ALL
    max_uncommitted: int = 1000
    at_once: bool = False
    stages: int = 0


class Recorder:
    """Buffers what a worker has to say to the file, which a clerk writes in groups from its thread.

    All methods but `start` and `join` may be called from the event loop: none of them waits.

    Args:
        settings: file, names and limits.
        deliver: called from the thread with each claim that was asked for (one with ``open=False`` ends it).
        room: called from the thread after a commit that made room while `full` was set.
        failed: called from the thread when the file could not be written for `GIVE_UP_SECONDS`, and as soon as
            the disk is full: then the worker must leave, and what is recorded meanwhile may still find room.
        committed: called from the thread, outside of transactions, with what is in the file now.
        clerk: who writes, for others as well; None for one of its own.
    """

    def __init__(
        self,
        settings: RecorderSettings,
        deliver: Callable[[Claim], None],
        room: Callable[[], None],
        failed: Callable[[Exception], None],
        committed: Callable[[Due], None] = lambda _: None,
        clerk: Clerk | None = None,
    ) -> None:
        self._settings = settings
        self._shared = clerk
        self._work, self._urgent = threading.Event(), threading.Event()
        self._tell: Callable[[], None] = lambda: None
        self.is_told = False
        self._deliver = deliver
        self._room = room
        self._failed = failed
        self._committed = committed
        self._due = Due()
        self._bytes = 0
        self._want = 0
        self._taken: Sequence[Chunk] = ()
        self._is_shut = False
        self._closing = False
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._disk_full = False
        self._ended: Exception | None = None
        self._failing_since: float | None = None
        self.share(settings.max_uncommitted, settings.claimants)
        self._uncommitted = 0
        self.full = False
        """True while the slots must wait: too much is uncommitted."""

    def start(self) -> None:
        """Open the file and begin."""
        settings = self._settings
        try:
            self._clerk = clerk = self._shared or Clerk(settings.path, settings.durability)
            self._queue = ChunkQueue(clerk.connection, settings.claimant, settings.epoch, settings.stages)
            self._work, self._urgent, self._tell = clerk.work, clerk.urgent, partial(clerk.tell, self)
            clerk.add(self)
        except BaseException:
            self._done.set()
            raise
        self.hurry()  # for what was said before

    def record(self, outcome: Outcome, last: FailedAttempt | None = None) -> None:
        """Take an outcome; it is committed within `COMMIT_SECONDS`, together with the attempt that was its last."""
        with self._lock:
            self._due.outcomes.append(outcome)
            if last is not None:
                self._due.attempts.append(last)
            self._uncommitted = count = self._uncommitted + 1
            self._bytes += len(outcome.result or "")
            if count >= self._limit or self._bytes >= self._most_bytes:
                self.full = True
        if not self.is_told:
            self._tell()
        if count == 1:
            self._work.set()
        if count >= self._group or self.full:
            self._urgent.set()

    def record_stage(self, result: StageResult) -> None:
        """Take what a stage has given that is not the last; it is committed, and held in memory, like an outcome."""
        with self._lock:
            self._due.stages.append(result)
            self._uncommitted = count = self._uncommitted + 1
            self._bytes += len(result.result)
            if count >= self._limit or self._bytes >= self._most_bytes:
                self.full = True
        self._tell()
        self._work.set()
        if count >= self._group or self.full:
            self._urgent.set()

    def take(self, due: Due) -> None:
        """Take all this at once, as if it had been recorded here."""
        with self._lock:
            self._due = self._due.before(due)
            self._uncommitted += due.results
            self._bytes += due.size
            self.full = self._uncommitted >= self._limit or self._bytes >= self._most_bytes
            is_urgent = self.full or self._due.results >= self._group or bool(due.entries)
        self._tell()
        self._work.set()
        if is_urgent:
            self._urgent.set()

    def record_attempt(self, attempt: FailedAttempt) -> None:
        """Take a failed attempt; it is committed like an outcome."""
        with self._lock:
            self._due.attempts.append(attempt)
            is_urgent = len(self._due.attempts) >= self._group
        self._tell()
        self._work.set()
        if is_urgent:
            self._urgent.set()

    def finish(self, message_id: int) -> None:
        """Ack a chunk with the outcomes recorded so far: the last of its items is among them."""
        with self._lock:
            self._due.finished.append(message_id)
        self._tell()

    def give_back(self, message_id: int, start: int) -> None:
        """Give the items of a chunk from `start` on to others; none of them was begun."""
        with self._lock:
            self._due.given_back.append((message_id, start))
        self._tell()
        self._work.set()

    def put_back(self, message_id: int, unfinished: Sequence[int]) -> None:
        """Give these items of a chunk back to all, begun or not; none of them is in flight."""
        with self._lock:
            self._due.put_back.append((message_id, unfinished))
        self._tell()
        self._work.set()

    def enter(
        self,
        write: Callable[[StoredBook], Any],
        answer: Callable[[Any], None] = lambda _: None,
        failed: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        """Do something with the rate limits and budgets at once; the answer comes from the thread.

        Args:
            write: is called in the thread, inside the next transaction; once more where that fails.
            answer: gets what `write` returned, once it is committed.
            failed: gets the reason where nothing can be written any more.
        """
        with self._lock:
            ended = self._ended
            if ended is None:
                self._due.entries.append(Entry(write, answer, failed))
        if ended is not None:
            failed(ended)
        self.hurry()

    def end(self, error: Exception) -> None:
        """Nothing is written any more: nobody may wait for an answer."""
        with self._lock:
            self._ended = error
            entries, self._due.entries = self._due.entries, []
        for entry in entries:
            entry.failed(error)
        self._done.set()

    def share(self, max_uncommitted: int, claimants: int) -> None:
        """Hold that many outcomes uncommitted at most from now on, and a share of the bytes for so many workers."""
        self._limit = max(1, max_uncommitted)
        self._most_bytes = BUFFER_BYTES // max(1, claimants)
        self._group = 1 if self._settings.at_once else min(COMMIT_OUTCOMES, max(1, self._limit // 2))

    def want(self, items: int) -> None:
        """Ask for up to `items` items; the answer comes through `deliver`, as soon as there is something."""
        self._want = 0 if self._disk_full else items
        self.hurry()

    def stop_wanting(self) -> None:
        """Withdraw the wish for more items."""
        self._want = 0

    def hurry(self) -> None:
        """Commit what is there now: the loop is about to be idle."""
        self._tell()
        self._work.set()
        self._urgent.set()

    def close(self) -> None:
        """Commit the rest and end the thread; `join` waits for it."""
        self._closing = True
        self._want = 0
        self.hurry()

    def join(self, seconds: float | None = None) -> bool:
        """Wait up to `seconds` for the end of it; whether that has come (everything is then committed)."""
        return self._done.wait(seconds)

    # What the clerk calls, in its thread ----------------------------------------------------------------------

    @property
    def wants(self) -> bool:
        """Whether items are asked for."""
        return self._want > 0

    @property
    def has_left(self) -> bool:
        """Whether all is committed, and nothing more comes."""
        return self._closing and not self._due and not self._taken

    def fail(self, error: Exception) -> None:
        """Recording has failed for good."""
        self._failed(error)

    def recovered(self) -> None:
        """The file can be written."""
        self._failing_since = None

    def goes_on_after(self, error: Exception) -> float | None:
        """After a commit that failed; what was in the buffers is still there. Seconds to wait; None to give up."""
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        failing = now - self._failing_since
        path = self._settings.path
        if not self._disk_full and is_full(path.parent, error):
            log.warning("cannot write %s: %s; giving up the reserve", path, error)
            self._disk_full = True
            self._want = 0
            spend_reserve(path.parent)
            self._failed(storage_error(path, error))
            return 0.0
        if self._disk_full:
            if self._closing and failing > FULL_SECONDS:
                log.warning("no room for %d outcomes; their items will run again", len(self._due.outcomes))
                return None
        elif failing > GIVE_UP_SECONDS:
            self._failed(storage_error(path, error))
            return None
        elif not failing:
            log.warning("cannot write %s: %s; will try again", path, error)
        return min(1.0, 0.1 + failing / 10)

    def collect(self) -> Job | None:
        """What the next transaction has to do; None for nothing."""
        want = 0 if self._taken else self._want
        if want and not self._due and not self._sees_ready():
            return None
        due, held = self._take_due()
        return Job(due, held, want) if due or want else None

    def _sees_ready(self) -> bool:
        """Whether a claim would find something; notes where there may be none any more."""
        once, lane = self._clerk.once, self._settings.lane
        if once("ready", lane, lambda: self._queue.any_ready(lane)):
            return True
        self._is_shut = not once("open", self._settings.epoch, self._queue.is_open)
        return False

    def write(self, job: Job, book: StoredBook) -> None:
        """Acks, what goes back, charges, and the claim."""
        due, settings = job.due, self._settings
        # Before the acks: a chunk that is given back in part is acked for the rest right after.
        for message_id, start in due.given_back:
            self._queue.give_back(message_id, start)
        for message_id, unfinished in due.put_back:
            self._queue.put_back(message_id, unfinished)
        if due.finished:
            self._queue.ack_all(due.finished)
        job.answers = [self._write(entry, book) for entry in due.entries]
        if job.want:
            job.taken = self._queue.take(job.want, settings.claimants, settings.lane, settings.chunk_size)

    def restore(self, job: Job) -> None:
        """The transaction has failed."""
        with self._lock:
            self._due = job.due.before(self._due)
            self._bytes += job.held

    def settle(self, job: Job) -> None:
        """All of it is committed."""
        if job.want:
            self._taken, self._is_shut = job.taken or (), job.taken is None
        self._made_room(job.due.results)
        if self._due:  # on a full disk a part is written at a time
            self._tell()
        try:
            self._committed(job.due)
            for answer in job.answers:
                answer()
        except Exception as error:  # of this one alone: what others have got must reach them
            log.exception("what is committed could not be told")
            self._failed(error)

    def deliver(self) -> bool:
        """Read what is claimed already, beside what others write, and hand it on."""
        claim = Claim(open=False)
        if self._taken:
            chunks, done = self._queue.read(self._taken)
            self._taken = ()
            for message_id in done:
                self.finish(message_id)
            claim = Claim(open=True, chunks=chunks)
            if not claim.items:
                return False
        elif not self._is_shut:
            return False
        self._is_shut = False
        self._want = 0
        reach("claimed")
        self._deliver(claim)
        return True

    def _write(self, entry: Entry, book: StoredBook) -> Callable[[], None]:
        """Do what `entry` wants, in the open transaction; answers with what is to be called once it is committed."""
        try:
            value = entry.write(book)
        except (DatabaseError, OSError):
            raise
        except Exception as error:  # of this entry alone: the others, and the outcomes, have nothing to do with it
            log.exception("a charge failed")
            return partial(entry.failed, error)
        return partial(entry.answer, value)

    def _take_due(self) -> tuple[Due, int]:
        """What the next transaction has to do, and the size of its results."""
        with self._lock:
            due, self._due = self._due, Due()
            held, self._bytes = self._bytes, 0
            if not self._disk_full or due.results <= FEW_OUTCOMES:
                return due, held
            few, self._due, size = due.first(FEW_OUTCOMES)
            self._bytes = held - size
            return few, size

    def _made_room(self, committed: int) -> None:
        with self._lock:
            self._uncommitted -= committed
            was_full, self.full = self.full, self._uncommitted >= self._limit or self._bytes >= self._most_bytes
        if was_full and not self.full:
            self._room()
