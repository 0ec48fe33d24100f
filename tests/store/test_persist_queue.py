"""What batchq uses of persist-queue beyond its public face; an upgrade that breaks one of these must say so here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from batches import make_batch
from persistqueue.sqlackqueue import AckStatus, SQLiteAckQueue

from batchq.store import chunks
from batchq.store.chunks import ChunkQueue
from batchq.store.connection import Connection, transaction

Opener = Callable[[Path], Connection]


USED = {
    "_init": [],
    "_insert_into": ["record"],
    "_update": ["key", "args"],
    "_delete": ["key", "op"],
    "_mark_ack_status": ["key", "status"],
    "_count": [],
}


@pytest.mark.parametrize("name", USED)
def test_private_methods_that_chunk_queue_overrides_are_still_there(name: str) -> None:
    message = f"persist-queue no longer has SQLiteAckQueue.{name}: batchq.store.chunks must be adapted"
    assert callable(getattr(SQLiteAckQueue, name, None)), message
    method = inspect.unwrap(getattr(SQLiteAckQueue, name))
    source = inspect.getsource(method)
    assert "def _execute" in source or f"def {name}" in source, message


def test_states_of_a_message_are_those_that_the_schema_allows() -> None:
    states = (AckStatus.inited, AckStatus.ready, AckStatus.unack, AckStatus.acked)
    assert states == ("0", chunks.READY, chunks.UNACKED, chunks.ACKED), (
        "persist-queue numbers its states anew: batchq.store.chunks and schema.sql must be adapted"
    )


def test_its_public_methods_work_on_our_table_and_join_the_open_transaction(tmp_path: Path, opened: Opener) -> None:
    connection = opened(make_batch(tmp_path, []))
    queue = ChunkQueue(connection, "me", epoch=1)
    broken = "persist-queue {} no longer reaches the method that batchq overrides"
    with transaction(connection):
        first = queue.put([1, 10])
        assert connection.in_transaction, broken.format("put")
        queue.put([11, 20])
        assert queue.qsize() == 2, broken.format("qsize")
        got = queue.get(block=False, raw=True)
        assert connection.in_transaction, broken.format("get")
        assert (got["pqid"], got["data"]) == (first, [1, 10])
        assert queue.unack_count() == 1
        queue.nack(id=first)
        assert connection.in_transaction, broken.format("nack")
        queue.update([1, 5], id=first)
        assert connection.in_transaction, broken.format("update")
        assert queue.claims_of("me") == []
        assert queue.get(block=False) == [1, 5]
        assert queue.claims_of("me") == [(first, 1, 5, 0)]
        queue.ack(id=first)
        assert connection.in_transaction, broken.format("ack")
        assert queue.acked_count() == 1
        queue.clear_acked_data()
        queue.resume_unack_tasks()
        assert connection.in_transaction, broken.format("resume_unack_tasks")
        assert queue.acked_count() == 0
        connection.execute("ROLLBACK")
        connection.execute("BEGIN")
    assert queue.qsize() == 0, "everything was undone together"


def test_the_queue_leaves_a_connection_that_is_not_its_own_open(tmp_path: Path, opened: Opener) -> None:
    connection = opened(make_batch(tmp_path, []))
    queue = ChunkQueue(connection)
    queue.close()
    del queue
    assert connection.execute("SELECT 1").fetchone() == (1,)
