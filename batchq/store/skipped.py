"""Records of an input that became no items, and the rest of one of which only the first were read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from batchq.model import COMPLETED
from batchq.spec import BatchSpec
from batchq.store import connection as db
from batchq.store.connection import SQL
from batchq.store.reserve import telling


def note_skipped(connection: db.Connection, skipped: Mapping[str, int]) -> None:
    """Store how many records were left out so far, by what left them out; in the caller's transaction."""
    for reason, records in skipped.items():
        connection.execute(SQL["note_skipped"], (reason, records))


def reopen_input(path: Path, spec: BatchSpec) -> None:
    """Let a batch read its input on, which was stored to its end; the caller holds its lock.

    Args:
        path: the batch's file.
        spec: the batch, without the limit that has ended its input.
    """
    with telling(path), closing(db.open_writer(path, spec.durability)) as connection, db.transaction(connection):
        connection.execute(SQL["reopen_input"], (spec.to_json(), COMPLETED))
