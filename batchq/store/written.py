"""How far the file that ``--out`` names has been written; stands beside the outcomes, so that no crash parts them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from batchq.store import connection as db
from batchq.store.connection import SQL
from batchq.store.reading import ReportReader


class Position(NamedTuple):
    """How far a file has been written.

    Attributes:
        number: of the last outcome in it.
        size: bytes up to where that ends.
        tail: hash of the last bytes before `size`.
    """

    number: int
    size: int
    tail: str


class WrittenStore(ReportReader):
    """Reads the outcomes that are to be written, and notes which of them are.

    Args:
        path: the batch's file.
        durability: ``normal`` or ``full``.
    """

    def __init__(self, path: Path, durability: str = "normal") -> None:
        super().__init__(db.open_writer(path, durability))

    def position(self) -> Position | None:
        """How far the file has been written; None: it was never opened."""
        row = self._connection.execute(SQL["read_written"]).fetchone()
        return Position(*row) if row else None

    def note(self, number: int, size: int, tail: str) -> None:
        """The file holds the outcomes up to `number` in its first `size` bytes; `tail`: hash of the last of them."""
        with db.transaction(self._connection):
            self._connection.execute(SQL["note_written"], (number, size, tail))
