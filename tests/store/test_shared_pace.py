"""Rate limits and budgets in a batch's file: shared by all, remembered, also by files of an earlier batchq."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from batches import make_batch
from earlier import make_earlier

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
    assert all(gap == pytest.approx(200_000_000, abs=1000) for gap in gaps)


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
