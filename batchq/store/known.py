"""Results of items that were done before, by a hash of what they were made of (`fingerprint.key_of`).

    an earlier batch ──▶ known.db in the folder of a batch: filled once, before its first item, and read by its workers
    workers ◀──▶ cache.db in a folder that batches share: written after the outcome is committed

A result that is missing costs a call; a wrong one must not be.  So neither file has a write-ahead log, which several
processes could damage in the SQLite that many systems have (see `store.sqlite`), and what is not yet written of them is
no longer there after a crash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from batchq.errors import StoreError, UsageError
from batchq.store.connection import SQL, Connection, DatabaseError, load_statements, open_plain, open_reader
from batchq.store.connection import transaction as writing

KNOWN_SQL: Final = load_statements("known_statements.sql")
INDEX: Final = "known.db"
CACHE: Final = "cache.db"
VERSION: Final = 1
APPLICATION_ID: Final = 0x6274716B
"""``btqk``: lets a cache be told from any other SQLite file."""
PAGE_ROWS: Final = 1000
PAGE_BYTES: Final = 8 * 1024 * 1024
FILL_CACHE_KIB: Final = 65_536
"""Of memory, while an index is made."""
LOOK_SECONDS: Final = 2.0
"""A cache that others write to for longer is done without."""


class Known:
    """Results by key, in a file.

    Args:
        connection: to it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Known:
        """One that is there, to read; raises `StoreError`."""
        return cls(open_plain(path))

    @classmethod
    def open_cache(cls, folder: Path) -> Known:
        """The one in a folder that batches share, which is made where it is missing.

        Raises:
            UsageError: the folder cannot be used, or what lies there is no cache, or one of a later batchq.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / CACHE).touch(mode=0o600)
            connection = open_plain(folder / CACHE)
        except OSError as error:
            raise _unusable(folder, error.strerror or str(error)) from error
        except StoreError as error:
            raise _unusable(folder, f"{CACHE} there is no cache of batchq's, or damaged") from error
        try:
            connection.execute(f"PRAGMA busy_timeout = {int(LOOK_SECONDS * 1000)}")
            _make_cache(connection, folder)
            connection.execute(KNOWN_SQL["look_at_known"]).fetchone()
        except DatabaseError as error:
            connection.close()
            raise _unusable(folder, str(error)) from error
        except UsageError:
            connection.close()
            raise
        return cls(connection)

    def get(self, keys: Sequence[str]) -> dict[str, str]:
        """The results that are known, as JSON text."""
        return dict(self._connection.execute(KNOWN_SQL["get_known"], (json.dumps(keys),)).fetchall())

    def put(self, results: Iterable[tuple[str, str]]) -> None:
        """Take results; those of keys that are known already change nothing."""
        with writing(self._connection):
            self._connection.executemany(KNOWN_SQL["put_known"], results)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def make_index(path: Path, results: Iterable[tuple[str, str]]) -> int:
    """Make a file of results, whole or not at all; how many they are.

    Args:
        path: of the file.
        results: keys, and JSON texts.
    """
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    with closing(open_plain(unfinished)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # what is not whole is made anew
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute(f"PRAGMA cache_size = -{FILL_CACHE_KIB}")
        connection.execute(KNOWN_SQL["create_known"])
        connection.execute("BEGIN")
        count = connection.executemany(KNOWN_SQL["put_known"], results).rowcount
        connection.execute(KNOWN_SQL["index_all"])
        connection.execute("COMMIT")
    descriptor = os.open(unfinished, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    unfinished.replace(path)
    return max(count, 0)


def successes(path: Path) -> Iterator[tuple[str, str]]:
    """Payload and result, both JSON text, of each item of a batch that has succeeded; raises `StoreError`.

    Args:
        path: its batch.db.
    """
    with closing(open_reader(path)) as connection:
        last = 0
        while True:
            # A page and no more: an open SELECT lets the log of a batch that runs grow.
            page, size = [], 0
            for row in connection.execute(SQL["read_successes"], (last, PAGE_ROWS)):
                page.append(row)
                size += len(row[1]) + len(row[2])
                if size > PAGE_BYTES:
                    break
            if not page:
                return
            last = page[-1][0]
            yield from ((payload, result) for _, payload, result in page)


def _make_cache(connection: Connection, folder: Path) -> None:
    def pragma(name: str) -> int:
        value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
        return value

    if pragma("application_id") == APPLICATION_ID:
        if (version := pragma("user_version")) != VERSION:
            raise _unusable(folder, f"a newer batchq has made it (version {version}, this one knows {VERSION})")
        return
    with writing(connection):  # in which nobody else can have half made it
        if pragma("application_id") not in (0, APPLICATION_ID) or (
            not pragma("application_id") and pragma("schema_version")
        ):
            raise _unusable(folder, f"{CACHE} there is no cache of batchq's")
        connection.execute(KNOWN_SQL["create_known"])
        connection.execute(KNOWN_SQL["index_once"])
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _unusable(folder: Path, reason: str) -> UsageError:
    return UsageError(f"cannot use {folder} as --cache: {reason}", "Name another folder.")
