"""A worker process: claim, run, record, and watch the supervisor. Its one entry is `work`.

supervisor ── WorkerSpec ──▶ work() ── loop with slots (Runner)
           ── pipe ────────▶ watch thread: closed means that the supervisor is dead
           ◀─ board ───────▶ what is begun here; stop; who starves
                             Recorder thread ◀──▶ batch.db
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Final

from batchq.config import RetryConfig
from batchq.engine.board import Board
from batchq.engine.job import Job
from batchq.engine.logs import log_to, name_items
from batchq.engine.results import storing
from batchq.engine.retry import RetryHandler
from batchq.engine.runner import Runner
from batchq.errors import BatchqError
from batchq.handlers import Handler, entered, load_handler, load_target, unpickle
from batchq.model import BatchSpec, FailedAttempt, Item, Outcome
from batchq.store.chunks import LANE_ALL, LANE_ALONE, Claim
from batchq.store.home import BatchFolder, FileLock
from batchq.store.reading import BatchReader
from batchq.store.recorder import Recorder, RecorderSettings

ORPHAN_SECONDS: Final = 5.0
"""What is in flight has so long to finish after the supervisor has died."""
WATCH_SECONDS: Final = 0.2
"""Between two looks at the beat: longer than a tick of the slots."""
GIVE_BACK_SECONDS: Final = 0.2
"""Items that were not begun for so long go to a worker that has nothing."""
SWITCH_SECONDS: Final = 0.0005
"""Python's switch interval: each statement of the recorder waits so long for a loop that is busy."""
COLLECT_AFTER: Final = 50_000
"""Allocations between two collections: payloads make many objects and no cycles."""
LEFT_DRAINED, LEFT_STUCK, LEFT_FAILED = "drained", "stuck", "failed"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker is told.

    Attributes:
        folder: the batch's folder.
        batch_id: the batch.
        key_prefix: of which idempotency keys are made.
        spec: the batch's specification.
        epoch: the supervisor's epoch.
        worker: its number, unique in the batch.
        place: its place on the board.
        slots: items in flight here.
        claimants: workers that share what is ready.
        lane: which chunks it claims; above 0 it is a quarantine process.
    """

    folder: Path
    batch_id: str
    key_prefix: str
    spec: BatchSpec
    epoch: int
    worker: int
    place: int
    slots: int
    claimants: int
    lane: int = LANE_ALL

    @property
    def claimant(self) -> str:
        """The worker's name in the chunk queue."""
        return str(self.worker)


@dataclass(frozen=True)
class WorkerReport:
    """How a worker left; it crosses the pipe back to the supervisor."""

    left: str
    reason: str = ""
    exit_code: int = 0

    @classmethod
    def of_fault(cls, error: BaseException) -> WorkerReport:
        """A worker that failed by no item and no mistake of the user; told as text, since it crosses a pipe."""
        return cls(LEFT_FAILED, f"a worker failed: {type(error).__name__}: {error}", 70)


_inherited: list[Pipe] = []
"""The pipe of this process: a connection can be handed over only while the process is being started."""


def prepare(parent: Pipe) -> None:
    """What a worker process does before anything else: Ctrl-C is the supervisor's business.

    Args:
        parent: read end of a pipe that the supervisor alone can write to; it closes when the supervisor dies.
    """
    _inherited.append(parent)
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
    board = Board(folder.board)
    worker = Worker(spec, folder, board, _inherited[0], lock)
    try:
        report = asyncio.run(worker.run())
    except BatchqError as error:
        report = WorkerReport(LEFT_FAILED, str(error), error.exit_code)
    except BaseException as error:  # whatever it is: an exception of the user's may not cross a pipe
        log.exception("the worker failed")
        report = WorkerReport.of_fault(error)
    worker.depart()
    return report


class Worker:
    """One worker: joins a runner to a recorder.

    Args:
        spec: what to do.
        folder: the batch's folder.
        board: the board of this supervisor.
        parent: closes when the supervisor dies.
        lock: this worker's, which it holds.
    """

    def __init__(self, spec: WorkerSpec, folder: BatchFolder, board: Board, parent: Pipe, lock: FileLock) -> None:
        self._spec = spec
        self._folder = folder
        self._lock = lock
        self._place = board.place(spec.place)
        self._parent = parent
        self.orphaned = False
        self._open: dict[int, set[int]] = {}
        self._claimed_at: dict[int, float] = {}
        self._report = WorkerReport(LEFT_DRAINED)
        self._recorder = Recorder(
            RecorderSettings(
                path=folder.database,
                durability=spec.spec.durability,
                claimant=spec.claimant,
                epoch=spec.epoch,
                claimants=spec.claimants,
                chunk_size=spec.spec.chunk_size,
                lane=spec.lane,
                max_uncommitted=-(-spec.spec.max_uncommitted // spec.claimants),
                at_once=spec.lane != LANE_ALL,
            ),
            deliver=lambda claim: self._in_loop(self._take, claim),
            room=lambda: self._in_loop(self._make_room),
            failed=lambda error: self._in_loop(self._storage_failed, error),
        )

    @property
    def full(self) -> bool:
        """Whether nothing may begin: too much is uncommitted, or the server that items call is overloaded."""
        return self._recorder.full or self._place.held

    async def run(self) -> WorkerReport:
        """Run until there is nothing left to do; everything is committed, and the rest put back, afterwards."""
        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        threading.Thread(target=self._watch_parent, name="batchq-watch", daemon=True).start()
        spec = self._spec.spec
        handler = self._load_handler()
        setup = load_target(spec.setup, Path(spec.folder)) if spec.setup else None
        async with entered(setup) as resource:
            job = Job(
                handler,
                RetryHandler(retry_config(spec)),
                spec.timeout,
                self._spec.batch_id,
                self._spec.key_prefix,
                self._spec.worker,
                resource,
                store=storing(spec.fail_empty),
            )
            self._runner = Runner(job, self._spec.slots, self, self._place.seen)
            name_items(self._runner.item_here)
            gc.freeze()
            gc.set_threshold(COLLECT_AFTER)
            self._recorder.start()
            self._place.enter()
            self._runner.start()
            threading.Thread(target=self._watch_loop, name="batchq-beat", daemon=True).start()
            await self._leave.wait()
            self._recorder.stop_wanting()
            await self._runner.drained()
            for message_id, seqs in self._open.items():
                self._recorder.put_back(message_id, sorted(seqs))
            self._recorder.close()
            await asyncio.to_thread(self._recorder.join)
        if self.orphaned or self._report.left == LEFT_STUCK:
            # Nobody is there to report to; or something that has timed out goes on, and nothing but the end of the
            # process ends it.
            self.depart()
            logging.shutdown()
            os._exit(0)
        return self._report

    def depart(self) -> None:
        """Everything is committed: whatever the process does from here on is no crash."""
        self._place.leave()
        self._lock.remove()

    def _load_handler(self) -> Handler:
        spec = self._spec.spec
        if spec.pickled_by is None:
            return load_handler(spec.target, Path(spec.folder))
        with closing(BatchReader.open(self._folder.database)) as reader:
            pickled, _ = reader.handler()
        return unpickle(pickled or b"", spec.target, Path(spec.folder), spec.pickled_by)

    # What the runner calls, in the loop ----------------------------------------------------------------------

    def outcome(self, item: Item, outcome: Outcome) -> None:
        """Record an outcome, and ack the chunk with the last one of it."""
        self._recorder.record(outcome)
        left = self._open[item.message_id]
        left.discard(item.seq)
        if not left:
            self._close(item.message_id)

    def attempt(self, item: Item, attempt: FailedAttempt) -> None:
        """Record a failed attempt."""
        self._recorder.record_attempt(attempt)

    def low(self, want: int) -> None:
        """Claim up to `want` items."""
        if self._spec.lane == LANE_ALONE:
            want = 1
        self._recorder.want(want)

    def idle(self) -> None:
        """Commit before an idle wait."""
        self._recorder.hurry()

    def tick(self) -> None:
        """Look at the board."""
        self._place.tick()
        if self._place.stop:
            self._leave.set()
        runner = self._runner
        if runner.backlog and runner.idle_slots and not self.full:
            runner.room()
        self._place.starving = bool(runner.idle_slots and not runner.backlog and not runner.stopping)
        if runner.backlog and self._spec.lane == LANE_ALL and self._place.others_starve:
            self._give_back()

    def broken(self, error: BaseException) -> None:
        """Leave: a slot has ended by a fault of ours."""
        log.error("a slot has ended", exc_info=error)
        self._report = WorkerReport.of_fault(error)
        self._leave.set()

    def overloaded(self, item: Item, seconds: float) -> None:
        """Hold the whole batch back for so long, other workers too."""
        log.warning("item %s was answered with an overload: nothing begins for %.1f s", item.item_id, seconds)
        self._place.hold(seconds)

    def halt(self, item: Item) -> None:
        """Begin nothing more, and ask the supervisor to stop the batch."""
        self._place.ask_to_halt(item.seq)
        self._runner.stop()

    def stuck(self, item: Item) -> bool:
        """Leave as soon as the neighbours are done: only the end of the process frees the slot."""
        log.warning("item %s still runs after its timeout; this worker will be replaced", item.item_id)
        self._report = WorkerReport(LEFT_STUCK)
        self._runner.stop()
        self._leave.set()
        return False

    # What the recorder's thread says, brought into the loop --------------------------------------------------

    def _take(self, claim: Claim) -> None:
        if not claim.open:
            self._leave.set()
            return
        now = time.monotonic()
        taken: list[Item] = []
        for chunk, items in claim.chunks:
            self._open[chunk.message_id] = {item.seq for item in items}
            self._claimed_at[chunk.message_id] = now
            taken.extend(items)
        if not self._runner.stopping:
            self._runner.offer(taken)

    def _make_room(self) -> None:
        self._runner.room()

    def _storage_failed(self, error: Exception) -> None:
        log.error("the batch's file cannot be written: %s", error)
        self._report = WorkerReport(LEFT_FAILED, f"cannot write the batch's file: {error}", 74)
        self._leave.set()

    def _give_back(self) -> None:
        """Give items that were not begun to a worker that has nothing."""
        now = time.monotonic()
        unbegun = self._runner.take_unbegun()
        by_message: dict[int, list[Item]] = {}
        for item in unbegun:
            by_message.setdefault(item.message_id, []).append(item)
        keep: list[Item] = []
        for message_id, items in by_message.items():
            if now - self._claimed_at[message_id] < GIVE_BACK_SECONDS:
                keep.extend(items)
                continue
            still = self._open[message_id]
            start = _start_of_rest(still, items)
            keep.extend(item for item in items if item.seq < start)
            gone = {item.seq for item in items if item.seq >= start}
            if gone:
                self._recorder.give_back(message_id, start)
                still -= gone
                if not still:
                    self._close(message_id)
        if keep:
            self._runner.offer(keep)

    def _close(self, message_id: int) -> None:
        del self._open[message_id]
        del self._claimed_at[message_id]
        self._recorder.finish(message_id)

    def _in_loop(self, method: Callable[..., None], *arguments: object) -> None:
        """Call `method` in the event loop, from another thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is left to be told
            self._loop.call_soon_threadsafe(method, *arguments)

    def _watch_loop(self) -> None:
        """In a thread of its own: note who keeps the event loop while it stands still."""
        beat = 0
        while True:
            time.sleep(WATCH_SECONDS)
            before, beat = beat, self._place.beat
            still = self._runner.current() if beat == before else None
            self._place.current = still.seq if still else 0

    def _watch_parent(self) -> None:
        """In a thread of its own: a loop that is blocked must not keep a dead supervisor's worker alive."""
        try:
            self._parent.recv_bytes()
        except (EOFError, OSError):
            self.orphaned = not self._place.stop
        if self.orphaned:
            log.warning("the supervisor is gone; finishing what is in flight")
        self._in_loop(self._leave.set)
        time.sleep(ORPHAN_SECONDS)
        os._exit(1)


def _start_of_rest(still: set[int], unbegun: Sequence[Item]) -> int:
    """The first seq from which on a chunk holds items only that were not begun."""
    begun = still.difference(item.seq for item in unbegun)
    return max([unbegun[0].seq, *(seq + 1 for seq in begun)])


def retry_config(spec: BatchSpec) -> RetryConfig:
    """The retry settings of a batch."""
    return RetryConfig(
        spec.retry_attempts,
        spec.retry_backoff,
        spec.retry_delay,
        spec.retry_max_delay,
        spec.retry_jitter,
        spec.no_retry,
        spec.retry_on,
        spec.retry_budget,
    )
