"""Celery with Redis: prefork for work and threads for waiting, messages prefetched by the hundred, results kept."""

from __future__ import annotations

import json
from typing import Any

from celery import Celery
from redis import Redis

from benchmarks.peers import work
from benchmarks.peers.work import WARM_UP, Done, Job, clock

RESULTS = f"{work.address()}/1"

app = Celery("bench", broker=f"{work.address()}/0", backend=RESULTS)
app.conf.update(worker_prefetch_multiplier=100, task_ignore_result=False, worker_send_task_events=False)


@app.task
def handle(handler: str, item: dict[str, Any]) -> Any:
    """The work."""
    return work.HANDLERS[handler](item)


def run(job: Job) -> Done:
    """Send item by item over one connection; a key of Redis for each result."""
    pool = "prefork" if job.handler == "noop" else "threads"
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
    kept = Redis.from_url(RESULTS)
    with work.workers("celery", "-A", __name__, "worker", "-P", pool, "-c", str(job.slots), *quiet) as crew:
        handle.delay("noop", WARM_UP).get(timeout=60)
        kept.flushdb()
        with clock() as elapsed, app.producer_pool.acquire(block=True) as producer:
            for item in job.items:
                handle.apply_async((job.handler, item), producer=producer)
            crew.wait_for(kept.dbsize, len(job.items))
        return Done(elapsed(), [json.loads(kept.get(key))["result"] for key in kept.scan_iter(count=1000)])
