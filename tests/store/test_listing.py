"""Lists of items: pages by key, and searches that stop when their time is over and go on from there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from batchq.model import Failure, Outcome
from batchq.spec import BatchSpec, SourceSpec
from batchq.store import connection as db
from batchq.store.batch import create_batch
from batchq.store.listing import ListReader, Sought, listing
from batchq.store.outcomes import OutcomeWriter

ITEMS = 5000
FAILED = range(4000, 4100)
"""Far behind: a search has to pass much that it does not want."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch of 5,000 items of which the last 500 have not run."""
    path = tmp_path_factory.mktemp("listing") / "batch.db"
    create_batch(path, "b", BatchSpec("m:f", "/", "/", "python", SourceSpec("in.jsonl", "in.jsonl", "jsonl", 0, 0)))
    failure = Failure("ValueError", "no title", "", "print", "")
    outcomes = [
        Outcome(seq, 1, 1, 5, 1000, 1, None if seq in FAILED else "1", failure if seq in FAILED else None)
        for seq in range(1, ITEMS - 499)
    ]
    with closing(db.open_writer(path)) as connection, db.transaction(connection):
        rows = [(seq, f"i{seq}", seq, f'{{"n": {seq}}}') for seq in range(1, ITEMS + 1)]
        connection.executemany(db.SQL["insert_item"], rows)
        connection.execute(db.SQL["count_items"])
        OutcomeWriter(connection).record(outcomes)
        connection.execute(db.SQL["insert_chunk"], (ITEMS - 499, ITEMS - 200, 0, 0, 0, 0.0))
        connection.execute(db.SQL["insert_chunk"], (ITEMS - 199, ITEMS, 0, 1, 0, 0.0))
    return path


@pytest.fixture
def reader(path: Path) -> Iterator[ListReader]:
    with listing(path) as found:
        yield found


def all_of(reader: ListReader, sought: Sought, limit: int) -> list[int]:
    seqs, after = list[int](), 0
    for _ in count():
        rows, following = reader.page(sought, after, limit)
        seqs += [row.seq for row in rows]
        if following is None:
            return seqs
        assert following > after
        after = following
    raise AssertionError


@pytest.mark.parametrize(
    "sought, expected",
    [
        (Sought(), list(range(1, ITEMS + 1))),
        (Sought("failed"), list(FAILED)),
        (Sought("pending"), list(range(ITEMS - 499, ITEMS + 1))),
        (Sought("success"), [seq for seq in range(1, ITEMS - 499) if seq not in FAILED]),
        (Sought(error="error: NO t"), list(FAILED)),
        (Sought(text='": 4050}'), [4050]),
        (Sought("failed", text="i409"), list(range(4090, 4100))),
        (Sought("pending", text="i500"), [5000]),
        (Sought(text="_"), []),
        (Sought(text='": 4050}', in_payload=False), []),
        (Sought(until=7), list(range(1, 8))),
    ],
)
def test_all_pages_together_have_what_is_sought(reader: ListReader, sought: Sought, expected: list[int]) -> None:
    assert all_of(reader, sought, 73) == expected


def test_search_stops_when_its_time_is_over_and_goes_on_from_there(reader: ListReader) -> None:
    late = count(0.0, 1.0)  # seconds: each look takes one
    rows, after = reader.page(Sought(text="i4999"), 0, 10, lambda: next(late))
    assert (rows, after) == ([], 200)
    found, steps = [], 0
    while after is not None:
        rows, after = reader.page(Sought(text="i4999"), after, 10, lambda: next(late))
        found += [row.seq for row in rows]
        steps += 1
    assert (found, steps) == ([4999], 24)


def test_page_keeps_no_transaction_open(path: Path, reader: ListReader) -> None:
    reader.page(Sought("pending"), 0, 10, time.monotonic)
    with closing(db.open_writer(path)) as writer:
        with db.transaction(writer):
            writer.execute(db.SQL["count_items"])
        busy, _, _ = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0
