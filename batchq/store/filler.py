"""Stores what a reader yields: items, the messages that hand them out, and how far the input has been read."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from batchq.model import NONE_SKIPPED, SUPERVISOR, Failure, Outcome, Record
from batchq.probe import reach
from batchq.store import connection as db
from batchq.store.chunks import ChunkQueue
from batchq.store.connection import SQL
from batchq.store.outcomes import OutcomeWriter
from batchq.store.reserve import leave_to_outcomes, storage_error, telling
from batchq.store.skipped import note_skipped

BLOCKS: Final = (256, 32, 4, 1)
"""Items per statement: few sizes, so that each is prepared once."""
_INSERT_ITEMS: Final = {rows: db.repeat_values(SQL["insert_item"], rows) for rows in BLOCKS}


class Filler:
    """Stores records of the input, with the messages that hand them out, in small transactions.

    Args:
        path: the batch's file.
        durability: ``normal`` or ``full``.
        chunk_size: items in a message.
        seq: the last item that is stored already.
    """

    def __init__(self, path: Path, durability: str, chunk_size: int, seq: int) -> None:
        self._connection = db.open_writer(path, durability)
        self._path = path
        self._chunk_size = chunk_size
        self._seq = seq
        self._queue = ChunkQueue(self._connection)
        self._writer = OutcomeWriter(self._connection)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def store(
        self,
        records: Sequence[Record],
        digest: str,
        fail: Callable[[str], Failure],
        skipped: Mapping[str, int] = NONE_SKIPPED,
    ) -> None:
        """Store `records`, their messages and the position behind them, in one transaction.

        Args:
            records: what the reader yielded, in order.
            digest: the reader's running hash behind the last of them.
            fail: makes the failure of a record that cannot be used from the reason.
            skipped: records that were left out up to here, by what left them out.

        Raises:
            StorageFailed: the file cannot be written.
        """
        first = self._seq + 1
        last = self._seq + len(records)
        bad = [
            Outcome(seq, 1, 0, 0, int(time.time() * 1000), SUPERVISOR, None, fail(record.error))
            for seq, record in enumerate(records, first)
            if record.error is not None
        ]
        facts = [
            (seq, "" if item_id is None else item_id, line, payload)
            for seq, (payload, item_id, line, *_) in enumerate(records, first)
        ]
        statements = [(len(block), tuple(chain.from_iterable(block))) for block in db.in_blocks(facts, BLOCKS)]
        end = records[-1]
        position = (end.position, end.next_line, last, digest, 0)
        try:
            with db.transaction(self._connection):
                for rows, values in statements:
                    self._connection.execute(_INSERT_ITEMS[rows], values)
                self._queue.put_ranges(self._chunks(records, first, {outcome.seq for outcome in bad}))
                self._connection.execute(SQL["note_position"], position)
                self._connection.execute(SQL["count_items"])
                note_skipped(self._connection, skipped)
                if bad:
                    self._writer.record(bad)
                leave_to_outcomes(self._path.parent)  # last, for a worker may give it up meanwhile
                reach("filling")
        except db.DatabaseError as error:
            raise storage_error(self._path, error) from error
        self._seq = last

    def note_end(self, skipped: Mapping[str, int], whole: str | None) -> None:
        """Store what is known only at the end of the input; raises as `store`.

        Args:
            skipped: records that were left out, by what left them out.
            whole: the reader's hash over all of it, where the batch is a shard.
        """
        with telling(self._path), db.transaction(self._connection):
            note_skipped(self._connection, skipped)
            if whole is not None:
                self._connection.execute(SQL["note_whole"], (whole,))

    def _chunks(self, records: Sequence[Record], first: int, bad: set[int]) -> list[tuple[int, int, int, bool]]:
        """(first, last, bytes, redelivered) of each message; one that holds a bad record is read item by item."""
        chunks = []
        for start in range(0, len(records), self._chunk_size):
            part = records[start : start + self._chunk_size]
            low, high = first + start, first + start + len(part) - 1
            holds_bad = any(seq in bad for seq in range(low, high + 1)) if bad else False
            chunks.append((low, high, sum(len(record.payload) for record in part), holds_bad))
        return chunks
