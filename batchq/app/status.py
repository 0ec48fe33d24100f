"""How batches stand, read from their files and locks.

Kept apart from the verbs: `batchq status` must be instant, so this module loads no engine and no persist-queue.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from batchq.app.groups import group_dict
from batchq.app.words import iso
from batchq.errors import BatchqError
from batchq.model import (
    ACTIVE,
    CANCELLED,
    CANCELLING,
    ENDED,
    EXPIRED,
    FILLING,
    HALTED,
    INTERRUPTED,
    PAUSED,
    PAUSING,
    QUEUED,
    RUNNING,
    BatchRow,
    Tally,
)
from batchq.spec import BatchSpec
from batchq.store.home import BatchFolder, Home
from batchq.store.reading import BatchReader, reading
from batchq.store.rows import ErrorGroup, Wait
from batchq.store.turns import ADOPTED, OWN, Turn

GROUPS_SHOWN: Final = 5
ABANDONED: Final[Mapping[str, str]] = {
    FILLING: INTERRUPTED,
    RUNNING: INTERRUPTED,
    PAUSING: PAUSED,
    CANCELLING: CANCELLED,
}
"""What a stored state amounts to when no process supervises the batch: nothing of it is in flight any more."""
SERVED: Final[Mapping[int, str | None]] = {0: None, ADOPTED: "adopted", OWN: "own"}
"""What a server does for a batch, as JSON tells it."""
NO_TURN: Final = Turn(QUEUED)
RESUMABLE: Final = frozenset({QUEUED, INTERRUPTED, PAUSED, HALTED})
"""States that `batchq resume` leaves."""


class BatchStatus(NamedTuple):
    """How a batch stands.

    Attributes:
        state: a stored state, or ``interrupted``: it should run, but no process supervises it.
        holder: the process that supervises it, in words; None while none does.
        created_at: seconds since 1970, as are `started_at` and `ended_at`.
        input_done: the input is stored to its end, so that ``tally.items`` is the total.
        rate: outcomes per second over the last minute; None while nothing was recorded in it.
        remaining_seconds: at that rate; None where it cannot be told.
        groups: the most frequent kinds of failure.
        spent: what handlers have spent, by unit.
        exit_code: of the command that ran it until it was halted; None of any other batch.
        skipped: records of the input that became no items, by the option that left them out.
        names: ids of the items that the groups have as examples, by ``seq``.
        without_rest: the batch goes on without the rest of its input, because the user said so.
        turn: its place in the queue of a server.
        wait: what nothing begins for; None where it need not wait.
    """

    batch_id: str
    state: str
    reason: str | None
    holder: str | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    input_done: bool
    tally: Tally
    spec: BatchSpec
    rate: float | None
    remaining_seconds: float | None
    groups: tuple[ErrorGroup, ...] = ()
    spent: Mapping[str, float] = MappingProxyType({})
    exit_code: int | None = None
    skipped: Mapping[str, int] = MappingProxyType({})
    names: Mapping[int, str | int] = MappingProxyType({})
    without_rest: bool = False
    turn: Turn = NO_TURN
    wait: Wait | None = None

    @property
    def input_cut(self) -> bool:
        """Whether nobody can read the rest of the input but who handed it over: it was not stored to its end."""
        return self.spec.source.is_once and not self.input_done

    @property
    def is_wanted(self) -> bool:
        """Whether a server on its home runs it, as soon as nobody does and its turn has come."""
        turn = self.turn
        if turn.served == OWN:
            return turn.state == QUEUED or turn.state in ACTIVE
        # The rest of an input that only a program can hand over is that program's to bring.
        is_ours = turn.served == ADOPTED and not self.spec.source.is_program and not self.input_cut
        return is_ours and turn.state in ACTIVE and not turn.left

    def to_dict(self) -> dict[str, Any]:
        """As JSON shows it: times in ISO 8601, UTC; the rate in items per second."""
        tally = self.tally
        return {
            "batch_id": self.batch_id,
            "state": self.state,
            "reason": self.reason,
            "holder": self.holder,
            "priority": self.turn.priority,
            "served": SERVED[self.turn.served],
            "total_items": tally.items,
            "input_done": self.input_done,
            "input_cut": self.input_cut or self.without_rest,
            "processed_items": tally.done,
            "success_count": tally.success,
            "failure_count": tally.failed,
            "attempts": tally.attempts,
            "retries": tally.retries,
            "recovered": tally.recovered,
            "reused": tally.reused,
            "interruptions": tally.interruptions,
            "items_per_second": None if self.rate is None else round(self.rate, 3),
            "remaining_seconds": None if self.remaining_seconds is None else round(self.remaining_seconds, 1),
            "created_at": iso(self.created_at),
            "started_at": iso(self.started_at),
            "completed_at": iso(self.ended_at),
            "failure_groups": [group_dict(group, self.names) for group in self.groups],
            "spent": dict(self.spent),
            "skipped": dict(self.skipped),
            "wait": None if self.wait is None else {"until": iso(self.wait.until), "rate": self.wait.rate},
            "exit_code": self.exit_code,
            "spec": asdict(self.spec.shown()),
        }


def status(home: Home, batch_id: str) -> BatchStatus:
    """How one batch stands; raises `BatchNotFound` or `StoreError`."""
    return status_of(home.find(batch_id))


def list_batches(home: Home) -> Iterator[BatchStatus | BatchqError]:
    """How each batch stands, and an error in the place of one that cannot be read: it harms no other."""
    for batch_id in home.batch_ids(whole=False):
        try:
            yield status(home, batch_id)
        except BatchqError as error:
            yield error


def ended_before(found: Iterable[BatchStatus | BatchqError], seconds: float) -> Iterator[BatchStatus]:
    """Those that have ended, and did so more than `seconds` ago."""
    now = time.time()
    for batch in found:
        if not isinstance(batch, BatchStatus) or batch.state not in ENDED or batch.ended_at is None:
            continue
        if now - batch.ended_at >= seconds:
            yield batch


def status_of(folder: BatchFolder) -> BatchStatus:
    """How the batch in `folder` stands."""
    with reading(folder.database) as reader:
        return status_in(folder, reader)


def status_in(folder: BatchFolder, reader: BatchReader) -> BatchStatus:
    """The same by a reader of its file, which has read nothing yet where it keeps a snapshot."""
    lock = folder.lock
    # The lock first: a supervisor that leaves between the two reads has then written the state before.
    held = lock.is_held()
    holder = str(lock.holder() or "a process unknown") if held else None
    row = reader.row()
    tally = reader.tally()
    rate = reader.rate(time.time()) if held else None
    groups = reader.error_groups(GROUPS_SHOWN) if tally.failed else []
    names = reader.names([seq for group in groups for seq in group.examples])
    spent = reader.spent()
    exit_code = reader.exit_code()
    skipped = reader.skipped()
    left = tally.items - tally.done
    return BatchStatus(
        batch_id=row.batch_id,
        state=_shown_state(row, held),
        reason=row.reason,
        holder=holder if row.state not in ENDED else None,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        input_done=row.input_done,
        tally=tally,
        spec=row.spec,
        rate=rate if left else None,
        remaining_seconds=left / rate if rate and left and row.input_done else None,
        groups=tuple(group for group in groups if group.failed),
        spent=spent,
        exit_code=exit_code,
        skipped=skipped,
        names=names,
        without_rest=reader.is_input_cut(),
        turn=reader.turn(),
        wait=reader.wait() if held and left and row.state in ACTIVE else None,
    )


def _shown_state(row: BatchRow, held: bool) -> str:
    state = row.state if held else ABANDONED.get(row.state, row.state)
    late = row.spec.deadline is not None and row.ended_at is not None and row.ended_at >= row.spec.deadline
    return EXPIRED if state == CANCELLED and late else state
