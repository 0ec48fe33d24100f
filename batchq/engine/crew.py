"""The workers of one batch: how many run, in which lanes, and what follows when one dies."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from batchq.engine.board import Board, Limits
from batchq.engine.failures import describe
from batchq.engine.hooks import Ending
from batchq.engine.limits import Stake, retry_config, settle, shares
from batchq.engine.local import Engine, WorkerHandle
from batchq.engine.orders import LEFT_FAILED, WorkerSpec
from batchq.engine.quarantine import Verdict, judge_alone, lane_to_run, quarantine_lanes
from batchq.engine.recovery import INTERRUPTIONS
from batchq.engine.retry import RetryHandler
from batchq.engine.watchdog import ABANDONED, Watchdog
from batchq.errors import ItemTimeout
from batchq.leftovers import end_commands, signal_commands
from batchq.model import HALTED, WORKERS_PER_SESSION, BatchRow, FailedAttempt
from batchq.pace import budgets_of, paced_by, rates_of
from batchq.spec import BatchSpec
from batchq.store.batch import BatchStore, Progress
from batchq.store.chunks import LANE_ALL, LANE_ALONE
from batchq.store.home import BatchFolder

START_FAILURES: Final = 3
"""Workers in a row that die before they have begun anything: the fault is not an item's."""
LEAVE_SECONDS: Final = 5.0
FEW_ITEMS: Final = 50
"""What one worker may have done before another, started beside it and slowing it down, has even begun …"""
HEAD_START_SECONDS: Final = 0.5
"""… so that it gets so long for it; the others come then, for what is left."""
SPARE_PLACES: Final = 16
SPARE_SLOTS: Final = 8192
"""Room on every board; for more than that `set` lets all workers be replaced."""

log = logging.getLogger(__name__)


@dataclass
class _Place:
    """A worker's place: a share of the slots (none: it stays vacant), and whoever fills it now."""

    index: int
    slots: int = 0
    retiring: bool = False
    worker: WorkerHandle | None = None
    failures: int = 0


class Crew:
    """The workers of one supervisor.

    Args:
        folder: the batch.
        store: its file.
        row: its row, with its limits.
        epoch: the supervisor's epoch.
        engine: what runs workers.
        wake: set when one of them ends.
        gives_up: whether everything is to be abandoned.
    """

    def __init__(
        self,
        folder: BatchFolder,
        store: BatchStore,
        row: BatchRow,
        epoch: int,
        engine: Engine,
        wake: threading.Event,
        gives_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._folder = folder
        self._store = store
        self._row = row
        self._epoch = epoch
        self._engine = engine
        self._wake = wake
        self._gives_up = gives_up
        self._started = 0
        self._alone_since = -math.inf
        self._places: list[_Place] = []
        self._watchdog: Watchdog | None = None
        self._quarantining = True
        self._next_lane = max([LANE_ALONE, *store.queue.quarantined()]) + 1
        self.fault: Ending | None = None
        """How the batch has to end, because its workers cannot run at all."""

    def open(self, row: BatchRow) -> None:
        """Make a board for the limits of `row`, while no worker lives; before that, `judge` alone may be called."""
        parts = shares(row.spec.concurrency, row.spec.workers)
        # With room to spare, so that `set` is felt at once.
        places = max(SPARE_PLACES, 2 * len(parts))
        self.board = Board(self._folder.board, places, max(SPARE_SLOTS, 4 * max(parts)))
        self._places = [_Place(index) for index in range(places)]
        self._pace = 0
        self.relimit(row)
        self.close()
        self._watchdog = Watchdog(self.board, self._living, lambda: self._row.spec.timeout, self._gives_up)

    def close(self) -> None:
        """Watch over nobody any more."""
        if self._watchdog is not None:
            self._watchdog.close()

    def _living(self) -> list[tuple[int, WorkerHandle]]:
        return [(place.index, worker) for place in self._places if (worker := place.worker) is not None]

    def fits(self, spec: BatchSpec) -> bool:
        """Whether the board has room for the limits of `spec`."""
        parts = shares(spec.concurrency, spec.workers)
        return len(parts) <= self.board.places and max(parts) <= self.board.slots

    def relimit(self, row: BatchRow, concurrency: int | None = None) -> None:
        """Let the limits of `row` hold, for those that live and those that come.

        Args:
            row: the batch's row.
            concurrency: items in flight, where that is for now less than the row says.
        """
        spec = row.spec
        if not self._pace or spec.rates != self._row.spec.rates:
            self._pace += 1
        self._row = row
        self._concurrency = concurrency or spec.concurrency
        parts = shares(self._concurrency, spec.workers)
        paced = paced_by(rates_of(spec.rates), budgets_of(spec.budgets))
        timeout_us = int((spec.timeout or 0) * 1e6)
        self.board.set_limits(Limits(timeout_us, spec.retry_attempts, self._pace, paced, len(parts)))
        self._seat()

    def replace_all(self) -> None:
        """Let fresh workers come beside those that live, which were told to leave."""
        for place in self._places:
            if place.worker is not None:
                place.retiring = True
        self._seat()

    def _seat(self) -> None:
        """Give the shares of the concurrency to places: those of workers that stay come first, then vacant ones."""
        self._capacity = capacity = self._engine.capacity
        workers = self._row.spec.workers if capacity is None else max(1, min(capacity, self._row.spec.workers))
        parts = [min(slots, self.board.slots) for slots in shares(self._concurrency, workers)]
        stay = [place for place in self._places if not place.retiring]
        stay.sort(key=lambda place: (place.worker is None or place.worker.is_done(), place.index))
        for place in self._places:
            place.slots = 0
        for place, slots in zip(stay, parts, strict=False):
            place.slots = slots
        for place in self._places:
            if place.worker is not None and not place.slots:
                here = self.board.place(place.index)
                here.ask_to_stop()
                here.allow(0)
        self._settled = False
        self.share_out()

    def _see_who_retires(self) -> None:
        """A worker that leaves by itself finishes what is in flight; a fresh one has its share meanwhile."""
        retiring = [
            place
            for place in self._places
            if place.worker is not None and not place.retiring and self.board.place(place.index).retiring
        ]
        for place in retiring:
            place.retiring = True
        if retiring:
            self._seat()

    def share_out(self) -> None:
        """Give each worker that lives its share of the slots, and never more than the concurrency to all of them.

        What one has in flight beyond its share counts until it ends, so that another gets its own only then; and one
        gives up slots only when another is there to use them.
        """
        if self._settled:
            return
        living = [
            Stake(
                here,
                0 if not place.slots else 1 if place.worker.spec.lane == LANE_ALONE else place.slots,
                here.slots,
                here.obeyed,
                len(here.begun),
                here.entered,
            )
            for place in self._places
            if place.worker is not None and (here := self.board.place(place.index))
        ]
        self._settled = settle(living, self._concurrency)

    @property
    def overloads(self) -> int:
        """How often a worker that lives was told that the server which items call is overloaded."""
        return sum(self.board.place(place.index).overloads for place in self._places if place.worker)

    @property
    def at_work(self) -> bool:
        """Whether any worker lives."""
        return any(place.worker for place in self._places)

    def signal(self, number: int) -> None:
        """Send a signal to those that live."""
        for place in self._places:
            if place.worker is not None and not place.worker.is_done():
                place.worker.signal(number)
                if self._row.spec.has_commands:
                    signal_commands(self._row.uuid, self.board.place(place.index).begun, number)

    def dismiss(self) -> None:
        """End at once those that live; what they had begun runs again."""
        for place in self._places:
            if place.worker is not None:
                place.worker.kill()
                place.worker.join(LEAVE_SECONDS)
                self._crashed(place, place.worker, by_us=True)
                place.worker = None

    def send_home(self) -> None:
        """Let those that live leave, with everything committed, and wait for their end."""
        self.board.stop_all()
        self._engine.close()
        for place in self._places:
            if place.worker is not None and not place.worker.join(LEAVE_SECONDS):
                place.worker.kill()
                place.worker.join(LEAVE_SECONDS)
                self._end_commands(self.board.place(place.index).begun)

    def staff(self, progress: Progress) -> None:
        """Fill vacant places: with quarantine first, then as many workers as there is work for."""
        self._see_who_retires()
        if self._engine.capacity != self._capacity:
            self._seat()
        self._fill_vacant(progress)
        self.share_out()

    def _fill_vacant(self, progress: Progress) -> None:
        lanes = self._store.queue.quarantined() if self._quarantining else {}
        self._release_quarantine(lanes)
        pending = progress.tally.items - progress.tally.done
        for place in self._places:
            if place.worker is not None or not place.slots:
                continue
            lane = self._lane_to_run(lanes)
            if lane is not None:
                self._start(place, lane)
                continue
            busy = sum(p.slots for p in self._places if p.worker and p.worker.spec.lane == LANE_ALL)
            if busy and pending <= FEW_ITEMS and self._has_head_start():
                continue
            if (pending > busy and self._store.queue.any_ready()) or (not busy and not progress.input_done):
                self._start(place, LANE_ALL)

    def _has_head_start(self) -> bool:
        return time.monotonic() < self._alone_since + HEAD_START_SECONDS

    def _start(self, place: _Place, lane: int) -> None:
        self._started += 1
        row = self._row
        number = self._epoch * WORKERS_PER_SESSION + self._started
        slots = 1 if lane == LANE_ALONE else place.slots
        spec = WorkerSpec(
            self._folder.path,
            row.batch_id,
            row.uuid,
            row.spec,
            self._epoch,
            number,
            place.index,
            slots,
            self.board.place(place.index).limits.workers,
            lane,
        )
        self.board.place(place.index).clear(number)
        self._settled = False
        if not self.at_work:
            self._alone_since = time.monotonic()
        place.worker = self._engine.start(spec, self._wake.set)

    def bury_the_dead(self) -> None:
        """See to the workers that have ended: take over what they held, and judge what they died of."""
        for place in self._places:
            worker = place.worker
            if worker is None or not worker.is_done():
                continue
            place.worker = None
            still = self._watchdog.verdict(worker) if self._watchdog else None
            if place.retiring:
                place.retiring = False
                self._seat()
            report = worker.report()
            if not worker.join(LEAVE_SECONDS):
                worker.kill()
            if report is None and not self.board.place(place.index).leaving:
                if still:
                    self._hung(place, worker, still)
                else:
                    self._crashed(place, worker, by_us=still == ABANDONED, is_lost=worker.is_lost())
                continue
            if report is not None and report.left == LEFT_FAILED:
                self.fault = self.fault or Ending(HALTED, report.reason, exit_code=report.exit_code)
            # A claim may have reached it when it had already put everything back.
            self._store.take_over(worker.spec.claimant)

    def _crashed(self, place: _Place, worker: WorkerHandle, by_us: bool = False, is_lost: bool = False) -> None:
        """A worker died: whatever it had begun is suspect, the rest of what it held goes back at once.

        Of one that is lost only what was in flight in such a case again and again.
        """
        how = worker.how_it_died()
        here = self.board.place(place.index)
        begun = self._store.without_outcome(here.begun)
        log.warning("worker %d died (%s) with %d items begun", here.worker, how, len(begun))
        self._end_commands(begun)
        verdict = Verdict()
        if is_lost:
            verdict = self.judge(self._store.often_interrupted(begun, INTERRUPTIONS - 1), worker.spec.lane, how)
        elif not by_us:
            verdict = self.judge(begun, worker.spec.lane, how)
            place.failures = 0 if here.entered else place.failures + 1
            if place.failures >= START_FAILURES:
                reason = f"workers die before they begin anything ({how}); see `batchq log {self._row.batch_id}`"
                self.fault = self.fault or Ending(HALTED, reason)
        self._store.take_over(worker.spec.claimant, begun, verdict.lanes, verdict.killers, verdict.failed)
        self._folder.worker_lock(worker.spec.claimant).remove()

    def _hung(self, place: _Place, worker: WorkerHandle, still: float) -> None:
        """Only the item that keeps the loop is blamed; where nobody knows which, they are tried one by one."""
        here = self.board.place(place.index)
        current = here.current
        begun = self._store.without_outcome(here.begun)
        if len(begun) == 1:
            current = begun[0]
        log.warning("worker %s hung for %.1f s with %d items begun", worker.spec.claimant, still, len(begun))
        self._end_commands(begun)
        if current in begun:
            others = [seq for seq in begun if seq != current]
            self._store.take_over(worker.spec.claimant, others, timed_out=self._timeout_of(current, worker, still))
        else:
            self._quarantining = True
            lanes, self._next_lane = quarantine_lanes(begun, worker.spec.lane, self._next_lane)
            self._store.take_over(worker.spec.claimant, begun, lanes)
        self._folder.worker_lock(worker.spec.claimant).remove()

    def _end_commands(self, begun: Sequence[int]) -> None:
        """End what a dead worker's items had started, before they run again."""
        if self._row.spec.has_commands:
            end_commands(self._row.uuid, begun)

    def _timeout_of(self, seq: int, worker: WorkerHandle, still: float) -> FailedAttempt:
        spec = self._row.spec
        item = self._store.standing(seq, len(spec.stages))
        error = ItemTimeout(spec.timeout or 0.0)
        delay = RetryHandler(retry_config(spec)).delay_after(error, item.tries + 1)
        microseconds = int(still * 1e6)
        return FailedAttempt(
            seq,
            item.run,
            item.attempts + 1,
            int(time.time() * 1000) - microseconds // 1000,
            microseconds,
            worker.spec.worker,
            None if delay is None else int(delay * 1000),
            describe(error),
            item.stages_done + 1,
        )

    def judge(self, begun: Sequence[int], lane: int, how: str) -> Verdict:
        """What follows for what a dead worker had begun; only a death while alone counts against an item."""
        self._quarantining = True
        if lane == LANE_ALONE:
            return judge_alone(begun, self._store.deaths(begun), how, self._row.spec.crash_attempts)
        lanes, self._next_lane = quarantine_lanes(begun, lane, self._next_lane)
        return Verdict(lanes)

    def _lane_to_run(self, lanes: dict[int, int]) -> int | None:
        return lane_to_run(lanes, [place.worker.spec.lane for place in self._places if place.worker])

    def _release_quarantine(self, lanes: dict[int, int]) -> None:
        """Send quarantine processes home that have nothing left, and idle workers in whose place one could run."""
        if not self._quarantining:
            return
        vacant = any(place.worker is None and place.slots for place in self._places)
        open_lanes = bool(lanes)
        for place in self._places:
            if place.worker is None:
                continue
            here = self.board.place(place.index)
            lane = place.worker.spec.lane
            open_lanes = open_lanes or lane != LANE_ALL
            if not here.starving:
                continue
            useless = (
                lane != LANE_ALL and lane not in lanes and not self._store.queue.claims_of(place.worker.spec.claimant)
            )
            needed_elsewhere = lane == LANE_ALL and not vacant and self._lane_to_run(lanes) is not None
            if useless or needed_elsewhere:
                here.ask_to_stop()
                vacant = True
        self._quarantining = open_lanes
