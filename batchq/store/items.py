"""Reading single items of a batch's file: by id or seq, with every outcome and every attempt that failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from batchq.errors import StoreError
from batchq.store import connection as db
from batchq.store.connection import SQL
from batchq.store.reading import BatchReader

NAMESAKES: Final = 100
"""Items of the same id that are found at most."""
NEAR_IDS: Final = 1000
"""Ids among which the nearest one is chosen."""


class ItemRow(NamedTuple):
    """An item as it is stored.

    Attributes:
        seq: position in the input, from 1.
        item_id: the record's own id, or ``item-<seq>``.
        has_own_id: it is the record's own.
        line: where the record begins in the input, from 1.
        run: the current one, from 1.
        interruptions: runs that were cut short by a crash.
        deaths: workers that died while they ran it alone.
        payload: JSON text.
    """

    seq: int
    item_id: str | int
    has_own_id: bool
    line: int
    run: int
    interruptions: int
    deaths: int
    payload: str


class OutcomeRow(NamedTuple):
    """What came of one run of an item; the fields as in `ResultRow`."""

    run: int
    success: int
    attempts: int
    duration_us: int
    ended_ms: int
    worker: int
    error_type: str | None
    error: str | None
    result: str | None


class AttemptRow(NamedTuple):
    """An attempt that failed.

    Attributes:
        started_ms: wall clock, milliseconds since 1970.
        delay_ms: wait before the next attempt, milliseconds; None where none was to follow.
        stage: at which it was made, from 1.
    """

    run: int
    number: int
    started_ms: int
    duration_us: int
    worker: int
    delay_ms: int | None
    error_type: str
    error: str
    traceback: str
    stage: int = 1


class StageRow(NamedTuple):
    """What a stage of an item has given that is not its last one; the fields as in `model.StageResult`."""

    stage: int
    run: int
    attempts: int
    duration_us: int
    ended_ms: int
    worker: int
    result: str


class ItemReader(BatchReader):
    """Reads single items.

    Example:
        with reading_items(folder.database) as reader:
            for seq in reader.find("a4"):
                print(reader.item(seq).payload)
    """

    def find(self, item_id: str) -> list[int]:
        """``seq`` of the items of that id, `NAMESAKES` at most."""
        whole = _whole(item_id)
        rows = self._connection.execute(SQL["find_items"], (item_id, whole, NAMESAKES)).fetchall()
        return [seq for (seq,) in rows]

    def near(self, item_id: str) -> list[str]:
        """Ids that one could have meant by `item_id`, `NEAR_IDS` at most."""
        half, quarter = max(1, len(item_id) // 2), max(1, len(item_id) // 4)
        rows = self._connection.execute(SQL["near_items"], (item_id, half, quarter, NEAR_IDS)).fetchall()
        return [str(near) for (near,) in rows]

    def item(self, seq: int) -> ItemRow | None:
        """The item at `seq`; None where there is none."""
        row = self._connection.execute(SQL["read_item"], (seq,)).fetchone()
        return None if row is None else ItemRow(*row)

    def is_claimed(self, seq: int) -> bool:
        """Whether a worker has the item in its hands, or at least ahead of it."""
        return bool(self._connection.execute(SQL["is_claimed"], (seq,)).fetchone()[0])

    def outcomes(self, seq: int) -> list[OutcomeRow]:
        """What came of each run of the item that has ended, the first one first."""
        return [OutcomeRow(*row) for row in self._connection.execute(SQL["outcomes_of_item"], (seq,)).fetchall()]

    def attempts(self, seq: int) -> list[AttemptRow]:
        """Each attempt at the item that failed, of every run, the first one first."""
        name = "attempts_of_item" if self.knows_stages() else "attempts_of_old_item"
        return [AttemptRow(*row) for row in self._connection.execute(SQL[name], (seq,)).fetchall()]

    def stages(self, seq: int) -> list[StageRow]:
        """What the stages of the item have given that are done, but for the last of all; the first one first."""
        if not self.knows_stages():
            return []
        return [StageRow(*row) for row in self._connection.execute(SQL["stages_of_item"], (seq,)).fetchall()]


@contextmanager
def reading_items(path: Path) -> Iterator[ItemReader]:
    """A reader of single items for the length of a block; raises `StoreError` as `reading` does."""
    with closing(ItemReader(db.open_reader(path))) as reader:
        try:
            yield reader
        except db.DatabaseError as error:
            raise StoreError(str(path), f"cannot be read ({error})", db.spoilt_hint(path, error)) from error


def _whole(item_id: str) -> int | None:
    """The number that `item_id` is the text of: ids may be numbers."""
    try:
        number = int(item_id)
    except ValueError:
        return None
    return number if str(number) == item_id and -(2**63) <= number < 2**63 else None
