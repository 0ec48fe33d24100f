"""Ids that several items have are counted right, whatever they are, and nobody has to wait for the count."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from batchq.engine.fill import Rising
from batchq.model import Record
from batchq.spec import BatchSpec, SourceSpec
from batchq.store import connection as db
from batchq.store.batch import create_batch
from batchq.store.repeats import PAGE_ROWS, count_repeated_ids

IDS = st.lists(st.none() | st.integers(0, 9) | st.sampled_from("0123456789"), max_size=30)


def batch_of(folder: Path, ids: Sequence[str | int | None]) -> Path:
    path = folder / "batch.db"
    create_batch(path, "b", BatchSpec("m:f", "/", "/", "python", SourceSpec("a", "a", "jsonl")))
    with closing(db.open_writer(path)) as connection, db.transaction(connection):
        rows = [(seq, "" if item_id is None else item_id, seq, "{}") for seq, item_id in enumerate(ids, 1)]
        connection.executemany(db.SQL["insert_item"], rows)
    return path


def test_repeated_ids_are_counted_over_all_pages(tmp_path: Path) -> None:
    ids: list[str | int | None] = [f"id-{number % (PAGE_ROWS + 3)}" for number in range(2 * PAGE_ROWS)]
    path = batch_of(tmp_path, [*ids, None, None, 7, "7", 7])
    assert count_repeated_ids(path) == PAGE_ROWS - 3 + 1


def test_count_is_given_up_when_somebody_waits(tmp_path: Path) -> None:
    assert count_repeated_ids(batch_of(tmp_path, ["a", "a"]), lambda: True) is None


@given(IDS)
def test_rising_ids_are_never_repeated(ids: list[str | int | None]) -> None:
    rising = Rising(starts=True)
    for here in ids:
        rising.see([Record("{}", here, 1, 0, 1)])
    named = [(type(here), here) for here in ids if here is not None]
    assert not rising.holds or len(set(named)) == len(named)
