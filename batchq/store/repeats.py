"""Counts the ids that several items have: for a warning, and so at the cost of neither memory nor other people's time.

    items ── pages of ids ──▶ a temporary file ── sorted ──▶ how many are repeated

Sorted by SQLite in memory, ten million ids would take 225 MB; one statement over the batch's file would keep its log
growing for half a minute.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from batchq.store.connection import SQL, load_statements, open_reader

PAGE_ROWS: Final = 10_000
STEPS: Final = 100_000
"""Of SQLite's machine, between two looks whether somebody waits for the end: some milliseconds."""
_SQL: Final = load_statements("repeats.sql")


def count_repeated_ids(path: Path, gives_up: Callable[[], bool] = lambda: False) -> int | None:
    """How many items have an id that an earlier item has too; None where the count was given up.

    Args:
        path: the batch.db.
        gives_up: asked now and then, whether to stop.

    Raises:
        StoreError: the file cannot be read.
    """
    with closing(open_reader(path)) as batch, closing(sqlite3.connect("")) as ids:  # a file without a name
        ids.execute("PRAGMA temp_store = FILE")
        ids.execute("PRAGMA journal_mode = OFF")
        ids.execute(_SQL["make_ids"])
        last = 0
        while page := batch.execute(SQL["page_of_ids"], (last, PAGE_ROWS)).fetchall():
            if gives_up():
                return None
            last = page[-1][0]
            ids.executemany(_SQL["insert_id"], [(item_id,) for _, item_id in page if item_id is not None])
        ids.set_progress_handler(gives_up, STEPS)
        try:
            repeated: int = ids.execute(_SQL["count_repeated_ids"]).fetchone()[0]
        except sqlite3.OperationalError:
            if gives_up():
                return None
            raise
        return repeated
