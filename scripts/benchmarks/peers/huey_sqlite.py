"""Huey with SQLite: its consumer in a process of its own, with worker threads."""

from __future__ import annotations

from typing import Any

from huey import SqliteHuey

from benchmarks.peers import work
from benchmarks.peers.work import WARM_UP, Done, Job, clock

huey = SqliteHuey(filename=f"{work.folder()}/huey.db")


@huey.task()
def handle(handler: str, item: dict[str, Any]) -> Any:
    """The work."""
    return work.HANDLERS[handler](item)


def run(job: Job) -> Done:
    """Hand over item by item; Huey keeps each result until it is read."""
    settings = ["-k", "thread", "-w", str(job.slots), "--delay", "0.01", "--max-delay", "0.05", "--quiet"]
    with work.workers("huey.bin.huey_consumer", f"{__name__}.huey", *settings) as crew:
        handle("noop", WARM_UP).get(blocking=True, timeout=60)
        with clock() as elapsed:
            for item in job.items:
                handle(job.handler, item)
            crew.wait_for(huey.result_count, len(job.items))
        return Done(elapsed(), [huey.serializer.deserialize(kept) for kept in huey.all_results().values()])
