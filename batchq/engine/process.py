"""A worker process of this machine: what surrounds a `Worker` there. Its one entry is `work`.

supervisor ── WorkerSpec ──▶ work() ── loop with slots (Worker, Runner)
           ── pipe ────────▶ watch thread: closed means that the supervisor is dead
           ◀─ board ───────▶ what is begun here; stop; who starves
                             Recorder thread ◀──▶ batch.db
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - now, since later a handler may have used up all descriptors
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection as Pipe
from typing import Final

from batchq.engine import event_loop
from batchq.engine.board import Board
from batchq.engine.limits import share_of
from batchq.engine.logs import clean_lines, log_to, name_items
from batchq.engine.orders import LEFT_FAILED, LEFT_STUCK, WorkerReport, WorkerSpec
from batchq.engine.parent import Parent
from batchq.engine.reuse import Reuse
from batchq.engine.surroundings import Surroundings
from batchq.engine.work import stored_work
from batchq.engine.worker import Worker, report_of
from batchq.leaving import QuickExit
from batchq.ready import Work
from batchq.store.chunks import LANE_ALL, Claim
from batchq.store.home import BatchFolder
from batchq.store.recorder import Recorder, RecorderSettings

SWITCH_SECONDS: Final = 0.0005
"""Python's switch interval: each statement of the recorder waits so long for a loop that is busy."""
COLLECT_AFTER: Final = 50_000
"""Allocations between two collections: payloads make many objects and no cycles."""

log = logging.getLogger(__name__)


_inherited: list[tuple[Parent, QuickExit]] = []
"""This process's supervisor, whose pipe can be handed over only while the process is being started; and its end."""


def prepare(parent: Pipe) -> None:
    """What a worker process does before anything else: Ctrl-C is the supervisor's business.

    Args:
        parent: read end of a pipe that the supervisor alone can write to; it closes when the supervisor dies.
    """
    _inherited.append((Parent(parent), QuickExit()))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    # Its own group: killing a hung worker takes the children of its handlers along.
    os.setpgid(0, 0)
    sys.setswitchinterval(SWITCH_SECONDS)


def work(spec: WorkerSpec) -> WorkerReport:
    """Run items of the batch until none is left, or until told to leave."""
    folder = BatchFolder(spec.folder)
    log_to(folder.log, f"worker {spec.worker}")
    if os.path.isdir(spec.spec.cwd):
        os.chdir(spec.spec.cwd)
    lock = folder.worker_lock(spec.claimant)
    if not lock.acquire():
        return WorkerReport(LEFT_FAILED, f"another process holds {lock.path}", 70)
    place = Board(folder.board).place(spec.place)
    parent, quick_exit = _inherited[0]
    here = _Here(spec, parent)
    surroundings = Surroundings(here.open_ledger, here.load, _settle_down, name_items, clean_lines)
    worker = Worker(spec, place, surroundings)

    def depart() -> None:
        """Everything is committed: whatever the process does from here on is no crash."""
        place.leave()
        lock.remove()
        logging.shutdown()

    try:
        report = event_loop.run(_run(worker, here, depart))
    except BaseException as error:  # whatever it is: an exception of the user's may not cross a pipe
        report = report_of(error)
    depart()
    quick_exit.code = 0
    return report


async def _run(worker: Worker, here: _Here, depart: Callable[[], None]) -> WorkerReport:
    here.parent.when_gone(worker.supervisor_gone)
    report = await worker.run()
    here.reuse.close()
    if worker.orphaned or report.left == LEFT_STUCK:
        # Nobody is there to report to; or what has timed out goes on, and only the end of the process ends it.
        here.abandon()
        depart()
        os._exit(0)
    return report


class _Here:
    """What a worker of this process works with.

    Args:
        spec: what the worker is told.
        parent: the supervisor.
    """

    def __init__(self, spec: WorkerSpec, parent: Parent) -> None:
        self.parent = parent
        self.abandon: Callable[[], None] = lambda: None
        self._spec = spec
        self._folder = BatchFolder(spec.folder)
        self.reuse = Reuse(spec.spec, self._folder)

    def open_ledger(
        self,
        *,
        deliver: Callable[[Claim, Mapping[int, str]], None],
        room: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> Recorder:
        """The recorder, beside which results of earlier batches are looked up."""
        reuse = self.reuse
        return Recorder(
            settings_of(self._spec),
            deliver=lambda claim: deliver(claim, reuse.known(claim)),
            room=room,
            failed=failed,
            committed=lambda due: reuse.keep(due.outcomes),
        )

    def load(self) -> Work:
        """What the batch runs."""
        work = stored_work(self._spec.spec, self._folder)
        self.abandon = work.abandon
        self.parent.before_end(work.abandon)
        self.reuse.check(*work.functions)
        return work


def settings_of(spec: WorkerSpec) -> RecorderSettings:
    """How the recorder of a worker works."""
    return RecorderSettings(
        path=BatchFolder(spec.folder).database,
        durability=spec.spec.durability,
        claimant=spec.claimant,
        epoch=spec.epoch,
        claimants=spec.claimants,
        chunk_size=spec.spec.chunk_size,
        lane=spec.lane,
        max_uncommitted=share_of(spec.spec.max_uncommitted, spec.claimants),
        at_once=spec.lane != LANE_ALL,
        stages=len(spec.spec.stages),
    )


def _settle_down() -> None:
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
