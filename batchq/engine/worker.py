"""One worker: joins slots to a ledger and to a place on a board, whoever keeps these.

    Runner ── outcomes, attempts ──▶ Worker ──▶ ledger   (the Recorder of this process, or one elsewhere)
           ◀── items ───────────────        ◀── claims
                                            ◀─▶ place    (of the board, or of its image elsewhere)

In a process of the local pool it has the process to itself, see `process`; in a worker of a cluster it is a guest in a
thread, see `guest`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from collections.abc import Callable, Mapping
from typing import Final

from batchq.config import NAN_NULL
from batchq.engine.ahead import Ahead
from batchq.engine.board import Limits, Place
from batchq.engine.holding import Holding
from batchq.engine.job import Job
from batchq.engine.lifetime import Lifetime
from batchq.engine.limits import retry_config, share_of
from batchq.engine.lines import LineCleaner
from batchq.engine.needed import NeededByFailures
from batchq.engine.orders import LEFT_DRAINED, LEFT_FAILED, LEFT_STUCK, WorkerReport, WorkerSpec
from batchq.engine.pacing import Pacer
from batchq.engine.results import storing
from batchq.engine.retry import RetryHandler
from batchq.engine.reuse import reused
from batchq.engine.runner import Runner
from batchq.engine.surroundings import Surroundings
from batchq.engine.work import opened
from batchq.errors import BatchqError, DiskFull
from batchq.model import FailedAttempt, Item, Outcome, StageResult
from batchq.pace import Booking
from batchq.redaction import Redaction
from batchq.store.chunks import LANE_ALL, LANE_ALONE, Claim
from batchq.store.descriptors import too_many_files, used_up

WATCH_SECONDS: Final = 0.3
"""Between two looks at the beat: longer than the longest tick of the slots."""
HOLD_SECONDS: Final = 5.0
"""The supervisor sees within a quarter of a second that a budget is used up, unless it is dead."""

log = logging.getLogger(__name__)


def report_of(error: BaseException) -> WorkerReport:
    """How a worker left that failed with `error`; told as text, since it crosses a process."""
    known = too_many_files() if used_up(error) else error
    if isinstance(known, BatchqError):
        return WorkerReport(LEFT_FAILED, str(known), known.exit_code)
    log.error("the worker failed", exc_info=error)
    return WorkerReport.of_fault(error)


class Worker:
    """One worker: joins a runner to a ledger.

    Args:
        spec: what to do.
        place: its place on the board of its supervisor.
        surroundings: where it runs.
    """

    def __init__(self, spec: WorkerSpec, place: Place, surroundings: Surroundings) -> None:
        self._spec = spec
        self._place = place
        self._surroundings = surroundings
        self.orphaned = False
        self._report = WorkerReport(LEFT_DRAINED)
        self._limits: Limits | None = None
        self._has_worked = False
        self._last: FailedAttempt | None = None
        self._cleaner: LineCleaner | None = None
        self._lifetime = Lifetime(spec.spec.max_worker_memory)
        self._ended = threading.Event()
        self._abandoned = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runner: Runner = None  # type: ignore[assignment]  # made when what it runs is loaded
        self._ledger = surroundings.open_ledger(
            deliver=lambda claim, known: self._in_loop(self._take, claim, known),
            room=lambda: self._in_loop(self._make_room),
            failed=lambda error: self._in_loop(self._storage_failed, error),
        )
        self._holding = Holding(self._ledger)
        self._pacer = Pacer(self._ledger.enter, self._over_budget)

    @property
    def full(self) -> bool:
        """Whether nothing may begin: too much is uncommitted, or the server that items call is overloaded."""
        return self._ledger.full or self._place.held

    @property
    def is_busy(self) -> bool:
        """Whether handlers run in threads, which nothing can interrupt."""
        return self._runner is not None and bool(self._runner.slots.busy_threads)

    @property
    def is_fed(self) -> bool:
        """Whether every slot has an item, and others wait for one."""
        return self._runner is not None and bool(self._runner.backlog) and not self._runner.idle_slots

    async def run(self) -> WorkerReport:
        """Run until there is nothing left to do; everything is committed, and the rest put back, afterwards."""
        try:
            return await self._run()
        finally:
            self._ended.set()

    async def _run(self) -> WorkerReport:
        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        spec = self._spec.spec
        work = self._surroundings.load()
        needed = NeededByFailures()
        async with opened(work) as (resource, stages):
            job = Job(
                work.handler,
                RetryHandler(retry_config(spec), prepare=needed.load),
                spec.timeout,
                self._spec.batch_id,
                self._spec.key_prefix,
                self._spec.worker,
                resource,
                store=storing(spec.fail_empty, spec.nan == NAN_NULL),
                redaction=Redaction(spec.redact),
                stages=stages,
            )
            ahead = Ahead(self._surroundings.ahead_seconds)
            self._runner = Runner(job, self._spec.slots, self, self._place.seen, self._pacer, ahead)
            self._runner.calls_left = spec.max_tasks_per_worker or math.inf
            self._surroundings.name_items(self._runner.slots.item_here)
            if job.redaction:
                self._cleaner = LineCleaner(job.redaction, lambda: self._runner.slots.at_hand)
                self._surroundings.clean_lines(self._cleaner)
            self._surroundings.settled()
            self._ledger.start()
            self._place.enter()
            self._runner.start()
            self._obey_limits()
            if self._abandoned:
                self._abandon()
            threading.Thread(
                target=self._watch_loop, args=(self._loop, needed), name="batchq-beat", daemon=True
            ).start()
            await self._leave.wait()
            self._ledger.stop_wanting()
            await self._runner.drained()
            self._holding.put_back()
            self._ledger.close()
            await asyncio.to_thread(self._ledger.join)
        return self._report

    # What the runner calls, in the loop ----------------------------------------------------------------------

    def outcome(self, item: Item, outcome: Outcome) -> None:
        """Record an outcome, and ack the chunk with the last one of it."""
        self._ledger.record(outcome, self._last)
        self._last = None
        self._has_worked = True
        if outcome.failure is not None:
            self._place.count_failure()
        if self._cleaner is not None:
            self._cleaner.ended(item)
        self._holding.done(item)

    def attempt(self, item: Item, attempt: FailedAttempt) -> None:
        """Record a failed attempt; the last one of an item together with its outcome, which follows at once."""
        if attempt.delay_ms is None:
            self._last = attempt
        else:
            self._ledger.record_attempt(attempt)

    def stage(self, item: Item, result: StageResult) -> None:
        """Record what a stage has given."""
        self._ledger.record_stage(result)
        self._has_worked = True

    def low(self, want: int) -> None:
        """Claim up to `want` items."""
        if self._spec.lane == LANE_ALONE:
            want = 1
        self._ledger.want(want)

    def idle(self) -> None:
        """Commit before an idle wait."""
        self._ledger.hurry()

    def tick(self) -> None:
        """Look at the board."""
        self._place.tick()
        if self._runner.used_up:
            self._retire("it has run as many items as it may")
        if self._place.stop:
            self._leave.set()
        self._obey_limits()
        if self._has_worked and self._lifetime.is_over():
            self._retire("it needs too much memory")
        runner = self._runner
        if runner.backlog and runner.idle_slots and not self.full:
            runner.room()
        self._place.starving = bool(runner.idle_slots and not runner.backlog and not runner.stopping)
        if self._spec.lane == LANE_ALL:
            self._share()

    def _share(self) -> None:
        """Let others have what they can begin sooner."""
        runner = self._runner
        if self._leave.is_set():
            # Whoever comes in this one's place need not wait for its end.
            if gone := self._holding.hand_over(runner.not_in_flight):
                runner.forget(gone)
        elif runner.backlog and self._place.others_starve:
            kept = self._holding.give_back(runner.take_unbegun())
            if kept:
                runner.offer(kept)

    def _obey_limits(self) -> None:
        """Take over what was changed while the batch runs."""
        place = self._place
        self._runner.job.retry.see(*place.counts)
        slots = place.slots
        self._runner.resize(slots)
        place.obey(slots)
        if (limits := place.limits) == self._limits:
            return
        self._limits = limits
        self._runner.limit(limits.timeout_us / 1e6 or None, limits.retry_attempts)
        self._ledger.share(share_of(self._spec.spec.max_uncommitted, limits.workers), limits.workers)
        self._pacer.limit(limits.pace, limits.paced)

    def _retire(self, why: str) -> None:
        """Leave, so that a fresh worker takes this one's place: what is in flight finishes first."""
        if not self._leave.is_set():
            log.info("this worker is replaced: %s", why)
            self._place.retire()
            self._runner.stop()
            self._leave.set()

    def _over_budget(self, why: str) -> None:
        """Let nobody begin anything, until the supervisor has paused the batch."""
        log.warning("%s", why)
        self._place.hold(HOLD_SECONDS)

    def broken(self, error: BaseException) -> None:
        """Leave: a slot has ended by a fault of ours."""
        log.error("a slot has ended", exc_info=error)
        self._report = WorkerReport.of_fault(error)
        self._leave.set()

    def overloaded(self, item: Item, seconds: float) -> None:
        """Hold the whole batch back for so long, other workers too."""
        log.warning("item %s was answered with an overload: nothing begins for %.1f s", item.item_id, seconds)
        self._place.count_overload()
        self._hold(seconds)

    def hold(self, item: Item, seconds: float) -> None:
        """Likewise; the server can take as many at a time as before."""
        log.info("item %s has asked for it: nothing begins for %.1f s", item.item_id, seconds)
        self._hold(seconds)

    def _hold(self, seconds: float) -> None:
        self._place.hold_on((seconds, seconds))
        self._ledger.enter(Booking("hold", (seconds,)))

    def held(self) -> float:
        """For so many seconds yet the whole batch is held back, since the server that items call is overloaded."""
        return self._place.overload_seconds

    def halt(self, item: Item) -> None:
        """Begin nothing more, and ask the supervisor to stop the batch."""
        self._place.ask_to_halt(item.seq)
        self._runner.stop()

    def stuck(self, item: Item) -> bool:
        """Leave as soon as the neighbours are done: only the end of the process frees the slot."""
        log.warning("item %s still runs after its timeout; this worker will be replaced", item.item_id)
        self._report = WorkerReport(LEFT_STUCK)
        self._place.retire()
        self._runner.stop()
        self._leave.set()
        return False

    # What the ledger says, brought into the loop --------------------------------------------------

    def _take(self, claim: Claim, known: Mapping[int, str]) -> None:
        if not claim.open:
            self._leave.set()
            return
        if self._runner.stopping and self._spec.lane == LANE_ALL:
            # Whoever comes in this one's place would wait for them until what is in flight here has ended.
            for chunk, items in claim.chunks:
                self._ledger.give_back(chunk.message_id, items[0].seq)
            return
        taken = self._holding.take(claim)
        done = [item for item in taken if item.seq in known] if known else []
        if not self._runner.stopping:
            self._runner.offer([item for item in taken if item.seq not in known] if done else taken, len(done))
        for item in done:
            self.outcome(item, reused(item, known[item.seq], self._spec.worker))

    def _make_room(self) -> None:
        self._runner.room()

    def _storage_failed(self, error: Exception) -> None:
        if isinstance(error, DiskFull):
            self._place.tell_disk_full()
        self._report = WorkerReport(LEFT_FAILED, str(error), 74)
        self._leave.set()

    def abandon(self) -> None:
        """From any thread: cancel what is in flight, and leave; none of it is recorded."""
        self._abandoned = True
        if self._runner is not None:
            self._in_loop(self._abandon)

    def _abandon(self) -> None:
        self._runner.abandon()
        self._leave.set()

    def _in_loop(self, method: Callable[..., None], *arguments: object) -> None:
        """Call `method` in the event loop, from another thread."""
        if self._loop is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is left to be told
            self._loop.call_soon_threadsafe(method, *arguments)

    def _watch_loop(self, loop: asyncio.AbstractEventLoop, needed: NeededByFailures) -> None:
        """In a thread of its own: note who keeps the event loop while it stands still."""
        needed.load_aside()
        beat = 0
        while not self._ended.wait(WATCH_SECONDS):
            before, beat = beat, self._place.beat
            still = self._runner.slots.current(loop) if beat == before else None
            self._place.current = still.seq if still else 0

    def supervisor_gone(self) -> None:
        """From any thread: finish what is in flight, and begin nothing more."""
        self.orphaned = not self._place.stop
        if self.orphaned:
            log.warning("the supervisor is gone; finishing what is in flight")
        self._in_loop(self._leave.set)
