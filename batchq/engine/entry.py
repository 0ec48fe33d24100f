"""What a worker process is started with. Nothing is imported here, so that its starter need not load what it runs."""

from __future__ import annotations

from multiprocessing.connection import Connection as Pipe
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchq.engine.orders import WorkerReport, WorkerSpec


def prepare(parent: Pipe) -> None:
    """The first that the process does, see `process.prepare`: with it, it has imported all that it needs."""
    from batchq.engine import process

    process.prepare(parent)


def be_ready() -> None:
    """Nothing: a pool starts its process with the first thing to do."""


def work(spec: WorkerSpec) -> WorkerReport:
    """Run items of a batch, see `process.work`."""
    from batchq.engine import process

    return process.work(spec)
