"""How far the file that ``--out`` names has been written; stands beside the outcomes, so that no crash parts them."""

from __future__ import annotations

from pathlib import Path

from batchq.store import connection as db
from batchq.store.connection import SQL
from batchq.store.reading import ReportReader


class WrittenStore(ReportReader):
    """Reads the outcomes that are to be written, and notes which of them are.

    Args:
        path: the batch's file.
        durability: ``normal`` or ``full``.
    """

    def __init__(self, path: Path, durability: str = "normal") -> None:
        super().__init__(db.open_writer(path, durability))

    def position(self) -> tuple[int, int] | None:
        """Number of the last outcome in the file, and where it ends there, in bytes; None: it was never opened."""
        row: tuple[int, int] | None = self._connection.execute(SQL["read_written"]).fetchone()
        return row

    def note(self, number: int, size: int) -> None:
        """The file holds the outcomes up to `number` in its first `size` bytes."""
        with db.transaction(self._connection):
            self._connection.execute(SQL["note_written"], (number, size))
