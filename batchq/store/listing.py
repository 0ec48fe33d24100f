"""Lists of a batch's items by pages: by what has come of them, by error, by text.

A page costs the same wherever it lies.  A search may have to look at every item: it stops when its time is over and
says how far it has come, so that neither a call nor a read transaction of it is ever long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from batchq.errors import StoreError
from batchq.model import FAILED, SUCCESS
from batchq.store import connection as db
from batchq.store.connection import SQL
from batchq.store.reading import BatchReader

PENDING: Final = "pending"
STATUSES: Final = (SUCCESS, FAILED, PENDING)
SEARCH_SECONDS: Final = 0.2
"""After that a page ends, full or not."""
FIRST_STEP: Final = 200
LONGEST_STEP: Final = 1000
"""Items that one read transaction looks at."""
SHORT_SECONDS: Final = 0.02
"""After a step that took no longer the next one is twice as long."""
ERROR_LENGTH: Final = 1000
"""Characters of an error in a list; `show` has all of it."""

_STORED: Final = {None: None, SUCCESS: 1, FAILED: 0, PENDING: -1}


class Sought(NamedTuple):
    """Which items are listed.

    Attributes:
        status: one of `STATUSES`; None for all. Those that run now are among the pending ones.
        error: what ``type: text`` of their error contains, whatever the case of its ASCII letters; None for anything.
        text: what their id, their error or their payload contains; None for anything.
        in_payload: payloads are searched too.
        until: no item behind this ``seq``; None for all.
    """

    status: str | None = None
    error: str | None = None
    text: str | None = None
    in_payload: bool = True
    until: int | None = None

    @property
    def only_failed(self) -> bool:
        """Whether nothing but failures can be found."""
        return self.status == FAILED or self.error is not None


class ListedRow(NamedTuple):
    """An item in a list.

    Attributes:
        success: 1, 0, or None while there is no outcome.
        error: its first `ERROR_LENGTH` characters.
        attempts: attempts of its current run that ended.
        duration_us: microseconds that they took.
        ended_ms: wall clock, milliseconds since 1970; None while there is no outcome.
        is_claimed: a worker has it in its hands, or at least ahead of it.
    """

    seq: int
    item_id: str | int
    line: int
    success: int | None
    error_type: str | None
    error: str | None
    attempts: int
    duration_us: int
    ended_ms: int | None
    is_claimed: int


class ListReader(BatchReader):
    """Lists items.

    Example:
        with listing(folder.database) as reader:
            rows, after = reader.page(Sought(status="failed"), after=0, limit=100)
    """

    def page(
        self, sought: Sought, after: int, limit: int, clock: Callable[[], float] = time.monotonic
    ) -> tuple[list[ListedRow], int | None]:
        """The next items, and behind which ``seq`` to go on; None where there is nothing more.

        Args:
            sought: which.
            after: list those behind this ``seq``; 0 for the first page.
            limit: so many at most; a search that takes long answers with fewer, or none.
            clock: monotonic seconds.
        """
        if sought.error is not None and sought.status not in (None, FAILED):
            return [], None
        begun = now = clock()
        step, rows = FIRST_STEP, list[ListedRow]()
        while (span := self._span(sought, after, step)) is not None:
            found = self._look(sought, span, limit - len(rows))
            rows += found
            after = found[-1].seq if len(rows) >= limit else span[1]
            before, now = now, clock()
            if len(rows) >= limit or now - begun >= SEARCH_SECONDS:
                return rows, None if self._span(sought, after, 1) is None else after
            if now - before <= SHORT_SECONDS:
                step = min(2 * step, LONGEST_STEP)
        return rows, None

    def _look(self, sought: Sought, span: tuple[int, int], limit: int) -> list[ListedRow]:
        values: dict[str, Any] = {
            "first": span[0],
            "last": span[1],
            "rows": limit,
            "length": ERROR_LENGTH + 1,
            "text": _pattern(sought.text),
            "in_payload": sought.in_payload,
        }
        if sought.only_failed:
            statement = "list_failures"
            values["error"] = _pattern(sought.error)
        else:
            statement = "list_items"
            values["success"] = _STORED[sought.status]
        return [ListedRow(*row) for row in self._connection.execute(SQL[statement], values).fetchall()]

    def _span(self, sought: Sought, after: int, step: int) -> tuple[int, int] | None:
        """The next keys to look at, the first and the last one, about `step` of them."""
        if sought.until is not None and after >= sought.until:
            return None
        if sought.only_failed:
            last = self._connection.execute(SQL["end_of_failures"], (after, step)).fetchone()[0]
            found = None if last is None else (after + 1, last)
        elif sought.status == PENDING:
            found = self._next_open(after)
        else:
            items = self.tally().items
            found = (after + 1, items) if items > after else None
        if found is None or (sought.until is not None and found[0] > sought.until):
            return None
        first, last = found
        # Of failures so many lie in between as there are in a step, and not one more.
        last = last if sought.only_failed else min(last, first + step - 1)
        return first, last if sought.until is None else min(last, sought.until)

    def _next_open(self, after: int) -> tuple[int, int] | None:
        """The next range behind `after` that may hold items without an outcome: each of them lies in a message."""
        # One moment: what is claimed between two reads would be in neither.
        self._connection.execute("BEGIN")
        try:
            rows = [
                self._connection.execute(SQL[name], (key,)).fetchone()
                for name, key in (("ready_before", after + 1), ("ready_after", after + 1), ("set_aside_after", after))
            ]
        finally:
            self._connection.execute("COMMIT")
        ranges = [(max(first, after + 1), last) for first, last in filter(None, rows) if last > after]
        return min(ranges, default=None)


@contextmanager
def listing(path: Path) -> Iterator[ListReader]:
    """A reader of lists for the length of a block; raises `StoreError` as `reading` does."""
    with closing(ListReader(db.open_reader(path))) as reader:
        try:
            yield reader
        except db.DatabaseError as error:
            raise StoreError(str(path), f"cannot be read ({error})", db.spoilt_hint(path, error)) from error


def _pattern(text: str | None) -> str | None:
    """What LIKE finds `text` with, wherever it stands.

    Example:
        >>> _pattern("50%")
        '%50\\\\%%'
    """
    if text is None:
        return None
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"
