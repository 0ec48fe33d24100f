"""Procrastinate with PostgreSQL: two workers, jobs deferred in batches; it keeps no result, so the task inserts one."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from procrastinate import App, PsycopgConnector

from benchmarks.handlers import WAIT_SECONDS
from benchmarks.peers import work
from benchmarks.peers.work import WARM_UP, Done, Job, clock

PROCESSES = 2
CONCURRENCY = 10
"""Of a worker, where the handler does not wait."""
BATCH = 1000

app = App(connector=PsycopgConnector(conninfo=work.address()))


@app.task(name="handle")
async def handle(handler: str, item: dict[str, Any]) -> None:
    """The work."""
    if handler == "wait":
        await asyncio.sleep(WAIT_SECONDS)
    await app.connector.execute_query_async("INSERT INTO outcomes (id) VALUES (%(id)s)", id=item["id"])


def run(job: Job) -> Done:
    """Defer a thousand at a time; each outcome is a row."""
    concurrency = CONCURRENCY if job.handler == "noop" else job.slots // PROCESSES
    with psycopg.connect(work.address(), autocommit=True) as connection, app.open():
        app.schema_manager.apply_schema()
        connection.execute("CREATE TABLE outcomes (id TEXT NOT NULL)")

        def count() -> int:
            row = connection.execute("SELECT count(*) FROM outcomes").fetchone()
            return int(row[0]) if row else 0

        settings = ["worker", "-c", str(concurrency)]
        with work.workers("procrastinate", f"--app={__name__}.app", *settings, processes=PROCESSES) as crew:
            handle.defer(handler="noop", item=WARM_UP)
            crew.wait_for(count, 1)
            connection.execute("DELETE FROM outcomes")
            with clock() as elapsed:
                for start in range(0, len(job.items), BATCH):
                    part = job.items[start : start + BATCH]
                    handle.batch_defer(*[{"handler": job.handler, "item": item} for item in part])
                crew.wait_for(count, len(job.items))
            return Done(elapsed(), [row[0] for row in connection.execute("SELECT id FROM outcomes")])
