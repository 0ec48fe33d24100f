"""DBOS with PostgreSQL: durable workflows on its queue, in threads of one process as its documentation has it."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from dbos import DBOS, DBOSConfig

from benchmarks.peers import work
from benchmarks.peers.work import WARM_UP, Done, Job, clock

CONCURRENCY = 20
"""Workflows at a time, where the handler does not wait."""
POLL_SECONDS = 0.01
"""Its default, a second, would be all that is measured."""

DONE = "SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'"


@DBOS.workflow()
def handle(handler: str, item: dict[str, Any]) -> Any:
    """The work."""
    return work.HANDLERS[handler](item)


def run(job: Job) -> Done:
    """Enqueue item by item; a row for each workflow, with its result."""
    slots = CONCURRENCY if job.handler == "noop" else job.slots
    config = DBOSConfig(name="bench", system_database_url=work.address(), run_admin_server=False, log_level="ERROR")
    DBOS(config={**config, "max_executor_threads": slots})
    DBOS.launch()
    connection = psycopg.connect(work.address(), autocommit=True)
    try:
        queue = DBOS.register_queue("bench", worker_concurrency=slots, polling_interval_sec=POLL_SECONDS)
        queue.enqueue(handle, "noop", WARM_UP).get_result()
        with clock() as elapsed:
            handles = [queue.enqueue(handle, job.handler, item) for item in job.items]
            while connection.execute(DONE).fetchone() != (1 + len(handles),):
                time.sleep(POLL_SECONDS)
        return Done(elapsed(), [each.get_result() for each in handles])
    finally:
        connection.close()
        DBOS.destroy()
