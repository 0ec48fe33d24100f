"""The batch's file: what is refused, what the original's tables show, and who holds the lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from batches import fill, make_batch, make_records

from batchq.engine.failures import describe
from batchq.errors import BatchBusy, BatchExists, BatchNotFound, ConfigError, DiskFull, StoreError
from batchq.model import Outcome
from batchq.store.batch import BatchStore
from batchq.store.connection import SCHEMA_VERSION, Connection, open_reader, transaction
from batchq.store.filler import Filler
from batchq.store.home import BatchFolder, Home
from batchq.store.outcomes import OutcomeWriter
from batchq.store.reserve import make_reserve, spend_reserve

Opener = Callable[[Path], Connection]
Supervised = Callable[[Path], BatchStore]


def test_file_of_a_newer_batchq_is_refused_with_both_versions(tmp_path: Path, opened: Opener) -> None:
    database = make_batch(tmp_path, ["1"])
    opened(database).execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=rf"newer batchq .*99.*{SCHEMA_VERSION}") as error:
        open_reader(database)
    assert "Upgrade" in error.value.hint


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_file_that_is_no_batch_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "batch.db"
    path.write_bytes(content)
    with pytest.raises(StoreError):
        open_reader(path)


def test_state_that_does_not_exist_cannot_be_stored(tmp_path: Path, opened: Opener) -> None:
    connection = opened(make_batch(tmp_path, ["1"]))
    with pytest.raises(Exception, match="CHECK"):
        connection.execute("UPDATE batch SET state = 'tired'")


def test_second_outcome_of_a_run_is_refused_and_counts_nowhere(
    tmp_path: Path, opened: Opener, supervised: Supervised
) -> None:
    database = make_batch(tmp_path, ["1", "2"])
    connection = opened(database)
    writer = OutcomeWriter(connection)
    first = Outcome(1, 1, 1, 5000, 0, 1, "1", None)
    with transaction(connection):
        writer.record([first])
    with transaction(connection):
        writer.record([first._replace(result="2"), Outcome(2, 1, 2, 7000, 0, 1, None, describe(ValueError("x")))])
    store = supervised(database)
    assert (store.tally().success, store.tally().failed) == (1, 1)
    rows = connection.execute("SELECT seq, result FROM outcomes ORDER BY n").fetchall()
    assert rows == [(1, "1"), (2, None)]


def test_tables_of_the_original_show_the_batch_under_their_names(tmp_path: Path, opened: Opener) -> None:
    connection = opened(make_batch(tmp_path, ['{"a": 1}', "2"]))
    with transaction(connection):
        OutcomeWriter(connection).record([Outcome(2, 1, 1, 1_500_000, 0, 1, "[]", None)])
    job = connection.execute(
        "SELECT batch_id, total_items, processed_items, success_count, failure_count, status FROM batch_jobs"
    ).fetchall()
    items = connection.execute(
        "SELECT idea_id, status, result, error, processing_time, attempts FROM batch_items ORDER BY id"
    ).fetchall()
    assert job == [("b1", 2, 1, 1, 0, "running")]
    assert items == [("item-1", "pending", None, None, None, 0), ("item-2", "success", "[]", None, 1.5, 1)]


def test_checkpoint_empties_the_log_into_the_file(tmp_path: Path, supervised: Supervised) -> None:
    database = make_batch(tmp_path, [])
    store = supervised(database)
    fill(database, make_records([json.dumps("x" * 1000)] * 3000))
    grown = store.wal_bytes()
    before = database.stat().st_size
    store.checkpoint()
    assert database.stat().st_size > before
    store.note_session(1, 1.0)
    assert store.wal_bytes() <= grown, "the next writer begins the log afresh"


def test_chosen_ids_count_up_within_a_day_and_given_ones_are_taken_once(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    first, second = home.claim().batch_id, home.claim().batch_id
    if first[:-3] != second[:-3]:  # midnight lay between
        first, second = second, home.claim().batch_id
    assert first[:-3] == second[:-3] and (first[-3:], second[-3:]) == ("001", "002")
    home.claim("mine")
    with pytest.raises(BatchExists):
        home.claim("mine")
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("bad", ["../x", ".hidden", "a/b", "<u>1", "", "x" * 101, "a b"])
def test_id_that_could_not_be_a_folder_is_refused(tmp_path: Path, bad: str) -> None:
    with pytest.raises((ConfigError, BatchNotFound)):
        Home(tmp_path).claim(bad) if bad else Home(tmp_path).find(bad)
    assert list(tmp_path.iterdir()) == []


def test_unknown_id_names_the_nearest(tmp_path: Path) -> None:
    folder = Home(tmp_path).claim("ideas-2026")
    make_batch(folder.path, ["1"])
    with pytest.raises(BatchNotFound) as error:
        Home(tmp_path).find("ideas-2025")
    assert "ideas-2026" in error.value.hint


@pytest.mark.parametrize("content", ["", "0", "1", "garbage", '{"pid": 1, "started": 0, "since": 0}', "own"])
def test_stale_lock_file_of_any_content_stops_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(str(os.getpid()) if content == "own" else content)
    BatchFolder(tmp_path).supervise().release()


def test_lock_that_is_held_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from batchq.store.home import BatchFolder\n"
        "lock = BatchFolder(Path(sys.argv[1])).supervise(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BatchBusy, match=f"process {holder.pid}, since"):
            BatchFolder(tmp_path).supervise()
        holder.kill()
        holder.wait()
        BatchFolder(tmp_path).supervise().release()


@pytest.mark.parametrize("size", [200, 1000, 2060, 3000, 20_000])
def test_file_is_not_much_larger_than_the_records_in_it(tmp_path: Path, size: int, supervised: Supervised) -> None:
    payload = json.dumps("x" * (size - 2))
    database = make_batch(tmp_path, [payload] * (4_000_000 // size))
    supervised(database).checkpoint()
    assert database.stat().st_size < 1.5 * 4_000_000


def test_room_that_the_reserve_has_made_is_not_for_more_of_the_input(tmp_path: Path, supervised: Supervised) -> None:
    database = make_batch(tmp_path, ["1"])
    make_reserve(tmp_path)
    fill(database, make_records(["2"], 2), seq=1)
    spend_reserve(tmp_path)
    with closing(Filler(database, "normal", 50, 2)) as filler, pytest.raises(DiskFull):
        filler.store(make_records(["3"], 3), "", lambda reason: describe(ValueError(reason)))
    assert supervised(database).tally().items == 2
