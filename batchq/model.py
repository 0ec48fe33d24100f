"""The nouns of batchq as frozen values, the states of a batch and the moves between them.

What crosses a process or goes into a file is made of these.  Imports ``errors`` only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from batchq.spec import BatchSpec

SUCCESS: Final = "success"
FAILED: Final = "failed"

QUEUED: Final = "queued"
FILLING: Final = "filling"
RUNNING: Final = "running"
PAUSING: Final = "pausing"
PAUSED: Final = "paused"
CANCELLING: Final = "cancelling"
CANCELLED: Final = "cancelled"
COMPLETED: Final = "completed"
HALTED: Final = "failed"

STATES: Final = (QUEUED, FILLING, RUNNING, PAUSING, PAUSED, CANCELLING, CANCELLED, COMPLETED, HALTED)
ACTIVE: Final = frozenset({FILLING, RUNNING})
"""States in which workers may claim."""
LEAVING: Final = frozenset({PAUSING, CANCELLING})
"""States in which what is in flight still finishes."""
INVALID_INPUT: Final = "InvalidInput"
"""Error type of a record of the input that cannot be read."""
EXPIRED: Final = "expired"
"""Derived, never stored: the batch was cancelled because its deadline had passed."""
ENDED: Final = frozenset({COMPLETED, CANCELLED, EXPIRED})
"""States that no `resume` leaves."""
TAKE: Final = "take"
"""The event by which a server goes on with a batch."""
INTERRUPTED: Final = "interrupted"
"""Derived, never stored: the batch should run, but nobody holds its lock."""

MOVES: Final[Mapping[tuple[str, str], str]] = {
    (QUEUED, "supervise"): FILLING,
    (FILLING, "supervise"): FILLING,
    (RUNNING, "supervise"): RUNNING,
    (HALTED, "supervise"): FILLING,
    (PAUSED, "supervise"): FILLING,
    (PAUSING, "supervise"): FILLING,
    (FILLING, "filled"): RUNNING,
    (RUNNING, "complete"): COMPLETED,
    (FILLING, "halt"): HALTED,
    (RUNNING, "halt"): HALTED,
    (QUEUED, TAKE): FILLING,
    (FILLING, TAKE): FILLING,
    (RUNNING, TAKE): RUNNING,
    (QUEUED, "pause"): PAUSED,
    (PAUSED, "enqueue"): QUEUED,
    (HALTED, "enqueue"): QUEUED,
    (QUEUED, "give up"): HALTED,
    (FILLING, "give up"): HALTED,
    (RUNNING, "give up"): HALTED,
    (FILLING, "pause"): PAUSING,
    (RUNNING, "pause"): PAUSING,
    (PAUSING, "drained"): PAUSED,
    (PAUSING, "resume"): FILLING,
    (QUEUED, "cancel"): CANCELLED,
    (FILLING, "cancel"): CANCELLING,
    (RUNNING, "cancel"): CANCELLING,
    (PAUSING, "cancel"): CANCELLING,
    (PAUSED, "cancel"): CANCELLED,
    (HALTED, "cancel"): CANCELLED,
    (CANCELLING, "drained"): CANCELLED,
    (COMPLETED, "retry"): QUEUED,
    (QUEUED, "retry"): QUEUED,
    (RUNNING, "retry"): RUNNING,
    (FILLING, "retry"): FILLING,
    (HALTED, "retry"): HALTED,
    (PAUSED, "retry"): PAUSED,
    (PAUSING, "retry"): PAUSING,
}
"""(state, event) to the next state; what is not here cannot happen.

``supervise`` is a user who runs a batch, ``take`` a server whose turn for it has come: the server never wakes what was
paused or halted between its look and its child's.  ``enqueue`` is a user who leaves a batch to the server, ``give up``
a server that cannot run it::

    start --queue ─▶ queued ──take, supervise──▶ filling ─▶ running ─▶ completed
                     │ ▲  └─────give up─────┐     └─give up──┴─halt─▶ failed
                pause│ │enqueue             ▼                        │
                     ▼ └───────────────── failed ◀───────────────────┘
                   paused ──enqueue──▶ queued
"""


def move(state: str, event: str) -> str | None:
    """The state after `event`, or None where that event cannot happen in `state`.

    Example:
        >>> move("running", "complete")
        'completed'
        >>> move("completed", "complete") is None
        True
    """
    return MOVES.get((state, event))


class Record(NamedTuple):
    """One record of an input, as a reader yields it (a tuple: one is made for each record).

    Attributes:
        payload: the record as strict JSON text (of what could be read of it, when `error` is set).
        item_id: the record's own id (a string or an int), or None: the item is then ``item-<seq>``.
        line: 1-based line (or, in a JSON array, element) at which the record begins.
        position: where the next record begins, in the reader's own terms (bytes, or elements).
        next_line: 1-based line at which the next record begins.
        error: why the record cannot be used, with file and line; None when it can.
    """

    payload: str
    item_id: str | int | None
    line: int
    position: int
    next_line: int
    error: str | None = None


NONE_SKIPPED: Final[Mapping[str, int]] = MappingProxyType({})
"""No record of an input was left out, by whatever option."""


class Position(NamedTuple):
    """How far an input has been read: the records before it are stored."""

    offset: int = 0
    line: int = 1
    records: int = 0


class Tally(NamedTuple):
    """Running counts of a batch, kept in the transaction that changes what they count.

    Attributes:
        items: records stored so far.
        success: items whose outcome is a success.
        failed: items whose outcome is a failure.
        attempts: attempts that ended, successful or not.
        retries: failed attempts after which the item was tried again.
        recovered: items that succeeded after at least one failed attempt.
        interruptions: runs cut short by a crash; no attempts.
        duration_us: microseconds that handlers worked on items with an outcome.
        reused: items that succeeded with the result of an item that was done before, without an attempt.
    """

    items: int = 0
    success: int = 0
    failed: int = 0
    attempts: int = 0
    retries: int = 0
    recovered: int = 0
    interruptions: int = 0
    duration_us: int = 0
    reused: int = 0

    @property
    def done(self) -> int:
        """Items with an outcome."""
        return self.success + self.failed


class BatchRow(NamedTuple):
    """The batch's own row, as status, progress and the supervisor read it."""

    batch_id: str
    uuid: str
    state: str
    reason: str | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    epoch: int
    input_done: bool
    spec: BatchSpec
    position: Position = Position()


class Chunk(NamedTuple):
    """A range of items that a worker has claimed: one message of the chunk queue."""

    message_id: int
    first: int
    last: int
    redelivered: bool


class Reached(NamedTuple):
    """How far an item has come in a batch of several stages, once its first stage is done.

    Attributes:
        stage: the one that it is in, from 2.
        before: failed attempts of this run at the stages before.
        payload: the item's own; what it is handed out with is the result of the stage before.
    """

    stage: int
    before: int
    payload: Any


class Item(NamedTuple):
    """An item as it is handed out with a claim (a tuple: one is made for each item that runs).

    Attributes:
        seq: position in the input, from 1; the key.
        item_id: the record's own id, or ``item-<seq>``.
        payload: JSON text; in memory, the item's data itself.
        run: which run of the item this is, from 1; `retry` adds one.
        message_id: the chunk it was handed out with.
        attempts: attempts of this run that failed earlier.
        spent_us: microseconds that those took.
        wait_ms: milliseconds still to wait before the next attempt.
        reached: None in its first stage, which is the only one of most batches.
    """

    seq: int
    item_id: str | int
    payload: Any
    run: int
    message_id: int
    attempts: int = 0
    spent_us: int = 0
    wait_ms: int = 0
    reached: Reached | None = None

    @property
    def stage(self) -> int:
        """The stage that it is in, from 1."""
        return self.reached.stage if self.reached else 1

    @property
    def tries(self) -> int:
        """Attempts of this run at this stage that failed earlier."""
        return self.attempts - self.reached.before if self.reached else self.attempts

    @property
    def payloads(self) -> tuple[Any, ...]:
        """What its function gets, and the item's own payload where that is another."""
        return (self.payload, self.reached.payload) if self.reached else (self.payload,)

    def after_stage(self, result: Any, took_us: int) -> Item:
        """The same in the next stage, when this one has given `result` after `took_us` microseconds in all.

        Example:
            >>> second = Item(1, "a", "{}", 1, 7, attempts=2).after_stage('"title"', 500)
            >>> second.stage, second.payload, second.tries, second.spent_us
            (2, '"title"', 0, 500)
        """
        own = self.reached.payload if self.reached else self.payload
        return self._replace(
            payload=result, spent_us=took_us, wait_ms=0, reached=Reached(self.stage + 1, self.attempts, own)
        )


class Failure(NamedTuple):
    """A failed attempt, told so that it can be stored and grouped.

    Attributes:
        error_type: the exception's class name (with its module unless built in).
        error: ``str(e)``, or ``repr(e)`` where that is empty or a KeyError's.
        traceback: the formatted traceback; of a very long one its head and its tail.
        fingerprint: type, last own frame and message without its numbers, ids and quoted names.
        frame: ``file:line in function`` of the traceback's last own frame; empty when there is none.
    """

    error_type: str
    error: str
    traceback: str
    fingerprint: str
    frame: str


class Outcome(NamedTuple):
    """What is recorded for an item, once per run.

    Attributes:
        seq: the item.
        run: the run that it was handed out with.
        attempts: attempts made in this run.
        duration_us: microseconds that the handler worked, over all attempts.
        ended_ms: wall clock, milliseconds since 1970.
        worker: number of the process that ran it; 0 for the supervisor itself.
        result: JSON text of a success, None of a failure; in memory, the result itself.
        failure: of a failed item; None of a success.
    """

    seq: int
    run: int
    attempts: int
    duration_us: int
    ended_ms: int
    worker: int
    result: Any
    failure: Failure | None


class FailedAttempt(NamedTuple):
    """An attempt that failed, committed like an outcome.

    Attributes:
        number: 1 for the first attempt of the run, whatever its stage.
        started_ms: wall clock, milliseconds since 1970.
        duration_us: microseconds.
        delay_ms: wait before the next attempt; None when there is none.
        stage: which it was an attempt at, from 1.
    """

    seq: int
    run: int
    number: int
    started_ms: int
    duration_us: int
    worker: int
    delay_ms: int | None
    failure: Failure
    stage: int = 1


class StageResult(NamedTuple):
    """What a stage of an item has given that is not the last one; kept, so that it is never run again.

    Attributes:
        stage: which, from 1.
        run: the run in which it was.
        attempts: at this stage, in that run.
        duration_us: microseconds that its function worked, without its failed attempts.
        ended_ms: wall clock, milliseconds since 1970.
        worker: number of the process that ran it.
        result: JSON text.
    """

    seq: int
    stage: int
    run: int
    attempts: int
    duration_us: int
    ended_ms: int
    worker: int
    result: Any


SUPERVISOR: Final = 0
"""Number of the supervisor among the workers that record outcomes."""
WORKERS_PER_SESSION: Final = 100_000
"""A worker's number tells the session and which of its processes it is; 0 is the supervisor of any session."""


def worker_name(worker: int) -> tuple[int, int]:
    """Session and place, each from 1, of the process with the number `worker`; (0, 0) of the supervisor.

    Example:
        >>> worker_name(300_002)
        (3, 2)
    """
    return divmod(worker, WORKERS_PER_SESSION)


BUCKETS_PER_OCTAVE: Final = 8
"""Latency histogram: a bucket is 9% wide, so a percentile read from its upper end is at most 9% high, and never low."""


def latency_bucket(duration_us: int) -> int:
    """Number of the histogram bucket that holds a duration of `duration_us` microseconds.

    Example:
        >>> latency_bucket(1), latency_bucket(1000), latency_bucket(1001)
        (0, 79, 79)
    """
    return int(BUCKETS_PER_OCTAVE * math.log2(duration_us)) if duration_us > 1 else 0


def bucket_end_us(bucket: int) -> float:
    """The upper end of a histogram bucket, in microseconds: no duration in it is longer."""
    return float(2 ** ((bucket + 1) / BUCKETS_PER_OCTAVE))


def bucket_start_us(bucket: int) -> float:
    """The lower end of a histogram bucket, in microseconds; the first begins at 0."""
    return bucket_end_us(bucket - 1) if bucket else 0.0
