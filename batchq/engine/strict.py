"""``--strict``: the input is read up to the first record that cannot be read, which stays where it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Final

from batchq.inputs import open_reader
from batchq.model import Record
from batchq.spec import SourceSpec

HINT: Final = "Mend that record and resume, or let such records fail alone: batchq resume {} --no-strict"


class UpToUnreadable(Iterator[Record | None]):
    """Records as they come, and none behind the first that cannot be read.

    Args:
        records: what a reader yields.

    Attributes:
        why: file, line and reason of that record; None before it.
    """

    def __init__(self, records: Iterator[Record | None]) -> None:
        self._records = records
        self.why: str | None = None

    def __next__(self) -> Record | None:
        record = None if self.why else next(self._records)
        self.why = self.why or (record and record.error)
        if self.why:
            raise StopIteration
        return record


def digest_at(source: SourceSpec, records: int) -> str:
    """Hash over the first so many records of the input, which are read once more for it.

    A reader that has met an unreadable record has read, and hashed, beyond the place where the batch will go on.
    """
    with closing(open_reader(source)) as reader:
        found = (record for record in reader if record is not None)
        for _ in islice(found, records):
            pass
        return reader.digest()
