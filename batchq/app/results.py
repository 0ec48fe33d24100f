"""What `batchq results` prints: which rows, in which form, as text in pieces or as a table of bytes.

Memory is bounded whatever the number of rows: they are read by pages.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from batchq.app.atomic import replaced
from batchq.app.flatten import Columns, flat_line, flat_row
from batchq.app.items import hidden_rows
from batchq.app.openai_lines import OPENAI, openai_lines
from batchq.app.render import SCHEMA, csv_line, payload_of, plain, results_csv, results_jsonl
from batchq.app.stages import check_stage
from batchq.errors import OutputError
from batchq.model import INVALID_INPUT, SUCCESS, BatchRow
from batchq.store.home import BatchFolder
from batchq.store.reading import LAST, ReportReader, reading
from batchq.store.rows import ResultRow

JSONL: Final = "jsonl"
PARQUET: Final = "parquet"
SEPARATORS: Final = {"csv": ",", "tsv": "\t"}
FORMS: Final = (JSONL, *SEPARATORS, PARQUET)
EXTENSIONS: Final = {".jsonl": JSONL, ".ndjson": JSONL, ".csv": "csv", ".tsv": "tsv", ".parquet": PARQUET}
POLL_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Wanted:
    """Which results are asked for, and how they are to look.

    Attributes:
        form: one of `FORMS`, or `OPENAI`.
        only: ``success`` or ``failed``; None for both.
        with_input: the item stands in its row.
        flatten: the parts of objects have names of their own.
        raw: tables keep texts that a spreadsheet would run.
        with_schema: each line of JSON begins with the version of batchq's JSON.
        stage: what this stage has given, from 1, instead of the outcomes; None for these.
    """

    form: str = JSONL
    only: str | None = None
    with_input: bool = False
    flatten: bool = False
    raw: bool = False
    with_schema: bool = False
    stage: int | None = None

    @property
    def start(self) -> str:
        """What each object of a line begins with."""
        return f'"schema": {SCHEMA}, ' if self.with_schema else ""


class Outcomes(Protocol):
    """What is read of one batch, or of several that are read as one; see `ReportReader`."""

    def row(self) -> BatchRow:
        """The batch's own row."""

    def last_commit(self) -> int:
        """Number of the outcome that was committed last."""

    def results(self, only: str | None = None, with_input: bool = False, *, until: int = LAST) -> Iterator[ResultRow]:
        """Items that have an outcome, in the order of the input."""

    def stage_results(self, stage: int, with_input: bool = False) -> Iterator[ResultRow]:
        """What a stage that is not the last has given."""

    def lines(self, start: str = "") -> Iterator[str]:
        """All that `results` yields as lines of JSON."""


def form_of(name: str, given: str | None) -> tuple[str, bool]:
    """The form of a file of results: the one given, else what its name tells; and whether it is compressed (.gz).

    Raises:
        OutputError: its name tells no form, or it is a compressed one that cannot be.

    Example:
        >>> form_of("titles.csv.gz", None), form_of("titles.data", "jsonl")
        (('csv', True), ('jsonl', False))
    """
    path = Path(name)
    packed = path.suffix.lower() == ".gz"
    form = given or EXTENSIONS.get((path.with_suffix("") if packed else path).suffix.lower())
    if form is None:
        raise OutputError(name, "its name tells no format", f"Say --format {'|'.join(FORMS)}.")
    if packed and form == PARQUET:
        raise OutputError(name, "Parquet is compressed in itself", "Leave .gz away.")
    return form, packed


@contextmanager
def whole_file(name: str, packed: bool) -> Iterator[BinaryIO]:
    """A file of results that takes its place when it is whole; see `atomic.replaced`."""
    with replaced(Path(name)) as file:
        if not packed:
            yield file
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6) as pressed:
            yield pressed  # type: ignore[misc]  # all of BinaryIO that is used here


def text_of(reader: Outcomes, wanted: Wanted) -> Iterator[str]:
    """The results in the order of the input, as text in pieces.

    Args:
        reader: of the batch's file.
        wanted: which, and how; any form but Parquet.

    Raises:
        UsageError: a table would have too many columns.
    """
    if wanted.form == JSONL:
        if not (wanted.only or wanted.with_input or wanted.flatten or wanted.stage is not None):
            yield from reader.lines(wanted.start)
            return
        rows = _rows(reader, wanted)
        yield from _json_lines(rows, wanted)
    elif wanted.form == OPENAI:
        yield from openai_lines(reader.row(), _rows(reader, wanted), wanted.stage)
    elif wanted.flatten:
        columns, rows = survey(reader, wanted)
        names = columns.names()
        yield csv_line(names, wanted.raw, SEPARATORS[wanted.form])
        for row in rows:
            cells = flat_row(row)
            yield csv_line([plain(cells.get(name)) for name in names], wanted.raw, SEPARATORS[wanted.form])
    else:
        rows = _rows(reader, wanted)
        yield from results_csv(rows, wanted.with_input, wanted.raw, SEPARATORS[wanted.form])


def survey(reader: Outcomes, wanted: Wanted) -> tuple[Columns, Iterator[ResultRow]]:
    """The columns of a flat table, found by a pass over all rows, and the very same rows once more."""
    until = reader.last_commit()
    columns = Columns.of(_rows(reader, wanted, until))
    return columns, _rows(reader, wanted, until)


def write_table(sink: BinaryIO, reader: Outcomes, wanted: Wanted) -> None:
    """Write the results as Parquet; raises `UsageError` where pyarrow is missing or there are too many columns."""
    from batchq.app.parquet import write_flat_parquet, write_parquet

    if wanted.flatten:
        columns, rows = survey(reader, wanted)
        write_flat_parquet(sink, rows, columns)
    else:
        write_parquet(sink, _rows(reader, wanted), wanted.with_input)


def items_of(reader: Outcomes, only: str | None, note: Callable[[str], None]) -> Iterator[str]:
    """The items themselves as JSON lines, unchanged and in the order of the input: an input for `start`.

    Args:
        reader: of the batch's file.
        only: as in `Wanted`.
        note: told in the end how many are left out, because they are records that could not be read.
    """
    unread = 0
    for row in reader.results(only, with_input=True):
        if row.error_type == INVALID_INPUT:
            unread += 1
        else:
            yield payload_of(row) + "\n"
    if unread:
        note(f"left out: {unread:,} that could not be read, of which there is no item")


def follow(folder: BatchFolder, wanted: Wanted, sleep: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """The outcomes as they are committed, until no process runs the batch any more; as text in pieces.

    An item that `retry` has run again comes once more, with a higher ``run``.

    Args:
        folder: the batch.
        wanted: which, and how; flat tables and Parquet cannot be followed.
        sleep: waits so many seconds between two looks.
    """
    header = wanted.form in SEPARATORS
    number = 0
    with reading(folder.database) as reader:
        while True:
            ended = not folder.lock.is_held()  # before the look at the file, so that what came last is not missed
            while True:
                number, text = next_page(reader, wanted, number, header)
                if not text:
                    break
                header = False
                yield text
            if ended:
                return
            sleep(POLL_SECONDS)


def next_page(reader: ReportReader, wanted: Wanted, number: int, with_header: bool = False) -> tuple[int, str]:
    """The outcomes behind `number`, in the order in which they were committed: the last one's number, and the text.

    Args:
        reader: of the batch's file.
        wanted: which, and how.
        number: of the last one that is known; 0 for none.
        with_header: begin a table with its names.
    """
    if wanted.form == JSONL and not (wanted.only or wanted.with_input or wanted.flatten):
        return reader.lines_after(number, wanted.start)
    text = ""
    while not text:
        before = number
        number, page = reader.commits_after(number, wanted.with_input)
        rows = _shown(reader, wanted, (row for row in page if wanted.only in (None, row.status)))
        if wanted.form == JSONL:
            text = "".join(_json_lines(rows, wanted))
        elif wanted.form == OPENAI:
            text = "".join(openai_lines(reader.row(), rows))
        else:
            separator = SEPARATORS[wanted.form]
            text = "".join(results_csv(rows, wanted.with_input, wanted.raw, separator, True, with_header))
        if number == before:
            break
    return number, text


def _rows(reader: Outcomes, wanted: Wanted, until: int = LAST) -> Iterator[ResultRow]:
    """The rows that are asked for, in the order of the input."""
    if wanted.stage is not None:
        return _shown(reader, wanted, of_stage(reader, wanted.stage, wanted.with_input))
    return _shown(reader, wanted, reader.results(wanted.only, wanted.with_input, until=until))


def of_stage(reader: Outcomes, stage: int, with_input: bool = False) -> Iterator[ResultRow]:
    """What one stage has given; raises `UsageError` where the batch has none of that number."""
    spec = reader.row().spec
    check_stage(spec, stage)
    if stage > len(spec.stages):
        return reader.results(SUCCESS, with_input)
    return reader.stage_results(stage, with_input)


def _shown(reader: Outcomes, wanted: Wanted, rows: Iterator[ResultRow]) -> Iterator[ResultRow]:
    """Rows without what is not to be shown of their items."""
    return hidden_rows(rows, reader.row().spec.redact) if wanted.with_input else rows


def _json_lines(rows: Iterator[ResultRow], wanted: Wanted) -> Iterator[str]:
    if wanted.flatten:
        return (flat_line(row, wanted.start) for row in rows)
    return results_jsonl(rows, wanted.with_schema)
