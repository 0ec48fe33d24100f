"""Writes outcomes and failed attempts, and everything that is counted from them, in the caller's transaction.

Each count is taken from the rows that were really written, never from the length of a buffer: an outcome whose
run has one already is refused by the unique index, and then counts nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

from batchq.model import FailedAttempt, Failure, Outcome, latency_bucket
from batchq.store.connection import SQL, Connection, repeat_values

BLOCKS: Final = (256, 32, 4, 1)
"""Rows per statement: few sizes, so that each is prepared once per connection."""
GROUPS: Final = 1000
"""Error groups in a batch at most; messages beyond that share one group per type."""
_INSERT_OUTCOMES: Final = {rows: repeat_values(SQL["insert_outcome"], rows) for rows in BLOCKS}
_INSERT_ATTEMPTS: Final = {rows: repeat_values(SQL["insert_attempt"], rows) for rows in BLOCKS}


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
        execute = self._connection.execute
        last_outcome, last_attempt = execute(SQL["last_numbers"]).fetchone()
        if attempts:
            self._insert(_INSERT_ATTEMPTS, [self._attempt_row(attempt) for attempt in attempts])
            execute(SQL["tally_attempts"], (last_attempt,))
            execute(SQL["group_attempts"], (last_attempt,))
            if any(attempt.delay_ms is not None for attempt in attempts):
                execute(SQL["count_retried"], (last_attempt,))
        if outcomes:
            self._insert(_INSERT_OUTCOMES, [self._outcome_row(outcome) for outcome in outcomes])
            execute(SQL["tally_outcomes"], (last_outcome,))
            execute(SQL["count_latency"], (last_outcome,))
            execute(SQL["count_intervals"], (last_outcome,))
            execute(SQL["count_tries"], (last_outcome,))
            execute(SQL["count_shares"], (last_outcome,))
            if any(outcome.failure for outcome in outcomes):
                execute(SQL["group_failures"], (last_outcome,))

    def forget_groups(self) -> None:
        """Forget the numbers of error groups, after a rollback that may have undone some of them."""
        self._groups.clear()

    def _insert(self, statements: dict[int, str], rows: list[tuple[Any, ...]]) -> None:
        for block in _blocks(rows):
            self._connection.execute(statements[len(block)], tuple(chain.from_iterable(block)))

    def _outcome_row(self, outcome: Outcome) -> tuple[Any, ...]:
        seq, run, attempts, duration_us, ended_ms, worker, result, failure = outcome
        bucket = latency_bucket(duration_us)
        if failure is None:
            return (seq, run, 1, attempts, duration_us, bucket, ended_ms, worker, None, None, None, result)
        group = self._group(failure, ended_ms)
        return (
            seq,
            run,
            0,
            attempts,
            duration_us,
            bucket,
            ended_ms,
            worker,
            group,
            failure.error_type,
            failure.error,
            None,
        )

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


def _blocks(rows: list[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    start = 0
    for size in BLOCKS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size
