"""`BatchDatabase`: what the original's class did badly, its old files, and a live batch under its queries."""

from __future__ import annotations

import doctest
import json
import math
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from batches import make_batch

import batchq.store.database
from batchq.engine.failures import describe
from batchq.engine.results import to_json
from batchq.errors import BatchExists, BatchNotFound, StoreError
from batchq.model import Outcome
from batchq.store.connection import open_writer, transaction
from batchq.store.database import PAGE_ROWS, BatchDatabase
from batchq.store.outcomes import OutcomeWriter

JOB = "batch-20251123-001"
ORIGINAL = """
    CREATE TABLE batch_jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, batch_id TEXT UNIQUE NOT NULL, total_items INTEGER NOT NULL,
        processed_items INTEGER DEFAULT 0, success_count INTEGER DEFAULT 0, failure_count INTEGER DEFAULT 0,
        status TEXT NOT NULL, started_at TEXT NOT NULL, completed_at TEXT, config TEXT);
    CREATE TABLE batch_items (
        id INTEGER PRIMARY KEY AUTOINCREMENT, batch_id TEXT NOT NULL, idea_id TEXT NOT NULL, status TEXT NOT NULL,
        result TEXT, error TEXT, processing_time REAL, attempts INTEGER DEFAULT 1, created_at TEXT,
        FOREIGN KEY (batch_id) REFERENCES batch_jobs (batch_id) ON DELETE CASCADE);
    INSERT INTO batch_jobs (batch_id, total_items, status, started_at, config)
        VALUES ('old', 2, 'running', '2025-11-23T08:00:00', '{"mode": "parallel"}');
    INSERT INTO batch_items (batch_id, idea_id, status, result, created_at)
        VALUES ('old', 'idea-1', 'success', NULL, '2025-11-23T08:00:01'),
               ('gone', 'idea-2', 'failed', NULL, '2025-11-23T08:00:02');
"""
"""A file of the original module: it did not enforce foreign keys, so an item may have outlived its job."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[BatchDatabase]:
    """An empty database with one job."""
    with BatchDatabase(tmp_path / "own.db") as database:
        database.create_tables()
        database.create_batch_job(JOB, 10, {"mode": "parallel"})
        yield database


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database that the original module made."""
    path = tmp_path / "batch.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(ORIGINAL)
    return path


def _job(database: BatchDatabase, batch_id: str = JOB) -> dict[str, Any]:
    job = database.get_batch_job(batch_id)
    assert job is not None
    return job


def test_examples_in_the_docstrings_do_what_they_show() -> None:
    assert doctest.testmod(batchq.store.database).failed == 0


@pytest.mark.parametrize("result", [[], 0, "", False, {}, 0.0, "Ä", {"a": [None]}, "half a pair: \ud83d"])
def test_empty_result_is_stored_and_read_back_like_any_other(database: BatchDatabase, result: Any) -> None:
    database.add_batch_item(JOB, "idea-1", "success", result=result)
    assert json.loads(database.get_batch_items(JOB)[0]["result"]) == result


def test_no_result_is_null_and_an_empty_config_is_not(database: BatchDatabase) -> None:
    database.add_batch_item(JOB, "idea-1", "failed", error="")
    database.create_batch_job("empty", 0, {})
    assert database.get_batch_items(JOB)[0]["result"] is None
    assert database.get_batch_items(JOB)[0]["error"] == ""
    assert _job(database, "empty")["config"] == "{}"


def test_columns_are_those_of_the_original(database: BatchDatabase, old: Path) -> None:
    database.add_batch_item(JOB, "idea-1", "success")
    with BatchDatabase(old) as original:
        assert list(_job(database)) == list(_job(original, "old"))
        assert list(database.get_batch_items(JOB)[0]) == list(original.get_batch_items("old")[0])
    with closing(sqlite3.connect(database.db_path)) as ours, closing(sqlite3.connect(old)) as theirs:
        for table in ("batch_jobs", "batch_items"):
            columns = f"SELECT name, type, pk FROM pragma_table_info('{table}')"
            assert ours.execute(columns).fetchall() == theirs.execute(columns).fetchall()


def test_job_and_item_come_back_as_they_were_stored(database: BatchDatabase) -> None:
    item = database.add_batch_item(JOB, "idea-1", "failed", None, "no title", 1.5, 3)
    job = _job(database)
    row = database.get_batch_items(JOB)[0]
    assert (job["status"], job["total_items"], job["processed_items"]) == ("running", 10, 0)
    assert (job["config"], job["completed_at"]) == ('{"mode": "parallel"}', None)
    assert (row["id"], row["error"], row["processing_time"], row["attempts"]) == (item, "no title", 1.5, 3)
    for text in (job["started_at"], row["created_at"]):
        assert datetime.fromisoformat(text).utcoffset() == timedelta(0)
        assert text.endswith("+00:00")


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_every_status_that_ends_a_job_sets_its_end_time(database: BatchDatabase, status: str) -> None:
    database.update_batch_job(JOB, status=status)
    job = _job(database)
    assert job["status"] == status
    assert job["completed_at"] >= job["started_at"]


def test_job_that_is_taken_up_again_has_no_end_time(database: BatchDatabase) -> None:
    database.update_batch_job(JOB, status="cancelled")
    database.update_batch_job(JOB, processed_items=1)
    assert _job(database)["completed_at"] is not None
    database.update_batch_job(JOB, status="running")
    assert _job(database)["completed_at"] is None


def test_update_changes_what_is_given_and_zero_is_given(database: BatchDatabase) -> None:
    database.update_batch_job(JOB, processed_items=3, success_count=2, failure_count=1)
    database.update_batch_job(JOB, failure_count=0)
    job = _job(database)
    assert (job["processed_items"], job["success_count"], job["failure_count"]) == (3, 2, 0)
    assert job["status"] == "running"


def test_jobs_are_listed_newest_first_up_to_the_limit(database: BatchDatabase) -> None:
    for name in ("b2", "b3", "b4"):
        database.create_batch_job(name, 1, None)
    database.update_batch_job("b3", status="completed")
    assert [job["batch_id"] for job in database.list_batch_jobs()] == ["b4", "b3", "b2", JOB]
    assert [job["batch_id"] for job in database.list_batch_jobs(limit=2)] == ["b4", "b3"]
    assert [job["batch_id"] for job in database.list_batch_jobs(status="completed")] == ["b3"]


def test_items_come_in_the_order_they_were_added_by_status_and_over_many_pages(database: BatchDatabase) -> None:
    database.create_batch_job("other", 1, None)
    count = 2 * PAGE_ROWS + 1
    with closing(sqlite3.connect(database.db_path)) as connection, connection:
        rows = [(JOB if n % 2 else "other", f"idea-{n}", "failed" if n % 997 == 0 else "success") for n in range(count)]
        connection.executemany("INSERT INTO batch_items (batch_id, idea_id, status) VALUES (?, ?, ?)", rows)
    assert [item["idea_id"] for item in database.get_batch_items(JOB)] == [f"idea-{n}" for n in range(1, count, 2)]
    assert [item["idea_id"] for item in database.get_batch_items(JOB, status="failed")] == ["idea-997"]
    assert [item["idea_id"] for item in database.get_batch_items("other", "failed")] == ["idea-0", "idea-1994"]


def test_deleted_job_takes_its_items_along_and_no_others(database: BatchDatabase) -> None:
    database.create_batch_job("other", 1, None)
    for batch_id in (JOB, "other"):
        database.add_batch_item(batch_id, "idea-1", "success")
    database.delete_batch_job(JOB)
    assert database.get_batch_job(JOB) is None
    assert database.get_batch_items(JOB) == []
    assert len(database.get_batch_items("other")) == 1


def test_job_that_does_not_exist_is_named_and_nothing_is_stored(database: BatchDatabase) -> None:
    with pytest.raises(BatchNotFound, match="nosuch") as error:
        database.add_batch_item("nosuch", "idea-1", "success")
    assert "list_batch_jobs" in error.value.hint
    with pytest.raises(BatchNotFound, match="nosuch"):
        database.update_batch_job("nosuch", status="completed")
    assert database.get_batch_job("nosuch") is None
    assert database.get_batch_items("nosuch") == []
    database.delete_batch_job("nosuch")


def test_batch_id_that_is_taken_is_refused_and_the_first_job_stays(database: BatchDatabase) -> None:
    with pytest.raises(BatchExists, match=JOB) as error:
        database.create_batch_job(JOB, 99, {})
    assert "delete_batch_job" in error.value.hint
    assert _job(database)["total_items"] == 10


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


class _Mute:
    def __str__(self) -> str:
        raise RuntimeError("no words for it")


@pytest.mark.parametrize("value", [math.nan, [math.inf], {(1, 2): 3}, _circle(), _Mute()])
def test_value_that_json_cannot_hold_is_refused_by_the_name_of_its_field(database: BatchDatabase, value: Any) -> None:
    with pytest.raises(StoreError, match="this result as JSON"):
        database.add_batch_item(JOB, "idea-1", "success", result=value)
    with pytest.raises(StoreError, match="this config as JSON"):
        database.create_batch_job("other", 1, {"value": value})
    assert database.get_batch_items(JOB) == []
    assert database.get_batch_job("other") is None


def test_value_without_a_json_form_is_stored_as_text_or_by_the_encoder_given(
    tmp_path: Path, database: BatchDatabase
) -> None:
    database.add_batch_item(JOB, "idea-1", "success", result={"file": tmp_path})
    assert json.loads(database.get_batch_items(JOB)[0]["result"]) == {"file": str(tmp_path)}
    with BatchDatabase(database.db_path, to_json=to_json) as strict:
        strict.add_batch_item(JOB, "idea-2", "success", result={2, 1})
        assert strict.get_batch_items(JOB)[1]["result"] == "[1, 2]"
        with pytest.raises(StoreError, match=r"this result as JSON .*object"):
            strict.add_batch_item(JOB, "idea-3", "success", result=object())


def test_text_with_half_a_surrogate_pair_loses_no_item(database: BatchDatabase) -> None:
    database.add_batch_item(JOB, "idea-\ud83d", "failed", error="bad name: \udcff")
    item = database.get_batch_items(JOB)[0]
    assert (item["idea_id"], item["error"]) == ("idea-\\ud83d", "bad name: \\udcff")


@pytest.mark.parametrize("count", [2**70, object(), "\ud83d"])
def test_value_that_no_column_can_hold_is_a_store_error_and_the_database_stays_usable(
    database: BatchDatabase, count: Any
) -> None:
    with pytest.raises(StoreError, match=r"own\.db"):
        database.update_batch_job(JOB, processed_items=count)
    database.update_batch_job(JOB, processed_items=1)
    assert _job(database)["processed_items"] == 1


def test_database_is_usable_again_after_close_with_and_without_connect(database: BatchDatabase) -> None:
    database.close()
    database.close()
    database.connect()
    database.connect()
    assert _job(database)["total_items"] == 10
    database.close()
    database.add_batch_item(JOB, "idea-1", "success")
    assert len(database.get_batch_items(JOB)) == 1


def test_block_closes_the_file_and_what_was_stored_is_there_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    with BatchDatabase(str(path)) as database:
        database.create_tables()
        database.create_batch_job(JOB, 1, {})
    with BatchDatabase(path) as again:
        again.create_tables()
        assert _job(again)["total_items"] == 1


def test_threads_share_one_database_and_no_item_is_lost(database: BatchDatabase) -> None:
    threads, each = 8, 25
    together = threading.Barrier(threads)

    def add(thread: int) -> None:
        together.wait(timeout=30)
        for n in range(each):
            database.add_batch_item(JOB, f"idea-{thread}-{n}", "success", result=n)
            database.get_batch_job(JOB)
        if thread == 0:
            database.close()  # the others go on: each call connects when it must

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(add, range(threads)))
    stored = [item["idea_id"] for item in database.get_batch_items(JOB)]
    assert sorted(stored) == sorted(f"idea-{thread}-{n}" for thread in range(threads) for n in range(each))


def test_two_databases_on_one_file_see_each_other(database: BatchDatabase) -> None:
    with BatchDatabase(database.db_path) as other:
        other.add_batch_item(JOB, "idea-1", "success")
        database.add_batch_item(JOB, "idea-2", "success")
        assert len(other.get_batch_items(JOB)) == len(database.get_batch_items(JOB)) == 2


def test_memory_is_a_path_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with BatchDatabase(":memory:") as database:
        database.create_tables()
        database.create_batch_job(JOB, 1, {})
        assert _job(database)["total_items"] == 1
    assert list(tmp_path.iterdir()) == []


def test_default_path_is_batch_db_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with BatchDatabase() as database:
        database.create_tables()
    assert [path.name for path in tmp_path.iterdir()] == ["batch.db"]


def test_missing_tables_are_told_with_what_makes_them(tmp_path: Path) -> None:
    with BatchDatabase(tmp_path / "own.db") as database:
        with pytest.raises(StoreError, match="no tables") as error:
            database.list_batch_jobs()
        assert "create_tables" in error.value.hint


def test_file_that_is_no_database_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database at all\n" * 100)
    with pytest.raises(StoreError, match=r"notes\.txt.*not a database"):
        BatchDatabase(path).connect()
    with pytest.raises(StoreError):
        BatchDatabase(path).create_tables()
    assert path.read_text() == "not a database at all\n" * 100


def test_folder_that_is_missing_or_in_the_place_of_the_file_is_a_store_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "batch.db"):
        with pytest.raises(StoreError, match="cannot be opened"):
            BatchDatabase(path).connect()


def test_file_left_by_a_crash_in_a_commit_is_rolled_back_and_used(tmp_path: Path, database: BatchDatabase) -> None:
    crashed = tmp_path / "crashed.db"
    with closing(sqlite3.connect(database.db_path, isolation_level=None)) as connection:
        # A cache of one page, so that the file and its journal are written before the commit.
        connection.executescript("PRAGMA cache_size = 1; BEGIN; UPDATE batch_jobs SET status = 'torn'")
        rows = [(JOB, "x" * 1000)] * 100
        connection.executemany("INSERT INTO batch_items (batch_id, idea_id, status) VALUES (?, ?, 'torn')", rows)
        shutil.copy(database.db_path, crashed)
        shutil.copy(f"{database.db_path}-journal", f"{crashed}-journal")
        connection.execute("ROLLBACK")
    with BatchDatabase(crashed) as recovered:
        assert _job(recovered)["status"] == "running"
        assert recovered.get_batch_items(JOB) == []
        recovered.add_batch_item(JOB, "idea-1", "success")


@pytest.mark.parametrize("create_tables", [True, False])
def test_file_of_the_original_opens_and_works(old: Path, create_tables: bool) -> None:
    with BatchDatabase(old) as database:
        if create_tables:
            database.create_tables()
        assert _job(database, "old")["config"] == '{"mode": "parallel"}'
        assert [item["idea_id"] for item in database.get_batch_items("old")] == ["idea-1"]
        database.add_batch_item("old", "idea-3", "success", result=[])
        database.update_batch_job("old", processed_items=2, status="cancelled")
        database.create_batch_job(JOB, 1, {})
        assert [job["batch_id"] for job in database.list_batch_jobs()] == [JOB, "old"]
        assert _job(database, "old")["completed_at"] is not None
        with pytest.raises(BatchNotFound):
            database.add_batch_item("gone", "idea-4", "success")
        for batch_id in ("old", "gone"):
            database.delete_batch_job(batch_id)
            assert database.get_batch_items(batch_id) == []


def _record(path: Path, *outcomes: Outcome) -> None:
    with closing(open_writer(path)) as connection, transaction(connection):
        OutcomeWriter(connection).record(outcomes)


def _success(seq: int) -> Outcome:
    return Outcome(seq, 1, 1, 1_500_000, 1000, 1, "[]", None)


def test_live_batch_answers_the_same_queries_while_its_supervisor_writes(tmp_path: Path) -> None:
    path = make_batch(tmp_path, ['{"idea_id": "a"}', "2", "3"])
    _record(path, _success(1), Outcome(3, 1, 2, 7000, 2000, 1, None, describe(ValueError("no title"))))
    with closing(open_writer(path)) as supervisor, BatchDatabase(path) as database:
        with transaction(supervisor):  # which holds the write lock
            OutcomeWriter(supervisor).record([_success(2)])
            assert [item["status"] for item in database.get_batch_items("b1")] == ["success", "pending", "failed"]
        job = _job(database, "b1")
        failed = database.get_batch_items("b1", status="failed")
        assert [item["status"] for item in database.get_batch_items("b1")] == ["success", "success", "failed"]
        assert (job["status"], job["total_items"], job["success_count"], job["failure_count"]) == ("running", 3, 2, 1)
        assert json.loads(job["config"])["chunk_size"] == 50
        assert [(item["idea_id"], item["error"], item["attempts"]) for item in failed] == [("item-3", "no title", 2)]
        assert failed[0]["created_at"] == "1970-01-01T00:00:02.000+00:00"
        assert [job["batch_id"] for job in database.list_batch_jobs(status="running")] == ["b1"]
        assert database.list_batch_jobs(status="completed") == []
        assert database.get_batch_job("b2") is None
        assert database.get_batch_items("b2") == []


def test_live_batch_and_a_database_of_ones_own_have_the_same_columns(tmp_path: Path, database: BatchDatabase) -> None:
    database.add_batch_item(JOB, "idea-1", "success")
    with BatchDatabase(make_batch(tmp_path, ["1"])) as live:
        assert list(_job(live, "b1")) == list(_job(database))
        assert list(live.get_batch_items("b1")[0]) == list(database.get_batch_items(JOB)[0])


@pytest.mark.parametrize("write", [
    lambda database: database.create_batch_job("b2", 1, {}),
    lambda database: database.update_batch_job("b1", status="completed"),
    lambda database: database.add_batch_item("b1", "idea-1", "success"),
    lambda database: database.delete_batch_job("b1"),
])  # fmt: skip
def test_live_batch_is_not_written_and_the_hint_names_what_steers_it(
    tmp_path: Path, write: Callable[[BatchDatabase], None]
) -> None:
    path = make_batch(tmp_path, ["1", "2"])
    with BatchDatabase(path) as database:
        before = database.list_batch_jobs(), database.get_batch_items("b1")
        with pytest.raises(StoreError, match="file of a batch") as error:
            write(database)
        assert "supervisor" in error.value.hint and "`batchq" in error.value.hint
        database.create_tables()
        assert (database.list_batch_jobs(), database.get_batch_items("b1")) == before


def test_reading_a_live_batch_neither_checkpoints_nor_holds_up_its_log(tmp_path: Path) -> None:
    live = make_batch(tmp_path, ["1", "2"])
    alone = tmp_path / "alone.db"
    with closing(open_writer(live)) as supervisor:
        with transaction(supervisor):
            OutcomeWriter(supervisor).record([_success(1)])
        # A batch whose processes were all killed: its log still holds what they committed.
        for suffix in ("", "-wal"):
            shutil.copy(f"{live}{suffix}", f"{alone}{suffix}")
        files = [alone, alone.with_name("alone.db-wal")]
        before = [path.read_bytes() for path in files]
        with BatchDatabase(alone) as database:
            assert database.get_batch_items("b1")[0]["status"] == "success"
        assert [path.read_bytes() for path in files] == before
        with BatchDatabase(live) as database:
            database.get_batch_items("b1")
            busy, _, _ = supervisor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert busy == 0  # no read of ours was still open


def test_batch_of_a_newer_batchq_is_refused_rather_than_taken_for_a_file_of_ones_own(tmp_path: Path) -> None:
    path = make_batch(tmp_path, ["1"])
    with closing(open_writer(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer batchq"):
        BatchDatabase(path).connect()
