"""The floor under everything durable: SQLite inserting the bytes of a batch, and nothing else.

    python -m benchmarks.floor BATCH.db COPY.db

Reads the items and outcomes of a batch that has ended into memory. Then the clock starts, and they are inserted into a
new file with batchq's own tables, indexes and pragmas, in groups of the same size, with a checkpoint at the same size
of the log: one process, one connection, nothing parsed, nothing claimed, nothing counted.  Prints the seconds.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from batchq.engine.fill import FILL_ITEMS
from batchq.engine.supervisor import CHECKPOINT_BYTES
from batchq.store.connection import SQL, Connection, create, open_reader, transaction
from batchq.store.recorder import COMMIT_OUTCOMES

ITEMS: Final = "SELECT seq, item_id, line, payload FROM items ORDER BY seq"
OUTCOMES: Final = """
SELECT seq, run, success, attempts, duration_us, bucket, ended_ms, worker, error_group, error_type, error, result
FROM outcomes ORDER BY n
"""
ATTEMPTS: Final = """
SELECT seq, run, number, started_ms, duration_us, worker, delay_ms, not_before, error_group, error_type, error,
       traceback, stage
FROM attempts ORDER BY n
"""

Rows = list[tuple[Any, ...]]


def copy(items: Rows, outcomes: Rows, attempts: Rows, target: Path) -> float:
    """Seconds that it takes SQLite to insert all of it."""
    with closing(create(target, "normal")) as connection:
        began = time.perf_counter()
        # As in a batch, where the input is still read while outcomes come in.
        for start in range(0, len(items), FILL_ITEMS):
            end = start + FILL_ITEMS
            insert(connection, "insert_item", items[start:end])
            for group in groups(share(attempts, start, end, len(items))):
                insert(connection, "insert_attempt", group)
            for group in groups(outcomes[start:end]):
                insert(connection, "insert_outcome", group)
            if os.path.getsize(f"{target}-wal") >= CHECKPOINT_BYTES:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return time.perf_counter() - began


def share(rows: Rows, start: int, end: int, of: int) -> Rows:
    """The part of the rows that goes with a part of the items."""
    return rows[start * len(rows) // of : min(end, of) * len(rows) // of]


def groups(rows: Rows) -> Iterator[Rows]:
    """As many to a commit as a busy worker has."""
    for start in range(0, len(rows), COMMIT_OUTCOMES):
        yield rows[start : start + COMMIT_OUTCOMES]


def insert(connection: Connection, statement: str, rows: Rows) -> None:
    """One commit."""
    with transaction(connection):
        connection.executemany(SQL[statement], rows)


def main(source: str, target: str) -> None:
    """Read, then insert."""
    with closing(open_reader(Path(source))) as connection:
        items, outcomes, attempts = (connection.execute(rows).fetchall() for rows in (ITEMS, OUTCOMES, ATTEMPTS))
    gc.freeze()
    gc.disable()  # millions of rows are held only so that the clock sees SQLite alone
    seconds = copy(items, outcomes, attempts, Path(target))
    print(json.dumps({"seconds": seconds, "items": len(items), "outcomes": len(outcomes)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
