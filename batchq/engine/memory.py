"""A batch in memory: items are drawn from an iterable and run in slots of the caller's event loop.

    ideas ── draw ──▶ Runner ──▶ outcome ──▶ keep(item, outcome)
               ▲ low               └─ all is drawn, and all has an outcome ──▶ the end

The same runner as a worker's, with nothing behind it: no file, no process, no pickle.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from batchq.engine.failures import describe
from batchq.engine.job import Job
from batchq.engine.pacing import Pacer, in_memory
from batchq.engine.runner import Runner
from batchq.errors import Halt
from batchq.inputs.values import item_id_of
from batchq.model import FailedAttempt, Item, Outcome, StageResult
from batchq.pace import Book
from batchq.shards import WHOLE, Shard

TURN_SECONDS: Final = 0.005
"""Drawing items gives way to the others after so long."""
LEAVE_SECONDS: Final = 5.0
"""What was cancelled has so long to end; then it is left alone and logged."""

log = logging.getLogger(__name__)


def _keep_on(item: Item, came: FailedAttempt | StageResult) -> None:
    pass


class MemoryBatch:
    """Runs each of `ideas` and hands what came of it to `keep`.

    Args:
        job: what to do with an item.
        slots: items in flight at most.
        ideas: any iterable or async iterable; drawn as far as there are slots, and a little ahead.
        keep: gets each item with its outcome, in the event loop; what it raises ends the batch.
        note_attempt: gets each failed attempt.
        note_stage: gets what each stage of an item has given that is not its last one.
        in_order: begin an item only when the one before has its outcome.
        is_full: whether nothing new may begin, because nobody has taken what is there; call `room` afterwards.
        on_tick: called about ten times a second.
        book: the rate limits and budgets; None for none.
        shard: the part of the ideas that is run.

    Example:
        await MemoryBatch(job, 10, ideas, keep=lambda item, outcome: print(outcome)).run()
    """

    def __init__(
        self,
        job: Job,
        slots: int,
        ideas: Iterable[Any] | AsyncIterable[Any],
        keep: Callable[[Item, Outcome], None],
        note_attempt: Callable[[Item, FailedAttempt], None] = _keep_on,
        in_order: bool = False,
        is_full: Callable[[], bool] | None = None,
        on_tick: Callable[[], None] = lambda: None,
        book: Book | None = None,
        note_stage: Callable[[Item, StageResult], None] = _keep_on,
        shard: Shard = WHOLE,
    ) -> None:
        pacer = Pacer(in_memory(book or Book()), self._over_budget)
        pacer.limit(1, 0 if book is None else book.paced)
        self._runner = Runner(job, slots, self, pacer=pacer)
        self._keep = keep
        self._in_order = in_order
        self._is_full = is_full
        self.attempt = note_attempt
        self.stage = note_stage
        self.tick = on_tick
        self._shard = shard
        ideas = shard.out_of(ideas)
        self._ideas: Iterator[Any] | None = None
        self._async_ideas: AsyncIterator[Any] | None = None
        if isinstance(ideas, AsyncIterable):
            self._async_ideas = aiter(ideas)
        else:
            self._ideas = iter(ideas)
        self.drawn = 0
        """Items so far."""
        self.all_drawn = False
        """Whether there are no more."""
        self._done = 0
        self._held_until = 0.0
        self._halted_by = 0
        self._wanted = 0
        self._drawing = False
        self._wants: asyncio.Event | None = None
        self._error: BaseException | None = None

    async def run(self) -> None:
        """Run all items.

        Raises:
            BaseException: what the iterable raised, once all that was drawn has its outcome; what `keep` raised, once
                that which was in flight has ended; or the cancellation of the calling task, once that which was in
                flight has been cancelled.
        """
        self._loop = asyncio.get_running_loop()
        self._finished: asyncio.Future[None] = self._loop.create_future()
        drawer = self._loop.create_task(self._draw_async(self._async_ideas)) if self._async_ideas else None
        self._runner.start()
        try:
            await self._finished
            await _ended(drawer)
            await self._runner.drained()
        except BaseException:
            for item in self._runner.slots.busy_threads:
                log.warning("item %s goes on in its thread, which nothing can interrupt", item.item_id)
            self._runner.abandon()
            await _ended(drawer)
            if not await self._runner.drained(LEAVE_SECONDS):
                log.warning("%d items went on although they were cancelled", len(self._runner.slots.in_flight))
            raise
        if self._error is not None:
            raise self._error

    def room(self) -> None:
        """`is_full` may say otherwise now."""
        self._runner.room()

    # What the runner calls -----------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether nothing may begin."""
        if self._held_until and time.monotonic() < self._held_until:
            return True
        return self._is_full is not None and self._is_full()

    def outcome(self, item: Item, outcome: Outcome) -> None:
        """Keep an outcome; the last one ends the batch."""
        self._done += 1
        try:
            self._keep(item, outcome)
        except BaseException as error:
            self._end(error)
        if item.seq == self._halted_by and outcome.failure is not None:
            self._end(Halt(outcome.failure.error))
        if self.all_drawn and self._done == self.drawn:
            self._end()

    def low(self, want: int) -> None:
        """Draw up to `want` items."""
        self._wanted = want
        if self._wants is not None:
            self._wants.set()
        elif not self._drawing and not self.all_drawn:
            self._draw()

    def idle(self) -> None:
        """Nothing to do: outcomes are kept as they come."""

    def _over_budget(self, why: str) -> None:
        """End: so much is spent."""
        if not self._runner.stopping:
            self._end(Halt(why))

    def broken(self, error: BaseException) -> None:
        """End: a slot was ended by a fault of batchq, or by Ctrl-C."""
        self._end(error)

    def overloaded(self, item: Item, seconds: float) -> None:
        """Hold everything back for so long."""
        log.warning("item %s was answered with an overload: nothing begins for %.1f s", item.item_id, seconds)
        self._hold(seconds)

    def hold(self, item: Item, seconds: float) -> None:
        """Likewise."""
        log.info("item %s has asked for it: nothing begins for %.1f s", item.item_id, seconds)
        self._hold(seconds)

    def _hold(self, seconds: float) -> None:
        self._held_until = max(self._held_until, time.monotonic() + seconds)
        # A little later than that: a timer may come early by the clock's grain.
        self._loop.call_later(seconds + 0.001, self._runner.room)

    def held(self) -> float:
        """For so many seconds yet everything is held back."""
        return max(0.0, self._held_until - time.monotonic()) if self._held_until else 0.0

    def halt(self, item: Item) -> None:
        """Begin nothing more; what is in flight finishes."""
        self._halted_by = item.seq

    def stuck(self, item: Item) -> bool:
        """Write off the thread or task that is busy with an item that has timed out; nothing can end it."""
        log.warning("item %s still runs after its timeout; it is left to itself", item.item_id)
        return True

    # Drawing -------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        """Draw what is wanted; a slow iterable gives way after each few milliseconds."""
        assert self._ideas is not None
        self._drawing = False
        if self._in_order:
            self._wanted = int(self._done == self.drawn)
        if self._runner.stopping or not self._wanted:
            return
        items: list[Item] = []
        deadline = time.monotonic() + TURN_SECONDS
        try:
            while len(items) < self._wanted and time.monotonic() < deadline:
                items.append(self._item(next(self._ideas)))
        except StopIteration:
            self.all_drawn = True
        except BaseException as error:
            self._source_failed(error)
        self._wanted -= len(items)
        if self._wanted and not self.all_drawn:
            self._drawing = True
            self._loop.call_soon(self._draw)
        self._runner.offer(items)
        if self.all_drawn and self._done == self.drawn:
            self._end()

    async def _draw_async(self, ideas: AsyncIterator[Any]) -> None:
        self._wants = asyncio.Event()
        try:
            while True:
                await self._wants.wait()
                if self._in_order and self._done != self.drawn:
                    self._wants.clear()  # the item before waits for its next attempt
                    continue
                try:
                    idea = await anext(ideas)
                except StopAsyncIteration:
                    break
                self._wanted -= 1
                if self._wanted <= 0 or self._in_order:
                    self._wants.clear()
                self._runner.offer([self._item(idea)])
            self.all_drawn = True
            if self._done == self.drawn:
                self._end()
        except BaseException as error:
            if not self._finished.done():  # else the batch has ended before the iterable has
                self._source_failed(error)
        finally:
            await _close(ideas)

    def _item(self, idea: Any) -> Item:
        self.drawn = seq = self.drawn + 1
        other_mapping = type(idea) is not dict and isinstance(idea, Mapping)
        item_id = item_id_of(dict(idea) if other_mapping else idea)
        return Item(seq, f"item-{self._shard.place(seq)}" if item_id is None else item_id, idea, 1, 0)

    def _source_failed(self, error: BaseException) -> None:
        """Draw no more; what was drawn before an ordinary error still runs, for nobody could draw it again."""
        self._error = self._error or error
        self.all_drawn = True
        if self._done == self.drawn or not isinstance(error, Exception):
            self._end()

    def _end(self, error: BaseException | None = None) -> None:
        if error is not None and self._error is None:
            self._error = error
            self.all_drawn = True
        self._runner.stop()
        if not self._finished.done():
            self._finished.set_result(None)


async def _ended(drawer: asyncio.Task[None] | None) -> None:
    """Stop drawing."""
    if drawer is not None:
        drawer.cancel()
        await asyncio.wait([drawer])


async def _close(ideas: AsyncIterator[Any]) -> None:
    """Let an async generator leave what it has open."""
    close = getattr(ideas, "aclose", None)
    if close is None:
        return
    try:
        await close()
    except Exception as error:  # of no item: the batch is what it is
        log.warning("closing the ideas failed: %s: %s", type(error).__name__, describe(error).error)
