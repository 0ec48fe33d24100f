"""`BatchDatabase`: batches and their items in two plain tables, as programs of the original module keep them.

A file of its own belongs to whoever opens it.  A live batch's file can be opened too: there the two tables are
views, and it is only read, since its counts are its supervisor's.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batchq.errors import BatchExists, BatchNotFound, StoreError
from batchq.store import connection as db

if TYPE_CHECKING:
    from typing_extensions import Self

PAGE_ROWS: Final = 1000
"""Items read at a time: while a batch runs, a longer read would make its write-ahead log grow."""
_SQL: Final = db.load_statements("database_statements.sql")


def strict_json(value: Any) -> str:
    """`value` as JSON text that any strict parser reads; what JSON has no form for is stored as ``str(value)``.

    Raises:
        ValueError: it holds NaN or an infinity, or contains itself.
        TypeError: a key is none that JSON can have.

    Example:
        >>> strict_json({"title": "Ä", "tags": []})
        '{"title": "Ä", "tags": []}'
    """
    return _storable(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str))


def _storable(text: str) -> str:
    # Half a surrogate pair has no UTF-8; its escape is what JSON wants too.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class BatchDatabase:
    """Keeps batch jobs and their items in an SQLite file.

    Every method connects when needed, also after `close`, and may be called from any thread; a call that has
    returned is on disk.  Columns come back as they are stored: `config` and `result` are JSON text, times are
    ISO 8601 in UTC (``2025-11-23T08:00:00.000+00:00``).

    The file of a batch that `batchq` runs can be opened like any other, also while it runs.  It is read-only then:
    `create_tables` does nothing, and all that would write raises `StoreError`.

    Args:
        db_path: the file, made when missing; ``:memory:`` keeps everything in memory until `close`.
        to_json: makes the text to store of a config or a result; what it raises becomes a `StoreError`.

    Raises:
        StoreError: by every method, when the file cannot be opened, read or written, or has no such tables.

    Example:
        >>> with BatchDatabase(":memory:") as database:
        ...     database.create_tables()
        ...     job = database.create_batch_job("batch-20251123-001", 1, {"mode": "parallel"})
        ...     item = database.add_batch_item("batch-20251123-001", "idea-1", "success", result=[])
        ...     database.update_batch_job("batch-20251123-001", processed_items=1, status="completed")
        ...     database.get_batch_items("batch-20251123-001")[0]["result"]
        '[]'
    """

    def __init__(
        self, db_path: str | os.PathLike[str] = "batch.db", *, to_json: Callable[[Any], str] = strict_json
    ) -> None:
        self.db_path = os.fspath(db_path)
        self._to_json = to_json
        self._lock = threading.RLock()
        self._connection: db.Connection | None = None
        self._is_batch = False

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def connect(self) -> None:
        """Open the file, unless it is open.

        Raises:
            StoreError: it is no SQLite file, cannot be opened, or is a batch of a newer batchq.

        Example:
            >>> database = BatchDatabase(":memory:")
            >>> database.connect()
            >>> database.close()
        """
        with self._lock:
            self._connected()

    def close(self) -> None:
        """Close the file; the next call of any other method opens it again.

        Example:
            >>> database = BatchDatabase(":memory:")
            >>> database.close()
            >>> database.create_tables()
            >>> database.list_batch_jobs()
            []
            >>> database.close()
        """
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def create_tables(self) -> None:
        """Make the tables ``batch_jobs`` and ``batch_items`` where they are missing.

        Raises:
            StoreError: the file cannot be written.

        Example:
            >>> with BatchDatabase(":memory:") as database:
            ...     database.create_tables()
        """
        with self._using() as connection:
            if not self._is_batch:
                # No transaction: each of its statements may be repeated.
                connection.executescript(db.read_sql("database.sql"))

    def create_batch_job(self, batch_id: str, total_items: int, config: Mapping[str, Any] | None) -> int:
        """Store a new job with status ``running``; returns its ``id``.

        Args:
            batch_id: its name, unique in this file.
            total_items: items that it is going to have.
            config: whatever describes it, stored as JSON; None is stored as NULL.

        Raises:
            BatchExists: a job of that name is stored already.
            StoreError: JSON cannot hold `config`, or the file is a live batch's.

        Example:
            >>> with BatchDatabase(":memory:") as database:
            ...     database.create_tables()
            ...     database.create_batch_job("batch-20251123-001", 10, {"mode": "parallel"})
            1
        """
        values = {"total_items": total_items, "config": self._encode("config", config)}
        number = self._write("insert_job", batch_id, values)
        if number is None:
            error = BatchExists(batch_id)
            error.hint = "delete_batch_job() removes it with its items; or choose another batch_id."
            raise error
        return number

    def update_batch_job(
        self,
        batch_id: str,
        processed_items: int | None = None,
        success_count: int | None = None,
        failure_count: int | None = None,
        status: str | None = None,
    ) -> None:
        """Change what is given of a job; None leaves it as it is.

        Args:
            batch_id: the job.
            processed_items: items that have an outcome.
            success_count: those of them that succeeded.
            failure_count: those of them that failed.
            status: ``completed``, ``failed`` and ``cancelled`` set ``completed_at``; any other clears it.

        Raises:
            BatchNotFound: there is no such job.
            StoreError: the file is a live batch's.

        Example:
            >>> with BatchDatabase(":memory:") as database:
            ...     database.create_tables()
            ...     job = database.create_batch_job("b1", 10, {})
            ...     database.update_batch_job("b1", processed_items=0, status="cancelled")
            ...     database.get_batch_job("b1")["completed_at"] is None
            False
        """
        counts = {"processed_items": processed_items, "success_count": success_count, "failure_count": failure_count}
        if self._write("update_job", batch_id, {**counts, "status": status}) is None:
            raise self._not_found(batch_id)

    def add_batch_item(
        self,
        batch_id: str,
        idea_id: str,
        status: str,
        result: Any = None,
        error: str | None = None,
        processing_time: float | None = None,
        attempts: int = 1,
    ) -> int:
        """Store what became of an item; returns its ``id``.

        Args:
            batch_id: the job that it belongs to.
            idea_id: the item's own id; the same may come several times.
            status: ``success`` or ``failed``, as a rule.
            result: what came of it, stored as JSON, empty or not; None is stored as NULL.
            error: text of the error.
            processing_time: seconds.
            attempts: how often it was tried, the first time included.

        Raises:
            BatchNotFound: there is no such job.
            StoreError: JSON cannot hold `result`, or the file is a live batch's.

        Example:
            >>> with BatchDatabase(":memory:") as database:
            ...     database.create_tables()
            ...     job = database.create_batch_job("b1", 2, {})
            ...     database.add_batch_item("b1", "idea-1", "success", result=0, processing_time=1.5)
            ...     database.add_batch_item("b1", "idea-2", "failed", error="Timeout after 5s", attempts=3)
            1
            2
        """
        values = {
            "idea_id": _storable(idea_id) if isinstance(idea_id, str) else idea_id,
            "status": status,
            "result": self._encode("result", result),
            "error": _storable(error) if isinstance(error, str) else error,
            "processing_time": processing_time,
            "attempts": attempts,
        }
        number = self._write("insert_job_item", batch_id, values)
        if number is None:
            raise self._not_found(batch_id)
        return number

    def get_batch_job(self, batch_id: str) -> dict[str, Any] | None:
        """The job as a dict of its columns, or None where there is none.

        Example:
            >>> with BatchDatabase(":memory:") as database:
            ...     database.create_tables()
            ...     job = database.create_batch_job("b1", 10, {"mode": "queue"})
            ...     database.get_batch_job("b1")["config"], database.get_batch_job("b2")
            ('{"mode": "queue"}', None)
        """
        return next(iter(self._read("read_job", {"batch_id": batch_id})), None)

    def get_batch_items(self, batch_id: str, status: str | None = None) -> list[dict[str, Any]]:
        """The items of a job as dicts of their columns, in the order in which they were added.

        Of a running batch each item is shown as it stood when its page of 1,000 was read, and those that have no
        outcome yet are ``pending``.

        Args:
            batch_id: the job; one that does not exist has no items.
            status: only items of that status; None for all.

        Example:
            >>> with BatchDatabase(":memory:") as database:
            ...     database.create_tables()
            ...     job = database.create_batch_job("b1", 1, {})
            ...     item = database.add_batch_item("b1", "idea-1", "failed", error="no title")
            ...     [row["error"] for row in database.get_batch_items("b1", status="failed")]
            ['no title']
        """
        items: list[dict[str, Any]] = []
        page = {"batch_id": batch_id, "status": status, "after": 0, "rows": PAGE_ROWS}
        while last := self._read("end_of_page", page)[0]["last"]:
            items += self._read("page_of_items", {**page, "last": last})
            page["after"] = last
        return items

    def list_batch_jobs(self, status: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """The jobs as dicts of their columns, the newest first.

        Args:
            status: only jobs of that status; None for all.
            limit: so many at most.

        Example:
            >>> with BatchDatabase(":memory:") as database:
            ...     database.create_tables()
            ...     jobs = [database.create_batch_job(name, 10, {}) for name in ("first", "second")]
            ...     [row["batch_id"] for row in database.list_batch_jobs(status="running")]
            ['second', 'first']
        """
        return self._read("list_jobs", {"status": status, "limit": limit})

    def delete_batch_job(self, batch_id: str) -> None:
        """Delete a job with its items; one that does not exist needs no deleting.

        Raises:
            StoreError: the file is a live batch's.

        Example:
            >>> with BatchDatabase(":memory:") as database:
            ...     database.create_tables()
            ...     job = database.create_batch_job("b1", 10, {})
            ...     database.delete_batch_job("b1")
            ...     database.list_batch_jobs()
            []
        """
        with self._writing() as connection:
            connection.execute(_SQL["delete_job_items"], {"batch_id": batch_id})
            connection.execute(_SQL["delete_job"], {"batch_id": batch_id})

    def _connected(self) -> db.Connection:
        if self._connection is None:
            path = Path(self.db_path)
            self._is_batch = db.is_batch_file(path)
            self._connection = db.open_reader(path) if self._is_batch else db.open_plain(path)
            self._connection.row_factory = sqlite3.Row
        return self._connection

    @contextmanager
    def _using(self) -> Iterator[db.Connection]:
        """The connection, for this thread alone; errors of SQLite come out as `StoreError`."""
        with self._lock:
            try:
                yield self._connected()
            # The last two: a value that has no place in any column.
            except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
                if "no such table" in str(error):
                    reason, hint = "has no tables batch_jobs and batch_items", "create_tables() makes them."
                else:
                    reason, hint = f"cannot be read or written ({error})", ""
                raise StoreError(self.db_path, reason, hint) from error

    @contextmanager
    def _writing(self) -> Iterator[db.Connection]:
        with self._using() as connection:
            if self._is_batch:
                raise StoreError(
                    self.db_path,
                    "is the file of a batch, which BatchDatabase only reads",
                    "Its supervisor keeps the counts; `batchq --help` shows how to pause, resume or retry a batch.",
                )
            with db.transaction(connection):
                yield connection

    def _write(self, name: str, batch_id: str, values: Mapping[str, object]) -> int | None:
        """Run a statement on one row, at the present time; the ``id`` of that row, or None where there was none."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        with self._writing() as connection:
            rows = connection.execute(_SQL[name], {**values, "batch_id": batch_id, "now": now}).fetchall()
        return rows[0]["id"] if rows else None

    def _read(self, name: str, values: Mapping[str, object]) -> list[dict[str, Any]]:
        with self._using() as connection:
            return [dict(row) for row in connection.execute(_SQL[name], values).fetchall()]

    def _encode(self, field: str, value: Any) -> str | None:
        if value is None:
            return None
        try:
            return self._to_json(value)
        except Exception as error:  # also whatever a user's type raises while it is turned into text
            raise StoreError(self.db_path, f"cannot hold this {field} as JSON ({error})") from error

    def _not_found(self, batch_id: str) -> BatchNotFound:
        error = BatchNotFound(batch_id, self.db_path)
        error.hint = "create_batch_job() makes one; list_batch_jobs() shows those that there are."
        return error
