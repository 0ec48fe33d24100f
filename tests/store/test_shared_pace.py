"""Rate limits and budgets in a batch's file: shared by all, remembered, also by files of an earlier batchq."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from batches import make_batch
from earlier import make_earlier

from batchq.app.text import wait_words
from batchq.store import pace
from batchq.store.batch import BatchReader, BatchStore, set_limits
from batchq.store.connection import SCHEMA_VERSION, open_writer, transaction
from batchq.store.pace import StoredBook


def test_two_workers_never_get_the_same_start(tmp_path: Path) -> None:
    database = make_batch(tmp_path, ["1"], rates=("5/s",))
    with closing(open_writer(database)) as first, closing(open_writer(database)) as second:
        starts = []
        for connection in (first, second, first, second):
            with transaction(connection):
                granted = StoredBook(connection).lease(100)
            assert granted is not None
            starts.append(granted.first_ns)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    # More where this process was stopped between two of them.
    assert all(gap >= 200_000_000 - 1000 for gap in gaps)


def test_wait_is_remembered_and_does_not_outlive_a_reboot_by_more_than_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = make_batch(tmp_path, ["1"])
    with closing(open_writer(database)) as connection, transaction(connection):
        StoredBook(connection).hold(600)
    with closing(BatchStore(database)) as store:
        assert 500 < store.held_seconds() <= 600
    monkeypatch.setattr(pace, "boot_id", lambda: "another boot, whose monotonic clock began anew")
    with closing(BatchStore(database)) as store:
        assert 500 < store.held_seconds() <= 600
    # Somebody has set the wall clock back by a day meanwhile.
    with closing(open_writer(database)) as connection, transaction(connection):
        connection.execute("UPDATE pace SET until_ms = until_ms + 86400000")
    with closing(BatchStore(database)) as store:
        assert 500 < store.held_seconds() <= 600


def test_what_a_batch_waits_for_is_told_to_those_who_look(tmp_path: Path) -> None:
    database = make_batch(tmp_path, ["1"], rates=("600/m", "tokens=90k/h"))
    with closing(BatchReader.open(database)) as reader, closing(open_writer(database)) as connection:

        def wait_after(write: Callable[[StoredBook], object]) -> str:
            with transaction(connection):
                write(StoredBook(connection))
            return "nothing" if (wait := reader.wait()) is None else wait_words(wait)

        assert wait_after(lambda book: book.lease(1)) == "nothing"
        assert wait_after(lambda book: book.charge({"tokens": 1700})).startswith("tokens=90,000/h is used up for 1 min")
        assert wait_after(lambda book: book.hold(1000)).startswith("the server asks to wait 16 min ")
        assert wait_after(lambda book: book.hold(0)).startswith("tokens=")
        wait_after(lambda book: book.limit(["10/d"], []))
        assert wait_after(lambda book: book.lease(1)).startswith("10/d lets the next begin in 2 h ")
        # Somebody has set the clock back: nobody knows any more.
        connection.execute("UPDATE pace SET until_ms = until_ms + 86400000")
        assert reader.wait() is None


def test_file_of_an_earlier_batchq_is_read_as_it_is_and_brought_up_to_date_when_written(tmp_path: Path) -> None:
    database = make_batch(tmp_path, ["1"])
    make_earlier(database)
    with closing(BatchReader.open(database)) as reader:
        assert (reader.spent(), reader.skipped(), reader.exit_code()) == ({}, {}, None)
        assert reader.progress().tally.items == 1
    spec = set_limits(database, lambda spec: spec)
    assert spec.rates == ()
    with closing(BatchStore(database)) as store:
        assert store.check() == []
        assert store.held_seconds() == 0
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
