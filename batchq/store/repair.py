"""Mends a batch's file from its items and outcomes, which are the truth: the queue and the counts follow from them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

from batchq.store import connection as db
from batchq.store.batch import BatchStore
from batchq.store.chunks import ranges
from batchq.store.connection import SQL

PAGE_ITEMS: Final = 100_000
"""Items that are looked at between two inserts: bounded memory at any size."""
RECOUNTS: Final = (
    "recount_tally",
    "forget_latency",
    "recount_latency",
    "forget_intervals",
    "recount_intervals",
    "forget_retried",
    "recount_retried",
    "forget_tries",
    "recount_tries",
    "forget_shares",
    "recount_shares",
    "recount_groups",
    "recount_input",
    "forget_stray_stages",
)


def repair(path: Path, durability: str, chunk_size: int) -> list[str]:
    """Mend what `BatchStore.check` finds in the queue and in the counts; what is still broken afterwards.

    One transaction: it is all mended, or nothing is changed.  The caller holds the batch's lock.

    Args:
        path: the batch's file.
        durability: ``normal`` or ``full``.
        chunk_size: items in a message.
    """
    with closing(BatchStore(path, durability)) as store:
        with db.transaction(store.connection):
            store.connection.execute(SQL["forget_chunks"])
            _refill(store, chunk_size)
            for name in RECOUNTS:
                store.connection.execute(SQL[name])
        return store.check()


def _refill(store: BatchStore, chunk_size: int) -> None:
    """A message for each item that has no outcome."""
    last = store.connection.execute(SQL["last_item"]).fetchone()[0]
    for start in range(1, last + 1, PAGE_ITEMS):
        cursor = store.connection.execute(SQL["unfinished_in_range"], (start, start + PAGE_ITEMS - 1))
        for low, high in ranges(db.read_list(cursor)):
            for first in range(low, high + 1, chunk_size):
                store.queue.put_range(first, min(first + chunk_size - 1, high), redelivered=True)
