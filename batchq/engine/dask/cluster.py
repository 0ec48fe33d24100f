"""A Dask cluster as the engine of a batch: which of its workers there are, and how a guest gets to one of them.

    Cluster ── nthreads(), every second ──▶ scheduler       who is there
            ── submit(Guest, actor=True) ─▶ scheduler       once for each guest
    DaskLine ─ actor_execute() ───────────▶ Dask worker     directly, or by way of the scheduler

All of it lives in one event loop.  Of Dask only this module, `own_cluster` and `workers` know.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from distributed import Client, LocalCluster, wait
from distributed.protocol import to_serialize
from distributed.versions import VersionMismatchWarning

from batchq.engine.dask.agent import GuestForgotten, GuestLost, Line
from batchq.engine.dask.inquest import Found, Marks, inquest
from batchq.engine.dask.own_cluster import own_cluster
from batchq.engine.dask.parcels import pack
from batchq.engine.dask.shipping import Shipment
from batchq.engine.dask.workers import Fitness, run_on
from batchq.engine.orders import WorkerSpec
from batchq.engine.work import pickled_of
from batchq.errors import ClusterUnfit, ClusterUnreachable
from batchq.store.home import BatchFolder

if TYPE_CHECKING:
    from distributed import Future

LOOK_SECONDS: Final = 1.0
WAIT_SECONDS: Final = 60.0
"""A cluster without a worker, or without a scheduler, is waited for so long."""
CONNECT_SECONDS: Final = 10.0
CONNECT_GRACE: Final = 1.2
"""Dask has so many times as long, to say itself that it was in vain, and why."""
CLOSE_SECONDS: Final = 5.0
DIRECT_SECONDS: Final = 3.0
"""A Dask worker that cannot be reached directly within that is called by way of the scheduler."""
TRIES: Final = 3
"""Guests that could not be made, whereupon no other one is tried."""
AROUND_SECONDS: Final = 10.0
"""On a machine without nannies another Dask worker may come by then, and tell what has become of the one before."""
INQUEST_SECONDS: Final = 3.0
"""An inquest takes one; a nanny that has ended together with its Dask worker never answers."""

SET_UP: Final = "That is a matter of Dask's own configuration here: of TLS the settings distributed.comm.tls."

log = logging.getLogger(__name__)


class Cluster:
    """A Dask cluster.

    Args:
        scheduler: its address; None to start one on this machine.
        workers: of a cluster that is started.
        patience: seconds; see `Guest`.
        note: told what the user should know.
    """

    def __init__(self, scheduler: str | None, workers: int, patience: float, note: Callable[[str], None]) -> None:
        self._scheduler = scheduler
        self._workers = workers
        self._patience = patience
        self._note = note
        self._local: LocalCluster | None = None
        self._client: Client | None = None
        self._there: frozenset[str] = frozenset()
        self._fitness = Fitness(note)
        self._known: set[str] = set()
        self._nannies: dict[str, str] = {}
        self._taken: set[str] = set()
        self._shunned: dict[str, float] = {}
        self._shipment: Shipment | None = None
        self._away_since: float | None = None
        self._refused: list[str] = []

    @property
    def name(self) -> str:
        """The scheduler, for messages."""
        return self._scheduler or "the Dask cluster of this batch"

    @property
    def capacity(self) -> int:
        """Dask workers on which a guest can run, or one was put: that of one which is gone is missed a little later."""
        return len(self._fit() | self._taken)

    @property
    def is_own(self) -> bool:
        """Whether it was started for this batch, on this machine."""
        return self._scheduler is None

    async def open(self) -> None:
        """Connect, and see who is there.

        Raises:
            ClusterUnreachable: the scheduler does not answer.
            ClusterUnfit: it has another Python or another batchq.
        """
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is told in other words
        warnings.filterwarnings("ignore", category=VersionMismatchWarning)  # likewise
        if self._scheduler is None:
            self._local = await own_cluster(self._workers)
        await self._connect(CONNECT_SECONDS)
        await self._look()
        await self._fitness.settled()
        if self._fitness.why_not and not self._fit():
            raise ClusterUnfit(self._fitness.why_not[0])

    async def watch(self) -> None:
        """See, again and again, who is there."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await asyncio.wait_for(self._look(), self._patience)
                if self._away_since is not None:
                    self._tell(f"{self.name} is back")
                self._away_since = None
            except Exception:  # whatever Dask raises when it loses its scheduler
                if self._away_since is None:
                    self._away_since = time.monotonic()
                    self._tell(f"{self.name} does not answer; waiting for it")

    def _tell(self, what: str) -> None:
        """Tell whoever looks on, and the log: nobody may look on."""
        log.warning("%s", what)
        self._note(what)

    async def close(self) -> None:
        """Let go of the cluster; one that was started for this batch ends."""
        for each in (self._client, self._local):
            if each is not None:
                with contextlib.suppress(OSError, asyncio.TimeoutError):
                    await asyncio.wait_for(each.close(), CLOSE_SECONDS)

    async def place(self, spec: WorkerSpec, slots: int, is_wanted: Callable[[], bool]) -> Line | None:
        """Put a guest on a Dask worker that has none; None once it is no longer wanted.

        Raises:
            ClusterUnreachable: there is no scheduler, or no worker, for too long.
        """
        since = time.monotonic()
        while is_wanted():
            free = sorted(self._fit() - self._taken)
            if free and self._away_since is None:
                self._taken.add(free[0])
                line = await self._put(free[0], spec, slots)
                if line is not None:
                    return line
                self.leave(free[0], shun=True)
                if len(self._refused) >= TRIES:
                    raise ClusterUnreachable(self.name, f"no worker can be put there: {self._refused[-1]}")
            if self._fit() and self._away_since is None:
                since = time.monotonic()
            elif time.monotonic() - since > WAIT_SECONDS:
                raise self._why_not()
            await asyncio.sleep(LOOK_SECONDS / 5)
        return None

    def leave(self, address: str, shun: bool) -> None:
        """A Dask worker has no guest any more; one that did not answer is left alone for a while."""
        self._taken.discard(address)
        if shun:
            self._shunned[address] = time.monotonic() + self._patience

    async def ask_around(self, address: str, marks: Marks, spare: bool) -> Found | None:
        """As `inquest`, by the nanny of a Dask worker or another one of its machine; None where nobody there answers.

        Args:
            address: of the Dask worker.
            marks: of its guest.
            spare: see `inquest`.
        """
        if self.is_own:
            return await asyncio.to_thread(inquest, marks, spare)
        host = urlsplit(address).hostname
        deadline = time.monotonic() + AROUND_SECONDS
        while time.monotonic() < deadline:
            others = [other for other in self._there - {address} if urlsplit(other).hostname == host]
            for whom in filter(None, [self._nannies.get(address), *others]):
                with contextlib.suppress(OSError, asyncio.TimeoutError, AttributeError):  # there may be no client
                    asked = run_on(self._client, whom, inquest, marks, spare)
                    return cast(Found, await asyncio.wait_for(asked, INQUEST_SECONDS))
            await asyncio.sleep(LOOK_SECONDS / 2)
        return None

    def _fit(self) -> frozenset[str]:
        now = time.monotonic()
        return frozenset(
            address for address in self._there if self._fitness.of(address) and self._shunned.get(address, 0.0) <= now
        )

    def _why_not(self) -> ClusterUnreachable:
        if self._away_since is not None:
            return ClusterUnreachable(self.name, f"it has not answered for {WAIT_SECONDS:g} s")
        return ClusterUnreachable(self.name, f"it has had no worker for {WAIT_SECONDS:g} s")

    async def _connect(self, seconds: float) -> None:
        address: Any = self._local or self._scheduler
        client: Client | None = None
        try:
            client = Client(address, asynchronous=True, set_as_default=False, name="batchq", timeout=seconds)
            # Dask's own limit does not hold where something else accepts the connection and says nothing.
            self._client = await asyncio.wait_for(client, seconds * CONNECT_GRACE)
        except (OSError, asyncio.TimeoutError) as error:
            raise ClusterUnreachable(self.name, str(error) or "it does not answer as a Dask scheduler does") from error
        except (ValueError, TypeError, RuntimeError) as error:
            if self.name.startswith("tcp:"):  # a Dask worker, say
                raise ClusterUnreachable(self.name, f"what answers there is no Dask scheduler: {error}") from error
            raise ClusterUnreachable(self.name, str(error), SET_UP) from error  # Dask is not set up for its kind
        finally:
            if client is not None and client is not self._client:
                with contextlib.suppress(Exception):  # whatever hinders it: it was never there
                    await asyncio.wait_for(client.close(), CLOSE_SECONDS)

    async def _look(self) -> None:
        """Who is there; a client that has given the scheduler up is replaced by another one."""
        if self._client is None or self._client.status in ("closed", "closing", "newly-created"):
            await self._connect(CONNECT_SECONDS)
        assert self._client is not None
        if self._client.status != "running":
            raise OSError("the scheduler is away")
        self._there = frozenset(await self._client.nthreads())
        if self._there - self._known:
            about = await self._client.scheduler.identity()
            self._nannies.update((each, its["nanny"]) for each, its in about["workers"].items() if its["nanny"])
            self._known |= self._there
        self._fitness.see(self._client, self._there)

    async def _put(self, address: str, spec: WorkerSpec, slots: int) -> DaskLine | None:
        """A guest on that Dask worker; None where that does not work."""
        client = self._client
        assert client is not None
        if self._shipment is None:
            self._shipment = await asyncio.to_thread(
                lambda: Shipment.of(spec.spec, pickled_of(spec.spec, BatchFolder(spec.folder)))
            )
        told = replace(spec, spec=replace(spec.spec, notify=(), on_finish=None, out=None))
        packed = pack((told, self._shipment, slots, self._patience, self.is_own))
        try:
            future = client.submit(
                _settle,
                packed,
                key=f"batchq-{spec.key_prefix}-{spec.worker}",
                actor=True,
                workers=[address],
                allow_other_workers=False,
                pure=False,
            )
            with client.as_current():
                await wait(future, timeout=CONNECT_SECONDS)
            if future.status == "error":
                why = await future.exception()
                self._refused.append(f"{type(why).__name__}: {why}")
            if future.status != "finished":
                return None
            return DaskLine(self, client, address, future, await self._is_near(address))
        except Exception as error:  # whatever Dask raises when it loses its scheduler
            log.warning("no worker can be put on %s: %s: %s", address, type(error).__name__, error)
            return None

    async def _is_near(self, address: str) -> bool:
        """Whether this process reaches that Dask worker directly."""
        try:
            await asyncio.wait_for(self._client.rpc(address).identity(), DIRECT_SECONDS)  # type: ignore[union-attr]
        except (OSError, asyncio.TimeoutError):
            return False
        return True


class DaskLine:
    """The way to a guest on a Dask worker.

    Args:
        cluster: where that is.
        client: through which it was put there.
        address: of the Dask worker.
        future: of the actor.
        is_near: it is called directly, not by way of the scheduler.
    """

    def __init__(self, cluster: Cluster, client: Client, address: str, future: Future, is_near: bool) -> None:
        self._cluster = cluster
        self._client = client
        self._address = address
        self._future = future
        self._is_near = is_near
        self.name = f"the Dask worker {address}"

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the guest, see `agent.Line`."""
        if self._future.status != "finished":
            raise self._gone()
        message = {"function": method, "actor": self._future.key, "args": [to_serialize(each) for each in arguments]}
        try:
            if self._is_near:
                answer = await self._client.rpc(self._address).actor_execute(**message)
            else:
                answer = await self._client.scheduler.proxy(
                    worker=self._address, msg={"op": "actor_execute", **message}
                )
        except (KeyError, AttributeError) as error:  # the Dask worker, or the scheduler, has forgotten it
            raise self._gone() from error
        if answer["status"] != "OK":
            raise answer["exception"]
        return answer["result"]

    def _gone(self) -> GuestLost:
        if self._future.status == "cancelled" or self._client.status != "running":
            return GuestForgotten("the connection to the scheduler was lost")
        return GuestLost("its process is gone")

    async def ask_around(self, marks: Marks, spare: bool) -> Found | None:
        """Ask on the guest's machine, see `inquest`."""
        return await self._cluster.ask_around(self._address, marks, spare)

    def close(self, shun: bool) -> None:
        """Nobody needs the guest any more."""
        self._cluster.leave(self._address, shun)
        self._future.release()


def _settler() -> Callable[[bytes], Any]:
    """Makes a guest of what `pack` made; sent by value, so that the scheduler needs no batchq."""

    def settle(packed: bytes) -> Any:
        import importlib
        import pickle

        from distributed import get_worker

        worker = get_worker()
        guest = importlib.import_module("batchq.engine.dask.guest").Guest
        return guest(*pickle.loads(packed), lambda: worker.status.name in ("closing", "closed", "failed"))

    return settle


_settle: Final = _settler()
