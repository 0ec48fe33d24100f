"""Reading a batch's file: status, progress, results and what a report is made of.

Nothing here writes, and no read transaction stays open between two calls or two pages: an open SELECT would
make the write-ahead log grow without end.  Loads neither persist-queue nor anything of the engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from batchq.errors import StoreError
from batchq.model import ACTIVE, FAILED, BatchRow, Position, Tally
from batchq.spec import BatchSpec
from batchq.store import connection as db
from batchq.store.connection import SQL
from batchq.store.pace import read_wait
from batchq.store.rows import ErrorGroup, Interval, Progress, ResultRow, Share, Tries, Wait
from batchq.store.turns import Turn, read_turn

RATE_SECONDS: Final = 60
"""A rate over less jumps about; over more it is slow to show that something is wrong."""
PAGE_ROWS: Final = 500
PAGE_BYTES: Final = 8 * 1024 * 1024
"""A page ends at whichever comes first, so that memory stays bounded whatever the size of a result."""
FAILURES_AMONG: Final = 1000
"""Outcomes that are looked through for failures at a time."""
LAST: Final = 2**63 - 1
"""No outcome has a higher number."""


class BatchReader:
    """Reads a batch's file; never writes, and keeps no transaction open between calls.

    Args:
        connection: a connection to the file.

    Example:
        with closing(BatchReader.open(folder.database)) as reader:
            print(reader.progress().tally.done)
    """

    def __init__(self, connection: db.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> BatchReader:
        """A reader with a read-only connection of its own; raises `StoreError`."""
        return cls(db.open_reader(path))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def row(self) -> BatchRow:
        """The batch's own row."""
        row = self._connection.execute(SQL["read_batch"]).fetchone()
        (batch_id, uuid_, state, reason, created, started, ended, epoch, done, spec, *position, _digest) = row
        return BatchRow(
            batch_id,
            uuid_,
            state,
            reason,
            created,
            started,
            ended,
            epoch,
            bool(done),
            BatchSpec.from_json(spec),
            Position(*position),
        )

    def handler(self) -> tuple[bytes | None, str | None]:
        """The function, where it is stored by value, and the seal over all that names code."""
        pickled, seal = self._connection.execute(SQL["read_handler"]).fetchone()
        return pickled, seal

    def digest(self) -> str:
        """Running hash over the part of the input that is stored."""
        digest: str = self._connection.execute(SQL["read_batch"]).fetchone()[-1]
        return digest

    def tally(self) -> Tally:
        """The running counts."""
        return Tally(*self._connection.execute(SQL["read_tally"]).fetchone())._replace(reused=self._reused())

    def progress(self) -> Progress:
        """State and counts in one read, and what was spent by then or a little later."""
        state, reason, done, *counts, changed_at = self._connection.execute(SQL["read_progress"]).fetchone()
        tally = Tally(*counts)._replace(reused=self._reused())
        wait = self.wait() if state in ACTIVE and tally.done < tally.items else None
        return Progress(state, reason, bool(done), tally, changed_at, self.spent(), wait)

    def _reused(self) -> int:
        reused: int = 0 if self._is_old() else self._connection.execute(SQL["read_reused"]).fetchone()[0]
        return reused

    def exit_code(self) -> int | None:
        """What the command exited with that ran a batch until it was halted; None of any other batch."""
        row = None if self._is_old() else self._connection.execute(SQL["read_exit_code"]).fetchone()
        return row[0] if row else None

    def _is_old(self) -> bool:
        """Whether an earlier batchq has written the file, and none has written to it since."""
        return not self._connection.execute(SQL["has_spent"]).fetchone()[0]

    def knows_stages(self) -> bool:
        """Whether the file can hold stages: that of an earlier batchq cannot, and its batch has none."""
        return bool(self._connection.execute(SQL["has_stages"]).fetchone()[0])

    def spent(self) -> dict[str, float]:
        """What handlers have spent, by unit (`Context.spend`)."""
        if self._is_old():
            return {}
        return dict(self._connection.execute(SQL["read_spent"]).fetchall())

    def wait(self) -> Wait | None:
        """What nothing begins for, where that takes long enough to be told."""
        return None if self._is_old() else read_wait(self._connection)

    def turn(self) -> Turn:
        """Its place in the queue of a server."""
        return Turn(self.row().state, old=True) if self._is_old() else read_turn(self._connection)

    def is_input_cut(self) -> bool:
        """Whether the batch has gone on without the rest of its input, because the user said so."""
        return not self._is_old() and bool(self._connection.execute(SQL["is_input_cut"]).fetchone()[0])

    def skipped(self) -> dict[str, int]:
        """Records that became no items, by the option that left them out."""
        if self._is_old():
            return {}
        return dict(self._connection.execute(SQL["read_skipped"]).fetchall())

    def rate(self, now: float) -> float | None:
        """Outcomes per second over the last minute before `now` (seconds since 1970); None when none came.

        Only those of the session that runs: what lay between two sessions says nothing about how fast it goes.
        """
        began = min(now, self._connection.execute(SQL["last_session"]).fetchone()[0] or 0.0)
        start = int(max(now - RATE_SECONDS, began)) // 10 * 10
        count, first = self._connection.execute(SQL["rate_since"], (start, now)).fetchone()
        return count / max(now - max(first, began), 1.0) if count else None

    def active_seconds(self) -> float:
        """Seconds in which a supervisor worked on the batch, over all its sessions."""
        milliseconds: int = self._connection.execute(SQL["read_sessions"]).fetchone()[2]
        return milliseconds / 1000

    def error_groups(self, limit: int) -> list[ErrorGroup]:
        """The most frequent kinds of failure, `limit` at most; those that retrying made good come last."""
        rows = self._connection.execute(SQL["read_error_groups"], (limit,)).fetchall()
        return [ErrorGroup(*row)._replace(examples=json.loads(row[-1])) for row in rows]

    def names(self, seqs: Sequence[int]) -> dict[int, str | int]:
        """The ids of a few items, by ``seq``."""
        return dict(self._connection.execute(SQL["name_items"], (db.json_list(seqs),)).fetchall())


class ReportReader(BatchReader):
    """Reads what results and reports are made of; memory and locks are bounded at any number of items.

    Example:
        with closing(ReportReader.open(folder.database)) as reader:
            for row in reader.results(only="failed"):
                print(row.item_id, row.error)
    """

    def __init__(self, connection: db.Connection) -> None:
        super().__init__(connection)
        self.before_page: Callable[[], object] = int
        """Called before each page of items or outcomes is read; what it raises ends the reading."""

    @classmethod
    def open(cls, path: Path) -> ReportReader:
        """A reader with a read-only connection of its own; raises `StoreError`."""
        return cls(db.open_reader(path))

    def results(
        self, only: str | None = None, with_input: bool = False, after: int = 0, until: int = LAST, stages: int = 0
    ) -> Iterator[ResultRow]:
        """Items that have an outcome, in the order of the input.

        Args:
            only: ``success`` or ``failed``; None yields both.
            with_input: read the payloads too.
            after: leave out the items up to this ``seq``.
            until: leave out outcomes behind this number (see `last_commit`): two passes see the same.
            stages: of an item before its last one; where it has any, failures tell at which they have failed.
        """
        statement = SQL["page_of_failures" if only == FAILED else "page_of_results"]
        seq = after
        while page := self._page(statement, seq, with_input, until):
            seq = page[-1].seq
            for row in self._with_stage(page, stages) if stages else page:
                if only is None or row.status == only:
                    yield row

    def stage_results(self, stage: int, with_input: bool = False) -> Iterator[ResultRow]:
        """What a stage that is not the last has given so far, in the order of the input, each as a success.

        Args:
            stage: which, from 1.
            with_input: read the payloads too.
        """
        seq = 0
        while page := self._rows(SQL["page_of_stage"], (seq, PAGE_ROWS, with_input, stage), ResultRow):
            seq = page[-1].seq
            yield from page

    def outcomes_after(self, number: int) -> tuple[int, list[ResultRow]]:
        """A page of outcomes in the order in which they were committed, and the number of the last of them.

        Args:
            number: of the last outcome that is known already; 0 for none.
        """
        numbers: list[int] = []

        def numbered(n: int, *values: Any) -> ResultRow:
            numbers.append(n)
            return ResultRow(*(*values, None))

        page = self._rows(SQL["outcomes_after"], (number, PAGE_ROWS), numbered)
        return (numbers[-1] if numbers else number), page

    def last_commit(self) -> int:
        """Number of the outcome that was committed last; 0 before the first."""
        number: int = self._connection.execute(SQL["last_outcome"]).fetchone()[0]
        return number

    def commits_after(self, number: int, with_input: bool = False) -> tuple[int, list[ResultRow]]:
        """As `outcomes_after`, with their `run`, and with those that a later run has replaced."""
        numbers: list[int] = []

        def numbered(n: int, *values: Any) -> ResultRow:
            numbers.append(n)
            return ResultRow(*values)

        page = self._rows(SQL["page_of_commits"], (number, PAGE_ROWS, with_input), numbered)
        return (numbers[-1] if numbers else number), page

    def lines(self, start: str = "") -> Iterator[str]:
        """All that `results` yields as lines of JSON, made by SQLite; each text is a page of them.

        Args:
            start: what each object begins with: nothing, or an entry with its comma.
        """
        seq = 0
        while True:
            seq, page = self._lines(SQL["page_of_lines"], seq, start)
            if not page:
                return
            yield page

    def lines_after(self, number: int, start: str = "") -> tuple[int, str]:
        """A page of what `commits_after` answers, as lines of JSON in one text; number of the last of them."""
        return self._lines(SQL["page_of_committed_lines"], number, start)

    def numbered_lines(self, number: int, only_failed: bool = False) -> tuple[int, list[tuple[int, str]]]:
        """As `lines_after`, each line by itself with its number; and the number of the last outcome looked at.

        Args:
            number: of the last outcome that is known already.
            only_failed: leave the others out; then the last one looked at may be behind the last line.
        """
        if not only_failed:
            page, _ = self._numbered(SQL["page_of_committed_lines"], (number, PAGE_ROWS, ""))
            return (page[-1][0] if page else number), page
        last = min(number + FAILURES_AMONG, self.last_commit())
        page, is_whole = self._numbered(SQL["page_of_failed_lines"], (number, last))
        return (max(last, number) if is_whole else page[-1][0]), page

    def latency(self) -> list[tuple[int, int]]:
        """The histogram of handler time: (bucket, items), see `model.bucket_end_us`."""
        return self._connection.execute(SQL["read_latency"]).fetchall()

    def intervals(self) -> list[Interval]:
        """What was recorded when; intervals in which nothing was are left out."""
        name = "read_intervals" if self._connection.execute(SQL["has_busy"]).fetchone()[0] else "read_old_intervals"
        return [Interval(*row) for row in self._connection.execute(SQL[name]).fetchall()]

    def fine_intervals(self) -> list[Interval]:
        """The same in intervals of one second: it looks at every outcome, so ask it of small batches only."""
        return [Interval(*row) for row in self._connection.execute(SQL["fine_intervals"], (0,)).fetchall()]

    def retries(self) -> list[tuple[int, int]]:
        """How many attempts were to be followed by another in the ten seconds from each of these, seconds since 1970.

        Empty in the file of an earlier batchq.
        """
        return [] if self._is_old() else self._connection.execute(SQL["read_retried"]).fetchall()

    def fine_retries(self) -> list[tuple[int, int]]:
        """The same by the second; see `fine_intervals`."""
        return self._connection.execute(SQL["fine_retried"], (0,)).fetchall()

    def last_numbers(self) -> tuple[int, int]:
        """Numbers of the outcome and of the failed attempt that were committed last; 0 before the first."""
        outcome, attempt = self._connection.execute(SQL["last_numbers"]).fetchone()
        return outcome, attempt

    def tries(self) -> list[Tries]:
        """How many items have needed how many attempts; empty in the file of an earlier batchq."""
        return [] if self._is_old() else [Tries(*row) for row in self._connection.execute(SQL["read_tries"])]

    def shares(self, limit: int) -> tuple[list[Share], int, int]:
        """What each process has recorded: the `limit` that did most, how many there are, and the outcomes of all.

        Empty in the file of an earlier batchq.
        """
        if self._is_old():
            return [], 0, 0
        count, items = self._connection.execute(SQL["total_shares"]).fetchone()
        return [Share(*row) for row in self._connection.execute(SQL["read_shares"], (limit,))], count, items

    def spans(self, limit: int) -> list[tuple[float, float]]:
        """When a supervisor worked on the batch, first and last second since 1970; of many sessions the last."""
        rows = self._connection.execute(SQL["read_spans"], (limit,)).fetchall()
        return [(start, start + seconds) for start, seconds in rows]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read in the block is of one moment, that of the first read; read nothing large in it."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")

    def _page(self, statement: str, seq: int, with_input: bool, until: int) -> list[ResultRow]:
        """The rows behind `seq`."""
        return self._rows(statement, (seq, PAGE_ROWS, with_input, until), ResultRow)

    def _with_stage(self, page: Sequence[ResultRow], stages: int) -> list[ResultRow]:
        """Rows of which the failures tell the stage: the one after those that are done."""
        failed = db.json_list([row.seq for row in page if not row.success])
        done = dict(self._connection.execute(SQL["stages_done"], (failed, stages)).fetchall())
        return [row if row.success else row._replace(stage=done.get(row.seq, 0) + 1) for row in page]

    def _lines(self, statement: str, key: int, start: str) -> tuple[int, str]:
        """A page of lines behind `key`, bounded like one of rows, and the key of the last of them."""
        page, _ = self._numbered(statement, (key, PAGE_ROWS, start))
        return (page[-1][0] if page else key), "".join([line for _, line in page])

    def _numbered(self, statement: str, parameters: Sequence[Any]) -> tuple[list[tuple[int, str]], bool]:
        """A page of lines with their keys, and whether it has all that the statement answers."""
        self.before_page()
        page: list[tuple[int, str]] = []
        size = 0
        cursor = self._connection.execute(statement, parameters)
        try:
            for key, line in cursor:
                page.append((key, line))
                size += len(line)
                if size >= PAGE_BYTES:
                    return page, False
        finally:
            cursor.close()
        return page, True

    def _rows(self, statement: str, parameters: Sequence[Any], make: Callable[..., ResultRow]) -> list[ResultRow]:
        """A page of rows, bounded in number and bytes; the read transaction has ended when this returns."""
        self.before_page()
        page = []
        size = 0
        cursor = self._connection.execute(statement, parameters)
        try:
            for values in cursor:
                row = make(*values)
                page.append(row)
                size += row.size
                if size >= PAGE_BYTES:
                    break
        finally:
            cursor.close()
        return page


@contextmanager
def reading(path: Path) -> Iterator[ReportReader]:
    """A reader of the batch's file at `path` for the length of a block.

    Raises:
        StoreError: the file is missing, damaged, no batch, or of a newer batchq.

    Example:
        with reading(folder.database) as reader:
            print(reader.tally().failed)
    """
    with closing(ReportReader.open(path)) as reader:
        try:
            yield reader
        except db.DatabaseError as error:
            raise StoreError(str(path), f"cannot be read ({error})", db.spoilt_hint(path, error)) from error
