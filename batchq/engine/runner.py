"""Slots: the one place where a handler is called, for workers and for the modes that run in memory.

    sink.low(n) ──▶ more items ──▶ offer() ──▶ backlog ──▶ slot: attempt ──┬─▶ sink.outcome()
                                      ▲                                   └─▶ sink.attempt() ─▶ waiting ─┐
                                      └──────────────────────────────────────────────────────────────────┘

A fixed set of slots pulls items; no task is made per item.  Deadlines need no timer per item either: one ticker
looks at all slots, and forgives them the time in which the loop was blocked by somebody else.  An item that waits
for its next attempt holds no slot.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Collection, Iterable, MutableSequence
from dataclasses import replace
from typing import Any, Final

from batchq.engine.ahead import Ahead
from batchq.engine.backoff import Backoff
from batchq.engine.cancellation import forget_cancellation, is_cancelled, is_own_exit, message_of
from batchq.engine.http_errors import is_overload
from batchq.engine.job import Job, Sink
from batchq.engine.pacing import Pacer
from batchq.engine.retry import wait_asked_by
from batchq.engine.slot import Slot
from batchq.engine.slots import Slots
from batchq.engine.stages import caller_of, succeeding
from batchq.engine.ticker import TICK_SECONDS, Ticker, interval_for
from batchq.errors import Halt, ItemTimeout
from batchq.model import Item

TURN_SECONDS: Final = 0.005
"""A handler that never waits would keep the loop for ever; after so long the others have a turn."""
BLOCKED_SECONDS: Final = 0.02
"""A tick that comes later than this found the loop blocked."""
GAVE_WAY: Final = (True,)
"""Of a call that is timed by somebody else: the ticker, or the probe of its caller."""
SWALLOW_SECONDS: Final = 1.0
"""A handler that goes on for so long after it was cancelled has swallowed that; nothing but its process ends it."""


class Runner:
    """Runs items in a fixed number of slots.

    Args:
        job: what to do with an item.
        slots: items in flight at most.
        sink: where outcomes go, and whom to ask for items.
        seen: gets, at each slot's index, the seq that runs there, and 0 while none does.
        pacer: the rate limits and budgets; None where there are none and never will be.
        ahead: how many items are asked for ahead of the slots.

    Example:
        runner = Runner(job, slots=10, sink=sink)
        runner.start()
        runner.offer(items)
        await runner.drained()
    """

    def __init__(
        self,
        job: Job,
        slots: int,
        sink: Sink,
        seen: MutableSequence[int] | memoryview | None = None,
        pacer: Pacer | None = None,
        ahead: Ahead | None = None,
    ) -> None:
        self.job = job
        self.backlog: deque[Item] = deque()
        self.stopping = False
        self.calls_left: float = math.inf
        """How often the handler may still be called here; then the runner stops."""
        self._sink = sink
        self.slots = Slots(slots)
        self._allowed = slots
        self._pacer = pacer
        self._gate = pacer.gate if pacer else None
        self._seen: Any = seen if seen is not None else [0] * slots
        self._idle: deque[asyncio.Future[None]] = deque()
        self._backoff = Backoff(self._retry)
        self._abandoned = False
        self._caller = caller_of(job, pacer)
        self._succeeded = succeeding(job, sink, self.backlog.appendleft)
        self._budgeted = job.retry.config.budget < 1
        self._lost = 0.0
        self._turned = 0.0
        self._ahead = ahead or Ahead()
        self._asked = False
        self._ticker = Ticker(self._tick)

    def start(self) -> None:
        """Start the slots, in the running event loop."""
        self._loop = asyncio.get_running_loop()
        if self._pacer:
            self._pacer.start(self._wake, self._sink.hold, self._sink.held)
        for slot in self.slots:
            self._open(slot)
        self._ticker.start(interval_for(self.job.timeout))

    def resize(self, slots: int) -> None:
        """Have `slots` items in flight at most, from now on; what is in flight finishes."""
        if slots == self._allowed or self.stopping:
            return
        self._allowed = slots
        for slot in self.slots[:slots]:
            if slot.task is None or slot.task.done():
                self.slots[slot.index] = fresh = Slot(slot.index, thread=slot.thread)
                self._open(fresh)
        for index in range(len(self.slots), slots):
            self.slots.append(Slot(index))
            self._open(self.slots[index])
        self._wake_idle(len(self._idle))

    def limit(self, timeout: float | None, retry_attempts: int) -> None:
        """Other limits hold from now on, also for what is in flight.

        Args:
            timeout: seconds of one attempt; None for no limit.
            retry_attempts: attempts of an item.
        """
        retry = self.job.retry
        if retry.config.max_attempts != retry_attempts:
            retry.config = replace(retry.config, max_attempts=retry_attempts)
        if self.job.timeout != timeout:
            self.job = replace(self.job, timeout=timeout)
            self._ticker.change(interval_for(timeout))

    def _open(self, slot: Slot) -> None:
        slot.task = self._loop.create_task(self._run_slot(slot), name=f"slot-{slot.index}")
        slot.task.add_done_callback(self._slot_ended)

    def offer(self, items: Iterable[Item], passed: int = 0) -> None:
        """Take items to run, those with a wait left after it; `passed` of those asked for need not run."""
        self._asked = False
        self._ahead.begun(passed)
        for item in items:
            if item.wait_ms:
                self._wait_for_retry(item, item.wait_ms / 1000)
            else:
                self.backlog.append(item)
        self._wake(len(self.backlog))
        if passed:
            self._ask()

    def take_unbegun(self) -> list[Item]:
        """Remove from the backlog, and return, the items that no attempt was made of in this process."""
        begun = [item for item in self.backlog if item.attempts or item.reached]
        fresh = [item for item in self.backlog if not (item.attempts or item.reached)]
        self.backlog.clear()
        self.backlog.extend(begun)
        return fresh

    @property
    def not_in_flight(self) -> list[Item]:
        """The items that wait here: for a slot, or for their next attempt."""
        return [*self.backlog, *self._backoff.items]

    def forget(self, seqs: Collection[int]) -> None:
        """Let these go, which are not in flight: they are somebody else's."""
        left = [item for item in self.backlog if item.seq not in seqs]
        self.backlog.clear()
        self.backlog.extend(left)
        self._backoff.forget(seqs)

    def room(self) -> None:
        """The sink is no longer full."""
        self._wake(len(self._idle))

    @property
    def used_up(self) -> bool:
        """Whether the handler has been called as often as it may."""
        return self.calls_left <= 0

    @property
    def idle_slots(self) -> int:
        """Slots that wait for an item."""
        return len(self._idle)

    def stop(self) -> None:
        """Begin nothing more; what is in flight goes on."""
        self.stopping = True
        self._wake_idle(len(self._idle))

    def abandon(self) -> None:
        """Cancel what is in flight; none of it is recorded."""
        self.stopping = self._abandoned = True
        for slot in self.slots:
            if slot.task:
                slot.task.cancel()

    async def drained(self, seconds: float | None = None) -> bool:
        """Stop, and wait until nothing is in flight, but what is stuck for good; whether that came in time."""
        self.stop()
        deadline = None if seconds is None else time.monotonic() + seconds
        while left := [slot.task for slot in self.slots if slot.is_open and slot.task]:
            if deadline is not None and time.monotonic() >= deadline:
                break
            # Not for longer at a time: what hangs in the face of its cancellation is given up meanwhile.
            await asyncio.wait(left, timeout=TICK_SECONDS)
        self._ticker.end()
        self._backoff.close()
        if self._gate:
            self._gate.close()
        for slot in self.slots:
            if slot.thread:
                slot.thread.end()
        return not left

    async def _run_slot(self, slot: Slot) -> None:
        while True:
            try:
                await self._serve(slot)
                return
            except asyncio.CancelledError:
                # Nobody cancels a slot but `abandon`: something that a handler left running did.
                if self._abandoned:
                    raise
                await forget_cancellation(slot.task)

    def _slot_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._sink.broken(error)

    async def _serve(self, slot: Slot) -> None:
        backlog = self.backlog
        gate = self._gate
        while not self.stopping and slot.index < self._allowed:
            if not backlog or self._sink.full or (gate and not gate.take()):
                await self._wait_for_work()
                continue
            if gate and gate.pace:
                self._wake(len(self._idle))  # for the next start
            item = backlog.popleft()
            self.calls_left -= 1
            if self.used_up:
                self.stop()
            if len(backlog) < self._ahead.low_water and not self._asked:
                self._ask()
            await self._attempt(slot, item)
            if is_cancelled(slot.task):
                await forget_cancellation(slot.task)
            if slot.in_thread or slot.given_up:
                return  # What ran here is stuck: the slot is lost to it.
            if (now := time.monotonic()) - self._turned > TURN_SECONDS:
                self._turned = now  # first, else all that are awake now would give way, and lose a turn of the loop
                await asyncio.sleep(0)
                self._turned = time.monotonic()

    async def _wait_for_work(self) -> None:
        woken: asyncio.Future[None] = self._loop.create_future()
        self._idle.append(woken)
        self._ask()
        if len(self._idle) >= self._allowed:
            self._sink.idle()
        try:
            await woken
        except asyncio.CancelledError:
            if woken in self._idle:
                self._idle.remove(woken)
            raise

    def _wake(self, slots: int) -> None:
        """Let idle slots look for work: so many, as far as the rate allows it."""
        slots = min(slots, len(self._idle))
        if self._gate and self.backlog:
            slots = self._gate.admit(slots)
        self._wake_idle(slots)

    def _wake_idle(self, slots: int) -> None:
        for _ in range(slots):
            woken = self._idle.popleft()
            if not woken.done():
                woken.set_result(None)

    def _ask(self) -> None:
        if self.stopping or self._backoff.is_crowded(self._allowed):
            return
        want = self._ahead.wanted(len(self._idle), len(self.backlog))
        if want > 0:
            self._asked = True
            self._sink.low(want)

    async def _attempt(self, slot: Slot, item: Item) -> None:
        job = self.job
        handler, caller = job.handler, self._caller
        slot.item = item
        slot.expired = False
        self._seen[slot.index] = item.seq
        self._ahead.begun()
        started = time.monotonic()
        gave_way: Collection[bool] = GAVE_WAY
        try:
            # Made anew for each attempt: what a failed one did to its copy is gone with it.
            payload = job.load(item.payload)
            slot.lost = self._lost
            slot.started = started
            if caller.is_plain:
                gave_way = caller.probe.begin(self._loop)
                result = await handler.function(payload)
            else:
                result = await caller.call(slot, job, payload)
            slot.started = 0.0
            took = slot.worked(started)
            if slot.given_up:
                return
            if slot.expired or (not gave_way and job.timeout and took > job.timeout):
                raise ItemTimeout(job.timeout or 0.0)
            kept = job.store(result)
        except BaseException as error:
            took = slot.worked(started)
            slot.started = 0.0
            if slot.given_up:
                return  # It is recorded as timed out.
            slot.expired |= bool(not gave_way and job.timeout and took > job.timeout)
            if self._abandoned or (isinstance(error, job.let_through) and not is_own_exit(error, slot.task)):
                raise
            self._failed(slot, item, error, took)
        else:
            if self._budgeted:
                job.retry.succeeded()
            self._succeeded(item, job.success(item, took, kept))
        self._seen[slot.index] = 0

    def _failed(self, slot: Slot, item: Item, error: BaseException, took: float) -> None:
        job = self.job
        stuck = False
        if slot.expired:
            error = ItemTimeout(job.timeout or 0.0, message_of(error))
            stuck = (slot.in_thread or slot.given_up) and not self._write_off(slot, item)
        delay = job.retry.delay_after(error, item.tries + 1)
        if is_overload(error):
            # Also after the last attempt of an item: the others have to wait all the same.
            self._sink.overloaded(item, delay or wait_asked_by(error) or 0.0)
        elif isinstance(error, Halt):
            self._sink.halt(item)
        attempt = job.failed_attempt(item, error, took, delay)
        self._sink.attempt(item, attempt)
        if delay is None:
            self._sink.outcome(item, job.failure(item, attempt))
        elif not stuck:
            spent = item.spent_us + attempt.duration_us
            self._wait_for_retry(item._replace(attempts=attempt.number, spent_us=spent), delay)

    def _write_off(self, slot: Slot, item: Item) -> bool:
        """Whether the slot, whose thread or task is stuck, goes on with another one."""
        goes_on = self._sink.stuck(item)
        if goes_on and slot.given_up:
            self.slots[slot.index] = fresh = Slot(slot.index)
            self._open(fresh)
        elif goes_on and slot.thread:
            slot.thread.end()
            slot.thread = None
            slot.in_thread = False
        return goes_on

    def _wait_for_retry(self, item: Item, delay: float) -> None:
        if delay > 0:
            self._backoff.put(item, delay)
            return
        self.backlog.append(item)
        self._wake(1)

    def _retry(self, due: list[Item]) -> None:
        self.backlog.extendleft(reversed(due))
        self._wake(len(due))

    def _tick(self, late: float) -> None:
        blocked = late > BLOCKED_SECONDS
        now = time.monotonic()
        if blocked:
            self._lost += late
            for slot in self.slots:
                # An item that began after the loop was blocked lost nothing by what was before.
                slot.lost += max(0.0, slot.started - (now - late))
            self._caller.loop_was_blocked()
        self._ahead.measure(self._ticker.interval + late)
        # After a blocked stretch the answers that came meanwhile are read first: no deadline in that turn.
        if self.job.timeout and not blocked:
            self._expire(now, self.job.timeout)
        if self._idle and not self._asked:
            self._ask()
        self._ticker.rest(self._ahead.is_quiet)
        self._sink.tick()

    def _expire(self, now: float, timeout: float) -> None:
        for slot in self.slots:
            started = slot.started
            if not started:
                continue
            if slot.expired:
                if now - slot.expired_at > SWALLOW_SECONDS and not slot.in_thread and slot.item:
                    slot.given_up = True
                    self._failed(slot, slot.item, ItemTimeout(timeout), slot.worked(started, now))
            elif slot.worked(started, now) - (self._lost - slot.lost) > timeout and slot.task:
                slot.expired = True
                slot.expired_at = now
                slot.task.cancel()
