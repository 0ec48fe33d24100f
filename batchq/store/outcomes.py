"""Writes outcomes and failed attempts, and everything that is counted from them, in the caller's transaction.

Each count is taken from the rows that were really written, never from the length of a buffer: an outcome whose
run has one already is refused by the unique index, and then counts nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any, Final

from batchq.model import FailedAttempt, Failure, Outcome, StageResult, latency_bucket
from batchq.store.connection import SQL, Connection, repeat_values
from batchq.store.counts import Counts

SIZES: Final = (1, 4, 16, 64, 128, 256, 512)
"""Rows per statement: few, so that each is prepared once per connection."""
GROUPS: Final = 1000
"""Error groups in a batch at most; messages beyond that share one group per type."""
_NULL: Final = 0
"""What the statement takes for NULL: Python's sqlite3 looks a microsecond for an adapter of each None."""
_INSERT_OUTCOMES: Final = {rows: repeat_values(SQL["insert_outcome"], rows) for rows in SIZES}
_INSERT_STAGES: Final = {rows: repeat_values(SQL["insert_stage"], rows) for rows in SIZES}
_INSERT_ATTEMPTS: Final = {rows: repeat_values(SQL["insert_attempt"], rows) for rows in SIZES}

_Row = tuple[Any, ...]


class Group:
    """Outcomes and failed attempts that are written together: what can be made ready before nobody else can write.

    Args:
        outcomes: in the order in which they came.
        attempts: likewise.
        stages: likewise, what stages have given that are not the last.
    """

    def __init__(
        self,
        outcomes: Sequence[Outcome],
        attempts: Sequence[FailedAttempt] = (),
        stages: Sequence[StageResult] = (),
    ) -> None:
        self.attempts = attempts
        self.stages = stages
        self.rows: list[_Row] = [
            (seq, run, 1, tries, took_us, latency_bucket(took_us), ended_ms, worker, _NULL, _NULL, _NULL, result)
            if failure is None
            else (seq, run, 0, tries, took_us, latency_bucket(took_us), ended_ms, worker)
            for seq, run, tries, took_us, ended_ms, worker, result, failure in outcomes
        ]
        self.failures = [(index, outcome.failure) for index, outcome in enumerate(outcomes) if outcome.failure]
        self.counts = Counts([row[2:8] for row in self.rows])


class OutcomeWriter:
    """Records outcomes on one connection.

    Args:
        connection: an open connection to the batch's file.

    Example:
        with transaction(connection):
            OutcomeWriter(connection).record(outcomes, attempts)
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._groups: dict[str, int] = {}

    def record(self, outcomes: Sequence[Outcome], attempts: Sequence[FailedAttempt] = ()) -> None:
        """Write `outcomes` and `attempts`; call it inside a write transaction."""
        self.write(Group(outcomes, attempts))

    def write(self, group: Group) -> None:
        """Write a group; call it inside a write transaction."""
        execute = self._connection.execute
        if group.stages:
            self._insert(_INSERT_STAGES, group.stages)
        if group.attempts:
            last = execute(SQL["last_attempt"]).fetchone()[0]
            self._insert(_INSERT_ATTEMPTS, [self._attempt_row(attempt) for attempt in group.attempts])
            execute(SQL["tally_attempts"], (last,))
            execute(SQL["group_attempts"], (last,))
            if any(attempt.delay_ms is not None for attempt in group.attempts):
                execute(SQL["count_retried"], (last,))
        if group.rows:
            rows, counts = list(group.rows), group.counts
            for index, failure in group.failures:
                number = self._group(failure, rows[index][6])
                rows[index] = (*rows[index], number, failure.error_type, failure.error, _NULL)
            written = self._insert(_INSERT_OUTCOMES, rows)
            if written < len(rows):
                counts = Counts(execute(SQL["newest_outcomes"], (written,)).fetchall())
            self._count(counts, written)

    def _count(self, counts: Counts, written: int) -> None:
        """Count the newest outcomes, which were written just now.

        They are added up in Python: every statement gives up its global lock, and gets it back from a busy loop only
        after a while, in which nobody else can write.
        """
        execute = self._connection.execute
        execute(
            SQL["tally_outcomes"], (counts.success, counts.failed, counts.recovered, counts.duration_us, counts.reused)
        )
        for name, table in counts.tables.items():
            execute(SQL[name], (json.dumps([(key, *sums) for key, sums in table.items()]),))
        if counts.failed:
            last = execute(SQL["last_outcome"]).fetchone()[0]
            execute(SQL["group_failures"], (last - written,))

    def forget_groups(self) -> None:
        """Forget the numbers of error groups, after a rollback that may have undone some of them."""
        self._groups.clear()

    def _insert(self, statements: dict[int, str], rows: Sequence[_Row]) -> int:
        """Insert `rows`; answers how many were new.

        A statement that is not full repeats its last row, which is ignored like any outcome that is there already.
        """
        written = 0
        for start in range(0, len(rows), SIZES[-1]):
            block = rows[start : start + SIZES[-1]]
            size = next(size for size in SIZES if size >= len(block))
            values = chain.from_iterable(chain(block, repeat(block[-1], size - len(block))))
            written += self._connection.execute(statements[size], tuple(values)).rowcount
        return written

    def _attempt_row(self, attempt: FailedAttempt) -> tuple[Any, ...]:
        failure = attempt.failure
        delay = attempt.delay_ms
        ended_ms = attempt.started_ms + attempt.duration_us // 1000
        return (
            attempt.seq,
            attempt.run,
            attempt.number,
            attempt.started_ms,
            attempt.duration_us,
            attempt.worker,
            delay,
            None if delay is None else ended_ms + delay,
            self._group(failure, ended_ms),
            failure.error_type,
            failure.error,
            failure.traceback,
            attempt.stage,
        )

    def _group(self, failure: Failure, now_ms: int) -> int:
        group = self._groups.get(failure.fingerprint)
        if group is None:
            group = self._find_group(failure, now_ms)
            if len(self._groups) < GROUPS:
                self._groups[failure.fingerprint] = group
        return group

    def _find_group(self, failure: Failure, now_ms: int) -> int:
        execute = self._connection.execute
        row = execute(SQL["error_group_id"], (failure.fingerprint,)).fetchone()
        if row is None:
            fingerprint, message, frame = failure.fingerprint, failure.error, failure.frame
            if execute(SQL["count_error_groups"]).fetchone()[0] >= GROUPS:
                fingerprint, message, frame = f"{failure.error_type}: other", "(various messages)", ""
            execute(SQL["insert_error_group"], (fingerprint, failure.error_type, message[:500], frame, now_ms))
            row = execute(SQL["error_group_id"], (fingerprint,)).fetchone()
        group: int = row[0]
        return group
