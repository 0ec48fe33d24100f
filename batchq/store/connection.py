"""Opens a batch's file: pragmas, versions, transactions and the project's SQL by name.

Every connection that writes to a batch is opened here, persist-queue's included, so that none of them checkpoints
by itself: before SQLite 3.51.3 a checkpoint beside a commit that resets the log can damage the file.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from batchq.errors import BatchqError, StoreError
from batchq.store.descriptors import too_many_files, used_up

SCHEMAS: Final = ("schema.sql", "schema_2.sql", "schema_3.sql", "schema_4.sql")
"""What each version of the file has added."""
SCHEMA_VERSION: Final = len(SCHEMAS)
APPLICATION_ID: Final = 0x62746371
"""``btcq``: lets `file` and this module tell a batch from any other SQLite file."""
BUSY_SECONDS: Final = 10.0
"""Longer than any transaction of ours by a factor of 100; then the writer is stuck, and it is an error."""
PAGE_BYTES: Final = 8192
"""A record has a page of its own where two of them fill more than one: with SQLite's 4 KB, texts of 2 KB took twice
their size. Each commit writes whole pages, so that larger ones cost the disk more than they save."""
CACHE_KIB: Final = 8192
"""A page cache per connection that stays the same at ten items and at ten million."""
LOG_KEPT_BYTES: Final = 8 * 1024 * 1024
"""Of the write-ahead log, when it starts afresh; well below the size at which the supervisor checkpoints."""
OLDEST_SQLITE: Final = (3, 35, 0)
"""RETURNING came with it; UPDATE … FROM with 3.33."""

CANNOT_LOG: Final = "its file system cannot keep a write-ahead log"

DatabaseError = sqlite3.DatabaseError
OperationalError = sqlite3.OperationalError

_HERE: Final = Path(__file__).parent
_Row = tuple[Any, ...]


class Connection(sqlite3.Connection):
    """A connection to a batch's file; one that writes also holds its file of turns open.

    SQLite's own wait for the write lock polls, with pauses of up to 100 ms, and whoever happens to look first
    gets it: beside two busy workers the filler got no turn for half a second (measured).  So writers wait in the
    kernel instead, on a lock that is granted as soon as it is free.  It only orders them: what keeps the data
    safe is still SQLite's lock, and the kernel takes a turn back when its process dies.
    """

    _turns: int | None = None

    def wait_in_turns(self, path: Path) -> None:
        """Take turns with all others who write to the same batch; `path` is the file of turns."""
        self._turns = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for this connection's turn to write, and have it during the block."""
        if self._turns is None:
            yield
            return
        fcntl.flock(self._turns, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._turns, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the connection and its file of turns."""
        super().close()
        if self._turns is not None:
            os.close(self._turns)
            self._turns = None


def read_sql(file: str) -> str:
    """The text of one of the store's .sql files; read by path, because `importlib.resources` is slow to import."""
    return (_HERE / file).read_text(encoding="utf-8")


def load_statements(file: str) -> Mapping[str, str]:
    """The statements of one of the store's .sql files by the names that stand above them."""
    found = re.findall(r"^-- (\w+)\n((?:--[^\n]*\n)*)(.*?);[ ]*$", read_sql(file), flags=re.MULTILINE | re.DOTALL)
    return {name: statement.strip() for name, _, statement in found}


SQL: Final[Mapping[str, str]] = load_statements("statements.sql")
"""Every statement of ``statements.sql`` by its name."""


def repeat_values(statement: str, rows: int) -> str:
    """`statement`, an INSERT of one row of placeholders, as an INSERT of `rows` rows.

    Many rows in one step: `executemany` would give up Python's global lock once per row (measured beside a
    busy thread: 4.8 s for 512 rows, against 37 ms in two statements).

    Example:
        >>> repeat_values("INSERT INTO t VALUES (?, ?)", 2)
        'INSERT INTO t VALUES (?, ?), (?, ?)'
    """
    head, values = statement.rsplit("VALUES", 1)
    return f"{head}VALUES " + ", ".join([values.strip()] * rows)


def in_blocks(rows: Sequence[_Row], sizes: Sequence[int]) -> Iterator[Sequence[_Row]]:
    """`rows` in blocks of these sizes, the largest first; the last one must be 1.

    Example:
        >>> [len(block) for block in in_blocks([(n,) for n in range(11)], (4, 1))]
        [4, 4, 1, 1, 1]
    """
    start = 0
    for size in sizes:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def json_list(values: Sequence[int]) -> str:
    """Numbers as the JSON array that ``json_each`` in a statement takes apart."""
    return json.dumps(list(values))


def read_list(cursor: sqlite3.Cursor) -> list[int]:
    """The numbers that a statement answered as one JSON array."""
    numbers: list[int] = json.loads(cursor.fetchone()[0])
    return numbers


@contextmanager
def transaction(connection: Connection) -> Iterator[Connection]:
    """A write transaction: committed at the end of the block, rolled back when the block raises."""
    with connection.turn():
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def create(path: Path, durability: str) -> Connection:
    """Make a new batch file at `path` and return a connection that may write."""
    # Made before SQLite makes it: the log and the index take over the mode of the file.
    path.touch(mode=0o600, exist_ok=False)
    connection = _connect(path, "rw")
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        _keep_log(connection, path)
        _set_writing(connection, durability)
        connection.executescript(
            "BEGIN IMMEDIATE;\n" + "\n".join(map(read_sql, SCHEMAS)) + "\n"
            f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;"
        )
    except BaseException:
        connection.close()
        raise
    return connection


def _keep_log(connection: Connection, path: Path) -> None:
    try:
        reason = f"journal mode {connection.execute('PRAGMA journal_mode = WAL').fetchone()[0]}"
        # Only now the log's index is made, a file that all who use the batch map into memory.
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError as error:
        reason = str(error)
    if reason != "journal mode wal":
        raise StoreError(str(path), f"{CANNOT_LOG} ({reason})", "Name a folder on a local disk with --home.")


def _upgrade(connection: Connection) -> None:
    """Bring the file of an earlier batchq to this version; nothing in it is changed, only added to."""
    with transaction(connection):
        version = _version(connection) or SCHEMA_VERSION  # which another process may have made it meanwhile
        for schema in SCHEMAS[version:]:
            for statement in read_sql(schema).split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def open_writer(path: Path, durability: str = "normal") -> Connection:
    """Open the batch file at `path` to read and write.

    Args:
        path: the batch.db.
        durability: ``normal`` survives every crash of a process; ``full`` also a power cut.

    Raises:
        StoreError: it is missing, no batch, damaged, or of a newer batchq.
        TooManyFiles: this process can open no more files.
    """
    connection = _open(path, "rw")
    try:
        _set_writing(connection, durability)
        connection.wait_in_turns(path.with_name("turns"))
        if _version(connection) != SCHEMA_VERSION:
            _upgrade(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> Connection:
    """Open the batch file at `path` read-only; raises `StoreError` like `open_writer`."""
    return _open(path, "ro")


def open_plain(path: Path) -> Connection:
    """Open an SQLite file that no supervisor owns to read and write; it is made when missing.

    It keeps SQLite's own journal and checkpoints.  Raises `StoreError` when it cannot be opened.
    """
    try:
        connection = _connect(path, "rwc")
    except sqlite3.DatabaseError as error:
        raise StoreError(str(path), f"cannot be opened ({error})") from error
    try:
        # Nothing is read from the file before this, so here it shows whether it is a database at all.
        _version(connection)
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StoreError(str(path), f"is not a readable SQLite file ({error})") from error
    return connection


def is_batch_file(path: Path) -> bool:
    """Whether `path` is a batch's file, of whatever version; False too where that cannot be read."""
    # Through SQLite: whoever closes the plain file drops every lock that this process holds on it.  Read-only: a
    # connection that may write would, as the last one to close, take the log away.
    try:
        with closing(_connect(path, "ro")) as connection:
            return _version(connection) is not None
    except sqlite3.DatabaseError:
        return False


def owner_of(path: Path) -> str | None:
    """The id of the batch whose file is at `path`; None where that cannot be read."""
    try:
        with closing(open_reader(path)) as connection:
            owner: str = connection.execute(SQL["read_owner"]).fetchone()[0]
    except (sqlite3.DatabaseError, StoreError, TypeError):
        return None
    return owner


def spoilt_hint(path: Path, error: sqlite3.DatabaseError | None = None) -> str:
    """What to do about a batch's file that is no longer one; nothing where `error` says less than that."""
    if error is not None and not any(word in str(error) for word in ("malformed", "not a database")):
        return ""  # too many open files, no permission: nobody should delete a batch for that
    if path.name != "batch.db":
        return ""  # of a program's own, which is no batch of a home
    return f"Put a copy of it back, or delete the batch: batchq rm {path.parent.name}"


def _open(path: Path, mode: str) -> Connection:
    try:
        connection = _connect(path, mode)
    except sqlite3.DatabaseError as error:
        raise _unopened(path, "cannot be opened", error) from error
    try:
        _check_version(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _unopened(path, "is not a readable batch file", error) from error
    except StoreError:
        connection.close()
        raise
    return connection


def _unopened(path: Path, what: str, error: sqlite3.DatabaseError) -> BatchqError:
    if used_up(error):
        return too_many_files()
    return StoreError(str(path), f"{what} ({error})", spoilt_hint(path, error))


def _check_version(connection: Connection, path: Path) -> None:
    version = _version(connection)
    if version is None or version > SCHEMA_VERSION:
        if version is None:
            what = "is an SQLite file, but no batch" if path.stat().st_size else "is empty"
            raise StoreError(str(path), what, spoilt_hint(path))
        raise StoreError(
            str(path),
            f"was written by a newer batchq (file version {version}, this one knows {SCHEMA_VERSION})",
            "Upgrade batchq to work with it.",
        )


def _version(connection: Connection) -> int | None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        return None
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _connect(path: Path, mode: str) -> Connection:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(str(path), f"needs SQLite 3.35 or newer; this Python has {sqlite3.sqlite_version}")
    # check_same_thread: a recorder's connection is opened by its owner and used by its thread alone.
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        factory=Connection,
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _set_writing(connection: Connection, durability: str) -> None:
    connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
    # Only the supervisor checkpoints, while it holds the write lock.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    # The log is cut when it starts afresh: by its size the supervisor sees when to checkpoint. What it keeps is room
    # that nobody else can take on a full disk.
    connection.execute(f"PRAGMA journal_size_limit = {LOG_KEPT_BYTES}")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
