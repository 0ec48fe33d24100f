"""A worker's one line to the file: a thread that alone owns the connection, and group commit.

    event loop ── record(), finish(), give_back(), want() ──▶ buffers ──▶ thread ── one transaction ──▶ batch.db
        ◀──────────────── deliver(claim), room(), failed(error) ─────────────┘

The loop never waits for the disk, and each transaction does all that is due: outcomes, attempts, acks, what goes
back, the next claim.  A commit that fails keeps its buffers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from batchq.model import FailedAttempt, Outcome
from batchq.probe import reach
from batchq.store.chunks import LANE_ALL, ChunkQueue, Claim
from batchq.store.connection import DatabaseError, open_writer, transaction
from batchq.store.outcomes import OutcomeWriter

COMMIT_SECONDS: Final = 0.05
"""The longest that an outcome waits for its commit while others keep coming."""
COMMIT_OUTCOMES: Final = 500
"""Outcomes that start a commit at once: beyond it a larger group gains nothing measurable."""
BUFFER_BYTES: Final = 8 * 1024 * 1024
"""Results held uncommitted; the slots wait at this size, whatever their number."""
IDLE_SECONDS: Final = (0.01, 0.25)
"""Shortest and longest pause between two looks for work, which are reads."""
GIVE_UP_SECONDS: Final = 30.0
"""A file that cannot be written for so long is reported, and the worker ends."""

log = logging.getLogger(__name__)


@dataclass
class _Due:
    """What the next transaction has to do."""

    outcomes: list[Outcome] = field(default_factory=list)
    attempts: list[FailedAttempt] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    given_back: list[tuple[int, int]] = field(default_factory=list)
    put_back: list[tuple[int, Sequence[int]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.outcomes or self.attempts or self.finished or self.given_back or self.put_back)


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


class Recorder:
    """Buffers what a worker has to say to the file, and writes it in groups from a thread of its own.

    All methods but `start` and `join` may be called from the event loop: none of them waits.

    Args:
        settings: file, names and limits.
        deliver: called from the thread with each claim that was asked for (one with ``open=False`` ends it).
        room: called from the thread after a commit that made room while `full` was set.
        failed: called from the thread when the file could not be written for `GIVE_UP_SECONDS`.
    """

    def __init__(
        self,
        settings: RecorderSettings,
        deliver: Callable[[Claim], None],
        room: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._settings = settings
        self._deliver = deliver
        self._room = room
        self._failed = failed
        self._due = _Due()
        self._bytes = 0
        self._want = 0
        self._closing = False
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._urgent = threading.Event()
        self._limit = max(1, settings.max_uncommitted)
        self._group = 1 if settings.at_once else min(COMMIT_OUTCOMES, max(1, self._limit // 2))
        self._thread = threading.Thread(target=self._run, name="batchq-recorder", daemon=True)
        self._uncommitted = 0
        self.full = False
        """True while the slots must wait: too much is uncommitted."""

    def start(self) -> None:
        """Open the file and begin."""
        self._connection = open_writer(self._settings.path, self._settings.durability)
        self._queue = ChunkQueue(self._connection, self._settings.claimant, self._settings.epoch)
        self._writer = OutcomeWriter(self._connection)
        self._thread.start()

    def record(self, outcome: Outcome) -> None:
        """Take an outcome; it is committed within `COMMIT_SECONDS`."""
        with self._lock:
            self._due.outcomes.append(outcome)
            self._uncommitted = count = self._uncommitted + 1
            self._bytes += len(outcome.result or "")
            if count >= self._limit or self._bytes >= BUFFER_BYTES:
                self.full = True
        if count == 1:
            self._work.set()
        if count >= self._group or self.full:
            self._urgent.set()

    def record_attempt(self, attempt: FailedAttempt) -> None:
        """Take a failed attempt; it is committed like an outcome."""
        with self._lock:
            self._due.attempts.append(attempt)
            if len(self._due.attempts) >= self._group:
                self._urgent.set()
        self._work.set()

    def finish(self, message_id: int) -> None:
        """Ack a chunk with the outcomes recorded so far: the last of its items is among them."""
        with self._lock:
            self._due.finished.append(message_id)

    def give_back(self, message_id: int, start: int) -> None:
        """Give the items of a chunk from `start` on to others; none of them was begun."""
        with self._lock:
            self._due.given_back.append((message_id, start))
        self._work.set()

    def put_back(self, message_id: int, unfinished: Sequence[int]) -> None:
        """Leave a chunk, of which these items have no outcome yet."""
        with self._lock:
            self._due.put_back.append((message_id, unfinished))
        self._work.set()

    def want(self, items: int) -> None:
        """Ask for up to `items` items; the answer comes through `deliver`, as soon as there is something."""
        self._want = items
        self.hurry()

    def stop_wanting(self) -> None:
        """Withdraw the wish for more items."""
        self._want = 0

    def hurry(self) -> None:
        """Commit what is there now: the loop is about to be idle."""
        self._work.set()
        self._urgent.set()

    def close(self) -> None:
        """Commit the rest and end the thread; `join` waits for it."""
        self._closing = True
        self._want = 0
        self.hurry()

    def join(self, seconds: float | None = None) -> bool:
        """Wait up to `seconds` for the thread to end; whether it did (everything is then committed)."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause = IDLE_SECONDS[0]
        failing_since: float | None = None
        while True:
            if not self._due:
                self._work.wait(pause if self._want else None)
            self._work.clear()
            if not self._closing:
                self._urgent.wait(COMMIT_SECONDS if self._due else 0)
            self._urgent.clear()
            try:
                claim = self._exchange()
                failing_since = None
            except (DatabaseError, OSError) as error:
                now = time.monotonic()
                failing_since = failing_since or now
                log.warning("cannot write %s: %s; will try again", self._settings.path, error)
                if now - failing_since > GIVE_UP_SECONDS:
                    self._failed(error)
                    return
                # The file is busy or the disk is full: what was in the buffers is still there.
                time.sleep(min(1.0, 0.1 + (now - failing_since) / 10))
                self._work.set()
                continue
            except Exception as error:  # a fault of ours: waiting would not mend it, and a dead thread tells nobody
                log.exception("recording failed")
                self._failed(error)
                return
            if claim is not None and (claim.items or not claim.open):
                self._want = 0
                pause = IDLE_SECONDS[0]
                reach("claimed")
                self._deliver(claim)
            else:
                pause = min(pause * 1.5, IDLE_SECONDS[1])
            if self._closing and not self._due:
                self._connection.close()
                return

    def _exchange(self) -> Claim | None:
        """One transaction with all that is due; returns the claim, or None when none was made."""
        settings = self._settings
        want = self._want
        if want and not self._due and not self._queue.any_ready(settings.lane):
            return None if self._queue.is_open() else Claim(open=False)
        with self._lock:
            due, self._due = self._due, _Due()
            held, self._bytes = self._bytes, 0
        if not due and not want:
            return None
        reach("before-commit")
        claim: Claim | None = None
        try:
            with transaction(self._connection):
                if due.outcomes or due.attempts:
                    self._writer.record(due.outcomes, due.attempts)
                # Before the acks: a chunk that is given back in part is acked for the rest right after.
                for message_id, start in due.given_back:
                    self._queue.give_back(message_id, start)
                if due.finished:
                    self._queue.ack_all(due.finished)
                for message_id, unfinished in due.put_back:
                    self._queue.put_back(message_id, unfinished)
                if want:
                    claim = self._queue.claim(want, settings.claimants, settings.lane, settings.chunk_size)
        except BaseException:
            self._writer.forget_groups()
            self._restore(due, held)
            raise
        reach("committed")
        self._made_room(len(due.outcomes))
        return claim

    def _restore(self, due: _Due, held: int) -> None:
        with self._lock:
            newer = self._due
            self._due = due
            due.outcomes += newer.outcomes
            due.attempts += newer.attempts
            due.finished += newer.finished
            due.given_back += newer.given_back
            due.put_back += newer.put_back
            self._bytes += held

    def _made_room(self, committed: int) -> None:
        with self._lock:
            self._uncommitted -= committed
            was_full, self.full = self.full, self._uncommitted >= self._limit or self._bytes >= BUFFER_BYTES
        if was_full and not self.full:
            self._room()
