"""The Dask cluster of one batch, on this machine: it ends with the batch."""

from __future__ import annotations

import logging
from typing import Any

import dask
from distributed import LocalCluster
from distributed.deploy.cluster import Cluster


class OwnCluster(LocalCluster):  # type: ignore[misc]  # Dask says nothing of its types
    """Keeps a Dask worker that is away for a moment.

    Dask looks at a fixed time after the end of a worker's process whether there is one again, and closes its nanny
    for good where just then the next one has ended too, as those of workers do that are replaced often.
    """

    def _update_worker_status(self, op: str, msg: Any) -> None:
        Cluster._update_worker_status(self, op, msg)


async def own_cluster(workers: int) -> LocalCluster:
    """Start one with so many workers."""
    with dask.config.set({"distributed.worker.daemon": False}):  # handlers may start processes
        return await OwnCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            asynchronous=True,
            silence_logs=logging.CRITICAL,
        )
