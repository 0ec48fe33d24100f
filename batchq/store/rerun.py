"""Failed items run again: their failure becomes history, their counts are corrected, and they get messages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

from batchq.errors import UsageError
from batchq.model import COMPLETED, FAILED, INVALID_INPUT, move
from batchq.store import connection as db
from batchq.store.batch import BatchStore
from batchq.store.chunks import ranges
from batchq.store.connection import SQL
from batchq.store.reading import reading
from batchq.store.reserve import telling
from batchq.store.rows import ResultRow
from batchq.store.turns import hand_over

RERUN_ITEMS: Final = 2000
"""Items in one transaction: it holds the write lock for some 20 ms."""


def rerun(
    path: Path,
    durability: str,
    is_chosen: Callable[[ResultRow], bool],
    moved: Callable[[int], object] = lambda _: None,
    from_stage: int | None = None,
    served: bool = False,
) -> int:
    """Let failed items run again, in the same batch; how many they are.

    Args:
        path: the batch's file.
        durability: ``normal`` or ``full``.
        is_chosen: which of the failed items; records that could not be read never are, there is nothing to run.
        moved: told after each transaction how many they are so far.
        from_stage: what this stage and later ones have given is forgotten; None keeps it, so that each item begins at
            the stage that has failed.
        served: a server runs them. It knows that from the first of them on, so that whoever asks may die at any time.

    Raises:
        UsageError: the batch was cancelled.
        StorageFailed: the file cannot be written.
    """
    count = 0
    with telling(path), closing(BatchStore(path, durability)) as store, reading(path) as reader:
        if move(store.progress().state, "retry") is None:
            raise UsageError("it was cancelled, and nothing of it runs any more", "Start a new batch.")
        rows = (row for row in reader.results(only=FAILED) if row.error_type != INVALID_INPUT and is_chosen(row))
        while chosen := [row.seq for row in islice(rows, RERUN_ITEMS)]:
            again = _rerun(store, chosen, from_stage, served, is_first=not count)
            if again is None:
                break
            count += again
            moved(count)
    return count


def _rerun(store: BatchStore, seqs: list[int], from_stage: int | None, served: bool, is_first: bool) -> int | None:
    """How many of these items run again; None where the batch was cancelled meanwhile, and its failures stay."""
    connection = store.connection
    with db.transaction(connection):
        before = store.progress().state
        if move(before, "retry") is None:
            return None
        # Somebody else may have done the same since they were read: only what has an outcome still is put back.
        left = set(store.without_outcome(seqs))
        again = [seq for seq in seqs if seq not in left]
        listed = (db.json_list(again),)
        for name in ("untally", "uncount_latency", "uncount_tries", "ungroup_failures", "rerun_items"):
            connection.execute(SQL[name], listed)
        if from_stage is not None:
            connection.execute(SQL["forget_stages"], (*listed, from_stage))
        for first, last in ranges(again):
            store.queue.put_range(first, last, redelivered=True)
        if again:
            store.move_within("retry")
            # Later on, whoever has paused the batch while this goes on wants it to stay so.
            if served and (is_first or before == COMPLETED):
                hand_over(connection)
    return len(again)
