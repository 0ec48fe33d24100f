"""Batches made by hand, for tests of the store and the engine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batchq.engine.failures import plain_failure
from batchq.model import Failure, Record
from batchq.spec import BatchSpec, SourceSpec
from batchq.store.batch import BatchStore, create_batch
from batchq.store.filler import Filler


def make_spec(target: str = "nowhere:handler", folder: Path | str = "/", **changes: Any) -> BatchSpec:
    """A specification without an input of its own."""
    source = SourceSpec(path="nowhere.jsonl", name="nowhere.jsonl", format="jsonl")
    return BatchSpec(
        target=target, folder=str(folder), cwd=str(folder), python=sys.executable, source=source, **changes
    )


def make_records(payloads: Sequence[str], first: int = 1) -> list[Record]:
    """Records as a reader of JSON lines would yield them."""
    return [Record(payload, None, line, line * 10, line + 1, None) for line, payload in enumerate(payloads, first)]


def fill(database: Path, records: Sequence[Record], chunk_size: int = 50, seq: int = 0) -> None:
    """Store records in one transaction."""
    filler = Filler(database, "normal", chunk_size, seq)
    filler.store(records, "", _fail)
    filler.close()


def make_batch(folder: Path, payloads: Sequence[str], chunk_size: int = 50, **changes: Any) -> Path:
    """A batch whose input is stored to its end and whose first session (epoch 1) has begun; its file."""
    database = folder / "batch.db"
    create_batch(database, "b1", make_spec(chunk_size=chunk_size, **changes))
    store = BatchStore(database)
    try:
        store.move("supervise")
        store.begin_session()
        if payloads:
            fill(database, make_records(payloads), chunk_size)
        store.end_input()
    finally:
        store.close()
    return database


def _fail(reason: str) -> Failure:
    return plain_failure("InvalidInput", reason, reason)
