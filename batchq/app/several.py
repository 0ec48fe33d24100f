"""Several batches at a time, as the command line asks for them: one report of all, and one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from batchq.app.merged import merge
from batchq.app.parts import Part, together
from batchq.app.render import REPORT_COLUMNS, csv_line
from batchq.app.report import BatchReport

if TYPE_CHECKING:
    from batchq.app.batches import Batches

ALL: Final = 2**31
"""Failures of a report: as many as a server takes for all."""


def parts_of(batches: Batches, named: Sequence[str]) -> list[Part]:
    """The batches that are named; raises `UsageError` where one of them is not there."""
    statuses = [(name, batches.status(name)) for name in named]
    return [Part.of(name, now.batch_id, now.created_at, now.spec) for name, now in statuses]


def merged_report(batches: Batches, named: Sequence[str], failures: int | None) -> BatchReport:
    """One report on several batches.

    Args:
        batches: where they are.
        named: them.
        failures: list the first so many; None for all.

    Raises:
        UsageError: one of them is not there, or named twice.
    """
    parts = parts_of(batches, named)
    report = merge(parts, [batches.report(name, ALL if failures is None else failures) for name in named])
    if failures is not None:
        report.failures = report.failures[:failures]
    return report


def merged_csv(batches: Batches, named: Sequence[str], raw: bool, note: Callable[[str], None]) -> Iterator[str]:
    """The rows of several batches, one batch after the other, with the batch in a last column.

    Args:
        batches: where they are.
        named: them.
        raw: as of `render.report_csv`.
        note: told in words what a table has no room for: shards that are missing, say.

    Raises:
        UsageError: as `merged_report`; before anything is walked.
    """
    for trouble in together(parts_of(batches, named)).troubles:
        note(trouble)
    return _csv(batches, named, raw)


def _csv(batches: Batches, named: Sequence[str], raw: bool) -> Iterator[str]:
    yield f"{REPORT_COLUMNS},batch\n"
    for name in named:
        cell = csv_line([name], raw)
        records = csv_records(batches.report_csv(name, raw))
        next(records, None)  # its names
        for record in records:
            yield f"{record[:-1]},{cell}"


def csv_records(pieces: Iterator[str]) -> Iterator[str]:
    """The records of a table with their line ends, of which there may be more within quotes.

    Example:
        >>> list(csv_records(iter(["a,b\\n1,", '"x\\ny"\\n'])))
        ['a,b\\n', '1,"x\\ny"\\n']
    """
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        record = ""
        for line in lines:
            record += line + "\n"
            if record.count('"') % 2 == 0:
                yield record
                record = ""
        rest = record + rest
