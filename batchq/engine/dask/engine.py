"""Runs the workers of a batch on a Dask cluster; the supervisor and the batch's file stay where they are.

    crew ── start(spec) ──▶ DaskEngine ── Agent, in the loop of a thread ── Cluster ──▶ Guest, on a Dask worker

One worker of the batch is one Dask actor, and at most one is on a Dask worker at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from batchq.engine.dask.agent import Agent
from batchq.engine.dask.parcels import PATIENCE_SECONDS
from batchq.engine.local import hidden_main
from batchq.engine.orders import WorkerSpec
from batchq.errors import WITHOUT_IT, UsageError
from batchq.store.clerk import Clerk
from batchq.store.recorder import RecorderSettings

if TYPE_CHECKING:
    from batchq.engine.dask.cluster import Cluster

_T = TypeVar("_T")
CLOSE_SECONDS: Final = 15.0
LEAVE_SECONDS: Final = 4.0
"""Agents that are still at work when the engine is closed have half of it to leave, and half to commit."""


class DaskEngine:
    """Runs workers as actors on a Dask cluster.

    Args:
        scheduler: its address, ``tcp://host:port``; None starts a cluster on this machine, which ends with the batch.
        workers: Dask workers of that cluster.
        note: told what the user should know.
        patience: seconds; a worker that has not answered for so long is lost.

    Raises:
        UsageError: Dask is not installed, or no Dask worker can run the batch.
        ClusterUnreachable: the scheduler does not answer.

    Example:
        engine = DaskEngine("tcp://10.0.0.5:8786", 0, print)
        worker = engine.start(spec, wake)
    """

    def __init__(
        self, scheduler: str | None, workers: int, note: Callable[[str], None], patience: float = PATIENCE_SECONDS
    ) -> None:
        try:
            from batchq.engine.dask.cluster import Cluster
        except ImportError as error:
            raise UsageError(f"--engine dask: {error}", f"pip install 'batchq[dask]'. {WITHOUT_IT}") from error
        self._patience = patience
        self._clerk: Clerk | None = None
        self._agents: dict[Agent, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="batchq-dask", daemon=True)
        self._thread.start()
        self._cluster: Cluster = Cluster(scheduler, workers, patience, note)
        try:
            with hidden_main():
                self._do(self._open())
        except BaseException:
            self.close()
            raise

    @property
    def capacity(self) -> int:
        """Dask workers that can run a worker just now."""
        return self._cluster.capacity

    def start(self, spec: WorkerSpec, wake: Callable[[], None]) -> Agent:
        """Start a worker, on the first Dask worker that is free; returns at once."""
        agent = Agent(spec, self._loop, self._cluster.place, wake, self._patience, self._clerk_for)
        self._loop.call_soon_threadsafe(self._add, agent)
        return agent

    def close(self) -> None:
        """Let go of the cluster; workers that do not leave, as they were told to, are ended."""
        if not self._thread.is_alive():
            return
        with contextlib.suppress(Exception):  # whatever hinders it: the process goes on without the cluster
            self._do(self._close(), CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_SECONDS)
        if self._clerk is not None:
            self._clerk.close()

    def _clerk_for(self, settings: RecorderSettings) -> Clerk | None:
        """One for all workers, so that very many of them do not queue up to write; in quarantine each has its own."""
        if settings.at_once:
            return None
        if self._clerk is None or self._clerk.has_ended:
            self._clerk = Clerk(settings.path, settings.durability, stays=True)
        return self._clerk

    def _run(self) -> None:
        # What is started from here inherits the mask: Ctrl-C on a terminal is the supervisor's business.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, coroutine: Coroutine[Any, Any, _T], seconds: float | None = None) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    async def _open(self) -> None:
        await self._cluster.open()
        self._watch = self._loop.create_task(self._cluster.watch())

    def _add(self, agent: Agent) -> None:
        self._agents[agent] = task = self._loop.create_task(agent.run())
        task.add_done_callback(lambda _: self._agents.pop(agent))

    async def _close(self) -> None:
        for hurry in (False, True):
            for agent in list(self._agents) if hurry else ():
                agent.kill()
            if self._agents:
                await asyncio.wait(list(self._agents.values()), timeout=LEAVE_SECONDS / 2)
        if hasattr(self, "_watch"):
            self._watch.cancel()
        await self._cluster.close()
