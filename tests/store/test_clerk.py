"""Recorders that share a clerk: each claims and acks in its own name, and the end of one leaves the others alone."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from batches import make_batch

from batchq.errors import StorageFailed
from batchq.model import Outcome
from batchq.store.batch import BatchStore
from batchq.store.chunks import Claim
from batchq.store.clerk import AT_ONCE, Clerk
from batchq.store.recorder import Recorder, RecorderSettings

ITEMS = 2 * (AT_ONCE + 10)
"""Two for each of more recorders than one transaction is for."""


class Worker(NamedTuple):
    """A recorder and what it hands out."""

    name: str
    recorder: Recorder
    claims: queue.SimpleQueue[Claim]

    def work(self, leave: int = 0) -> None:
        """Record an outcome for each item of its claim but the last `leave`."""
        for chunk, items in self.claims.get(timeout=30).chunks:
            for item in items[: len(items) - leave]:
                self.recorder.record(Outcome(item.seq, item.run, 1, 10, 0, 1, f'"{self.name}"', None))
            if not leave:
                self.recorder.finish(chunk.message_id)

    def end(self) -> None:
        self.recorder.close()
        assert self.recorder.join(30)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BatchStore]:
    database = make_batch(tmp_path, [str(n) for n in range(ITEMS)], chunk_size=2)
    with closing(BatchStore(database)) as store:
        yield store


@pytest.fixture
def employ(store: BatchStore, tmp_path: Path) -> Iterator[Callable[[int], list[Worker]]]:
    """Makes so many workers with one clerk."""
    database = tmp_path / "batch.db"
    clerk = Clerk(database, "normal", stays=True)

    def employ(count: int) -> list[Worker]:
        made = []
        for number in range(count):
            claims: queue.SimpleQueue[Claim] = queue.SimpleQueue()
            settings = RecorderSettings(database, "normal", f"w{number}", 1, 1, 2)
            recorder = Recorder(settings, claims.put, lambda: None, _fail, clerk=clerk)
            recorder.start()
            made.append(Worker(f"w{number}", recorder, claims))
        return made

    yield employ
    clerk.close()
    assert clerk.has_ended
    with pytest.raises(StorageFailed):
        employ(1)


def _fail(error: Exception) -> None:
    raise AssertionError(error)


def test_each_of_very_many_claims_in_its_own_name_and_all_is_recorded_once(
    store: BatchStore, employ: Callable[[int], list[Worker]]
) -> None:
    workers = employ(ITEMS // 2)
    for worker in workers:
        worker.recorder.want(2)
    for worker in workers:
        worker.work()
    for worker in workers:
        worker.end()
    rows = store.connection.execute("SELECT seq, result FROM outcomes ORDER BY seq").fetchall()
    assert [seq for seq, _ in rows] == list(range(1, ITEMS + 1))
    assert all(rows[n][1] == rows[n + 1][1] for n in range(0, ITEMS, 2)), "who has claimed a chunk has run it"
    assert len({name for _, name in rows}) == ITEMS // 2
    assert store.check() == [] and not store.queue.any_open()


def test_claim_of_one_that_has_left_is_still_his_and_taken_over_alone(
    store: BatchStore, employ: Callable[[int], list[Worker]]
) -> None:
    gone, stays = employ(2)
    for worker in (gone, stays):
        worker.recorder.want(2)
    gone.work(leave=1)
    gone.end()
    assert "w0" in store.queue.claimants()
    store.take_over("w0")
    stays.work()
    stays.recorder.want(ITEMS)
    stays.work()
    stays.end()
    assert store.queue.claimants() == []
    assert store.check() == []
