"""persist-queue: its SQLite queue with acknowledgements, threads that take, work, keep the result and acknowledge."""

from __future__ import annotations

import threading

from persistqueue import Empty, SQLiteAckQueue, SQLiteQueue

from benchmarks.peers import work
from benchmarks.peers.work import Done, Job, clock


def run(job: Job) -> Done:
    """It commits each put, get and ack: a queue with acknowledgements has no other way."""
    tasks = SQLiteAckQueue(f"{work.folder()}/tasks", multithreading=True)
    results = SQLiteQueue(f"{work.folder()}/results", multithreading=True, auto_commit=True)
    handle = work.HANDLERS[job.handler]

    def worker() -> None:
        while True:
            try:
                task = tasks.get(block=False, raw=True)
            except Empty:
                return
            results.put(handle(task["data"]))
            tasks.ack(id=task["pqid"])

    with clock() as elapsed:
        for item in job.items:
            tasks.put(item)
        threads = [threading.Thread(target=worker) for _ in range(job.slots)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return Done(elapsed(), [results.get(block=False) for _ in range(results.qsize())])
