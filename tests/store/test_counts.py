"""What is counted while outcomes are written is what a look at all rows finds."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchq.model import FailedAttempt, Failure, Outcome
from batchq.spec import BatchSpec, SourceSpec
from batchq.store import connection as db
from batchq.store.batch import create_batch
from batchq.store.outcomes import OutcomeWriter
from batchq.store.repair import RECOUNTS

TABLES = ("tally", "latency", "intervals", "tries", "shares", "error_groups")
FAILED = Failure("ValueError", "no title", "", "print", "")


def outcome(seq: int, run: int = 1) -> Outcome:
    """Of many kinds: times, attempts, workers and intervals differ, every fourth one fails, every ninth never ran."""
    never_ran = seq % 9 == 0
    attempts = 0 if never_ran else 1 + seq % 3
    failure = FAILED if never_ran or seq % 4 == 0 else None
    return Outcome(
        seq,
        run,
        attempts,
        0 if never_ran else 7 ** (seq % 7),
        9_000 * seq,
        seq % 2 + 1,
        None if failure else "0",
        failure,
    )


def contents(connection: db.Connection) -> dict[str, Any]:
    return {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall()) for name in TABLES}


@pytest.mark.parametrize("size", [1, 3, 4, 5, 100, 512, 513, 1100])
def test_counts_are_those_of_the_rows(tmp_path: Path, size: int) -> None:
    create_batch(tmp_path / "batch.db", "b", BatchSpec("m:f", "/", "/", "python", SourceSpec("a", "a", "jsonl")))
    with closing(db.open_writer(tmp_path / "batch.db")) as connection:
        with db.transaction(connection):
            rows = [(seq, "", seq, "{}") for seq in range(1, size + 1)]
            connection.executemany(db.SQL["insert_item"], rows)
            connection.execute(db.SQL["note_position"], (0, 1, size, "", 1))
            connection.execute(db.SQL["count_items"])
        writer = OutcomeWriter(connection)
        half = [outcome(seq) for seq in range(1, size // 2 + 1)]
        attempts = [
            FailedAttempt(each.seq, 1, number, each.ended_ms, 10, each.worker, 5, FAILED)
            for each in map(outcome, range(1, size + 1))
            for number in range(1, each.attempts)
        ]
        last = [
            FailedAttempt(e.seq, 1, e.attempts, e.ended_ms, 10, 1, None, FAILED)
            for e in map(outcome, range(1, size + 1))
            if e.failure and e.attempts
        ]
        with db.transaction(connection):
            writer.record(half)
        with db.transaction(connection):
            # Some of these are there already: they are refused, and counted nowhere.
            writer.record([outcome(seq) for seq in range(1, size + 1)], attempts + last)
        counted = contents(connection)
        assert connection.execute("SELECT count(*), count(DISTINCT seq) FROM outcomes").fetchone() == (size, size)
        with db.transaction(connection):
            for name in RECOUNTS:
                connection.execute(db.SQL[name])
        assert contents(connection) == counted
