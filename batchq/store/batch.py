"""One batch's file in the hands of its supervisor: the row, the input, the sessions, checkpoints and checks."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from batchq.model import ENDED, SUPERVISOR, FailedAttempt, Failure, Outcome
from batchq.probe import reach
from batchq.spec import BatchSpec
from batchq.store import connection as db
from batchq.store.chunks import ChunkQueue
from batchq.store.connection import SQL
from batchq.store.moves import happen
from batchq.store.outcomes import OutcomeWriter
from batchq.store.pace import StoredBook
from batchq.store.reading import BatchReader
from batchq.store.reserve import drop_reserve, free_bytes, telling
from batchq.store.rows import Progress, Standing
from batchq.store.turns import OWN

__all__ = ["DAMAGED", "BatchReader", "BatchStore", "Progress", "create_batch"]

DAMAGED: Final = "the file is damaged"
NO_LANES: Final[Mapping[int, int]] = MappingProxyType({})
NO_FAILURES: Final[Mapping[int, Failure]] = MappingProxyType({})


def create_batch(
    path: Path,
    batch_id: str,
    spec: BatchSpec,
    handler: bytes | None = None,
    seal: str | None = None,
    turn: int | None = None,
) -> None:
    """Make the file of a new batch; it appears under its name when it is whole, and not before.

    Args:
        path: the batch's file.
        batch_id: the batch.
        spec: what it is.
        handler: its function, where that is stored by value.
        seal: see `store.seal`.
        turn: its priority in the queue of a server that runs it; None where no server does.
    """
    unfinished = path.with_name("batch.new")
    for left in path.parent.glob("batch.new*"):  # by somebody who died while he made it
        left.unlink()
    with closing(db.create(unfinished, "full")) as connection, db.transaction(connection):
        values = {"batch_id": batch_id, "uuid": str(uuid.uuid4()), "now": time.time()}
        values |= {"priority": turn or 0, "served": 0 if turn is None else OWN}
        values |= _spec_values(spec, handler, seal)
        connection.execute(SQL["create_batch"], values)
        connection.execute(SQL["create_tally"])
        StoredBook(connection).limit(spec.rates, spec.budgets)
    unfinished.rename(path)


def steer(path: Path, event: str, reason: str | None = None) -> str:
    """Let `event` happen to a batch from outside, for this `reason`; its state then, changed or not.

    Whoever supervises it sees the change within a quarter of a second.
    """
    with telling(path), closing(db.open_writer(path)) as connection, db.transaction(connection):
        before, state = happen(connection, event, reason)
    if state in ENDED:
        drop_reserve(path.parent)
    return state or before


def respecify(path: Path, spec: BatchSpec, handler: bytes | None, seal: str) -> None:
    """Give what is left of a batch another function or other settings; the caller holds the batch's lock."""
    with telling(path), closing(db.open_writer(path, spec.durability)) as connection, db.transaction(connection):
        connection.execute(SQL["respecify"], _spec_values(spec, handler, seal))
        StoredBook(connection).limit(spec.rates, spec.budgets)


def set_limits(path: Path, change: Callable[[BatchSpec], BatchSpec]) -> BatchSpec:
    """Change the limits of a batch from outside; whoever supervises it sees them within a quarter of a second.

    Args:
        path: the batch's file.
        change: makes the new specification of that which holds; it may not touch what the seal covers.
    """
    with telling(path), closing(db.open_writer(path)) as connection, db.transaction(connection):
        spec = change(BatchReader(connection).row().spec)
        values = _spec_values(spec, None, None) | {"now": time.time(), "rate": " ".join(spec.rates)}
        connection.execute(SQL["set_limits"], values)
        StoredBook(connection).limit(spec.rates, spec.budgets)
    return spec


def _spec_values(spec: BatchSpec, handler: bytes | None, seal: str | None) -> dict[str, Any]:
    return {
        "concurrency": spec.concurrency,
        "workers": spec.workers,
        "timeout": spec.timeout,
        "retry_attempts": spec.retry_attempts,
        "spec": spec.to_json(),
        "handler": handler,
        "seal": seal,
    }


class BatchStore(BatchReader):
    """A batch's file in the hands of its supervisor, which holds the lock.

    Args:
        path: the batch's file.
        durability: ``normal`` or ``full``.
    """

    def __init__(self, path: Path, durability: str = "normal") -> None:
        super().__init__(db.open_writer(path, durability))
        self._path = path
        self._checkpointer = db.open_writer(path, durability)
        self.queue = ChunkQueue(self._connection)

    def close(self) -> None:
        """Close both connections."""
        self._checkpointer.close()
        super().close()

    @property
    def connection(self) -> db.Connection:
        """The connection, for what joins a transaction of its own."""
        return self._connection

    def move(self, event: str, reason: str | None = None) -> str | None:
        """Let `event` happen to the batch; the new state, or None where the batch's state does not allow it."""
        with db.transaction(self._connection):
            return self.move_within(event, reason)

    def halt(self, reason: str | None, exit_code: int) -> None:
        """Halt the batch, and remember what the command that ran it exits with."""
        with db.transaction(self._connection):
            if self.move_within("halt", reason) is not None:
                self._connection.execute(SQL["note_exit_code"], (exit_code,))

    def begin_session(self) -> int:
        """Start a new epoch, in which no claimant of an older one may claim; returns its number."""
        with db.transaction(self._connection):
            self._connection.execute(SQL["begin_epoch"])
            epoch = self.row().epoch
            self._connection.execute(SQL["begin_session"], (epoch, os.getpid(), time.time()))
        return epoch

    def note_session(self, epoch: int, active_seconds: float) -> None:
        """Note for how long this session has been at work (monotonic clock)."""
        with db.transaction(self._connection):
            self._connection.execute(SQL["note_session"], (int(active_seconds * 1000), epoch))

    def end_session(self, epoch: int) -> None:
        """Note that this session ends of itself, and not by the death of its process."""
        with db.transaction(self._connection):
            self._connection.execute(SQL["end_session"], (time.time(), epoch))

    def complete(self) -> bool:
        """Leave: in one transaction, make sure that no input and no message is left, and end the batch."""
        with db.transaction(self._connection):
            tally = self.tally()
            row = self.row()
            if not row.input_done or tally.done < tally.items or self.queue.any_open():
                return False
            return self.move_within("complete") is not None

    def end_input(self, cut: bool = False) -> None:
        """The input is stored to its end, or `cut` off: the user goes on without its rest."""
        with db.transaction(self._connection):
            self._connection.execute(SQL["input_ended"], (cut,))
            self.move_within("filled")

    def take_over(
        self,
        claimant: str,
        begun: Sequence[int] = (),
        lanes: Mapping[int, int] = NO_LANES,
        killers: Sequence[int] = (),
        failed: Mapping[int, Failure] = NO_FAILURES,
        timed_out: FailedAttempt | None = None,
    ) -> None:
        """Put the claims of a worker that is gone back, in one transaction with all that its end says of its items.

        Args:
            claimant: the worker's name in the queue.
            begun: items that it had begun; each that has no outcome counts an interruption.
            lanes: the lane of each item to quarantine.
            killers: items that ran alone when it died; each counts a death.
            failed: the failure of those that have killed often enough.
            timed_out: the attempt for which the worker had to be killed; without a delay it was the item's last.
        """
        with db.transaction(self._connection):
            self._connection.execute(SQL["count_deaths"], (db.json_list(killers),))
            for seq, failure in failed.items():
                self._fail_item(seq, failure)
            if timed_out is not None:
                self._record_timeout(timed_out)
            self._count_interruptions(begun)
            self.queue.release(claimant, lanes)
            reach("taken-over")

    def _count_interruptions(self, seqs: Sequence[int]) -> None:
        changed = self._connection.execute(SQL["count_interruptions"], (db.json_list(seqs),)).rowcount
        self._connection.execute(SQL["tally_interruptions"], (changed,))

    def often_interrupted(self, seqs: Sequence[int], times: int) -> list[int]:
        """Those of these items that were interrupted `times` times or more."""
        return db.read_list(self._connection.execute(SQL["suspects_among"], (db.json_list(seqs), times)))

    def without_outcome(self, seqs: Sequence[int]) -> list[int]:
        """Those of these items that have no outcome of their current run."""
        return db.read_list(self._connection.execute(SQL["unfinished_among"], (db.json_list(seqs),)))

    def deaths(self, seqs: Sequence[int]) -> dict[int, int]:
        """How many workers have died while they ran each of these items alone."""
        return dict(self._connection.execute(SQL["read_deaths"], (db.json_list(seqs),)).fetchall())

    def _fail_item(self, seq: int, failure: Failure) -> None:
        item = self.standing(seq)
        now_ms = int(time.time() * 1000)
        outcome = Outcome(seq, item.run, item.attempts + 1, item.spent_us, now_ms, SUPERVISOR, None, failure)
        OutcomeWriter(self._connection).record([outcome])

    def close_book(self) -> None:
        """Nobody spends any more: what is still in flight was so with those who have died."""
        with db.transaction(self._connection):
            StoredBook(self._connection).bury()

    def held_seconds(self) -> float:
        """For how long nothing may begin, because the server that items call was overloaded."""
        return StoredBook(self._connection).held_seconds()

    def last_outcome(self) -> int:
        """Number of the outcome that was recorded last; 0 before the first."""
        number: int = self._connection.execute(SQL["last_outcome"]).fetchone()[0]
        return number

    def recent_outcomes(self, after: int, limit: int) -> list[tuple[bool, int | None]]:
        """(success, kind of failure) of the last outcomes behind number `after`, the newest first."""
        rows = self._connection.execute(SQL["recent_outcomes"], (after, limit)).fetchall()
        return [(bool(success), group) for success, group in rows]

    def error_of(self, seq: int) -> str | None:
        """The error with which an item has failed; None while it has not."""
        row = self._connection.execute(SQL["error_of_item"], (seq,)).fetchone()
        return row[0] if row else None

    def standing(self, seq: int, stages: int = 0) -> Standing:
        """How an item stands.

        Args:
            seq: the item.
            stages: of an item before its last one.
        """
        return Standing(*self._connection.execute(SQL["read_run"], (seq, stages)).fetchone())

    def _record_timeout(self, attempt: FailedAttempt) -> None:
        spent = self.standing(attempt.seq).spent_us
        outcomes = []
        if attempt.delay_ms is None:
            spent += attempt.duration_us
            ended_ms = attempt.started_ms + attempt.duration_us // 1000
            outcomes.append(
                Outcome(
                    attempt.seq, attempt.run, attempt.number, spent, ended_ms, attempt.worker, None, attempt.failure
                )
            )
        OutcomeWriter(self._connection).record(outcomes, [attempt])

    def wal_bytes(self) -> int:
        """Size of the write-ahead log."""
        try:
            return os.stat(f"{self._path}-wal").st_size
        except FileNotFoundError:
            return 0

    def checkpoint(self) -> None:
        """Copy the log into the file, and delete acked messages first.

        One connection holds the write lock while the other copies, so that no commit can reset the log meanwhile
        (SQLite before 3.51.3 may damage the file then).  The next writer starts the log afresh.
        """
        with db.transaction(self._connection):
            self.queue.clear_acked_data()
        self._copy_log()

    def make_room(self) -> None:
        """Copy the log into the file, where the disk has room for that: then the log has room for more."""
        with suppress(db.DatabaseError, OSError):
            pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
            size = pages * self._connection.execute("PRAGMA page_size").fetchone()[0]
            if size - self._path.stat().st_size < free_bytes(self._path.parent):
                self._copy_log()

    def _copy_log(self) -> None:
        self._sync_log()
        # An empty transaction: it holds the lock and writes nothing.
        with db.transaction(self._connection):
            reach("checkpoint")
            self._checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _sync_log(self) -> None:
        """Bring the log to the disk while others may still write: the copy then waits only for what came since.

        Measured: 22 of the 37 ms in which nobody else could write.  A file that no SQLite lock is on may be closed.
        """
        with suppress(OSError):  # the copy itself tells what is wrong
            log = os.open(f"{self._path}-wal", os.O_RDONLY)
            try:
                os.fsync(log)
            finally:
                os.close(log)

    def check(self) -> list[str]:
        """Test the file and the invariants of the protocol; what is broken, in words."""
        broken = []
        verdict = self._connection.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            broken.append(f"{DAMAGED}: {verdict}")
        lost: int = self._connection.execute(SQL["check_items_without_message"]).fetchone()[0]
        if lost:
            broken.append(f"{lost} items without an outcome are not in exactly one message")
        if not self._connection.execute(SQL["check_tally"]).fetchone()[0]:
            broken.append("the tally differs from the rows")
        if not self._connection.execute(SQL["check_input"]).fetchone()[0]:
            broken.append("the input position differs from the items stored")
        if stray := self._connection.execute(SQL["check_stages"]).fetchone()[0]:
            broken.append(f"{stray} results of stages are of no item")
        return broken

    def move_within(self, event: str, reason: str | None = None) -> str | None:
        """As `move`, in the transaction that the caller has open."""
        return happen(self._connection, event, reason)[1]
