"""Failed items that run again for a server: the batch is its own from the first of them on, unless somebody objects."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from batches import make_batch

from batchq.engine.failures import plain_failure
from batchq.model import Outcome
from batchq.store.batch import BatchStore, steer
from batchq.store.chunks import ChunkQueue
from batchq.store.connection import open_writer, transaction
from batchq.store.outcomes import OutcomeWriter
from batchq.store.reading import reading
from batchq.store.rerun import RERUN_ITEMS, rerun
from batchq.store.turns import OWN

ALL = RERUN_ITEMS + 1
"""One more than are put back at a time."""


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    """A batch that has completed, and all of whose items have failed."""
    database = make_batch(tmp_path, ["1"] * ALL, chunk_size=ALL)
    failure = plain_failure("ValueError", "no", "no")
    with closing(open_writer(database)) as connection, transaction(connection):
        OutcomeWriter(connection).record([Outcome(seq, 1, 1, 1, 9, 7, None, failure) for seq in range(1, ALL + 1)], [])
        ChunkQueue(connection, "c", 1).claim(ALL)
        ChunkQueue(connection, "c", 1).ack_all([1])
    with closing(BatchStore(database)) as store:
        assert store.complete()
    return database


def now(database: Path) -> tuple[str, int, int]:
    with reading(database) as reader:
        turn = reader.turn()
        return turn.state, turn.served, reader.tally().failed


@pytest.mark.parametrize("event", [None, "pause"])
def test_server_has_the_batch_with_the_first_items(failed: Path, event: str | None) -> None:
    seen = []

    def moved(count: int) -> None:
        seen.append((count, *now(failed)))
        if event is not None and len(seen) == 1:
            steer(failed, event)

    assert rerun(failed, "normal", lambda row: True, moved, served=True) == ALL
    last = "queued" if event is None else "paused"
    assert seen == [(RERUN_ITEMS, "queued", OWN, 1), (ALL, last, OWN, 0)], "whoever pauses it meanwhile has his way"


def test_batch_that_was_paused_goes_on_and_nobody_serves_what_nobody_left_to_him(failed: Path) -> None:
    assert rerun(failed, "normal", lambda row: row.seq == 1) == 1
    assert now(failed) == ("queued", 0, ALL - 1)
    steer(failed, "pause")
    assert rerun(failed, "normal", lambda row: row.seq == 2, served=True) == 1
    assert now(failed) == ("queued", OWN, ALL - 2)


def test_failures_of_a_batch_that_is_cancelled_meanwhile_stay(failed: Path) -> None:
    assert rerun(failed, "normal", lambda row: True, lambda _: steer(failed, "cancel"), served=True) == RERUN_ITEMS
    assert now(failed) == ("cancelled", OWN, 1)
    with closing(BatchStore(failed)) as store:
        assert store.check() == []
