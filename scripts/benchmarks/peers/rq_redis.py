"""RQ with Redis: a pool of workers that do not fork for each job, jobs enqueued in one pipeline, results kept."""

from __future__ import annotations

from redis import Redis
from rq import Queue
from rq.job import Job as RqJob
from rq.registry import FinishedJobRegistry

from benchmarks.peers import work
from benchmarks.peers.work import WARM_UP, Done, Job, clock


def run(job: Job) -> Done:
    """Each result stands in its job."""
    connection = Redis.from_url(work.address())
    queue = Queue(connection=connection)
    finished = FinishedJobRegistry(queue=queue)
    settings = ["-n", str(job.slots), "-w", "rq.SimpleWorker", "-u", work.address(), "-q"]
    with work.workers("rq.cli", "worker-pool", "default", *settings) as crew:
        warm = [queue.enqueue(work.noop, WARM_UP) for _ in range(job.slots)]
        crew.wait_for(lambda: len(finished), len(warm))
        with clock() as elapsed:
            handle = work.HANDLERS[job.handler]
            queue.enqueue_many([Queue.prepare_data(handle, (item,)) for item in job.items])
            crew.wait_for(lambda: len(finished), len(warm) + len(job.items))
        skipped = {each.id for each in warm}
        names = [name for name in finished.get_job_ids() if name not in skipped]
        return Done(elapsed(), [RqJob.fetch(name, connection=connection).return_value() for name in names])
