"""Dramatiq with Redis: processes of threads, results kept."""

from __future__ import annotations

import json
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from redis import Redis

from benchmarks.peers import work
from benchmarks.peers.work import WARM_UP, Done, Job, clock

PROCESSES = 2
THREADS = 8
"""Dramatiq's own default in each process."""
RESULTS = f"{work.address()}/1"

broker = RedisBroker(url=f"{work.address()}/0")
broker.add_middleware(Results(backend=RedisBackend(url=RESULTS)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def handle(handler: str, item: dict[str, Any]) -> Any:
    """The work."""
    return work.HANDLERS[handler](item)


def run(job: Job) -> Done:
    """Send item by item; a list of Redis for each result."""
    threads = THREADS if job.handler == "noop" else job.slots // PROCESSES
    kept = Redis.from_url(RESULTS)
    with work.workers("dramatiq", __name__, "--processes", str(PROCESSES), "--threads", str(threads)) as crew:
        handle.send("noop", WARM_UP).get_result(block=True, timeout=60_000)
        kept.flushdb()
        with clock() as elapsed:
            for item in job.items:
                handle.send(job.handler, item)
            crew.wait_for(kept.dbsize, len(job.items))
        return Done(elapsed(), [_result(kept.lindex(key, 0)) for key in kept.scan_iter(count=1000)])


def _result(kept: Any) -> Any:
    found = json.loads(kept)
    return found["actor_result"] if isinstance(found, dict) and "actor_result" in found else found
