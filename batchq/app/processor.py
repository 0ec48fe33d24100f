"""`BatchProcessor`: a function over many ideas, in the caller's event loop or on the durable queue.

process_batch ─┬─ PARALLEL, SEQUENTIAL ─▶ MemoryBatch ─▶ Collected ─▶ BatchReport
               └─ QUEUE ────────────────▶ durable ─────▶ batch.db ──▶ BatchReport
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
import uuid
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Final

from batchq.app.collected import Collected
from batchq.app.durable import Durable
from batchq.app.progress import Display, Silence, open_library_display
from batchq.app.queue_manager import QueueManager
from batchq.app.report import BatchReport, BatchResult, carry
from batchq.app.report_generator import ReportGenerator, Result
from batchq.config import EMPTY_FAIL, BatchConfig, ProcessingMode, QueueConfig, mode_of
from batchq.engine.copies import own_copy
from batchq.engine.job import Job
from batchq.engine.memory import MemoryBatch
from batchq.engine.results import keeping
from batchq.engine.retry import RetryHandler
from batchq.errors import UsageError
from batchq.handlers import Handler
from batchq.model import CANCELLED, FAILED, HALTED, SUCCESS, Item, Outcome, Tally
from batchq.store.reading import Progress

Ideas = Iterable[Any] | AsyncIterable[Any]
OnResult = Callable[[BatchResult], object]

UNKNOWN: Final = "unknown"
AHEAD: Final = 1000
"""Results that a stream holds for a consumer who is slow; the slots wait then."""
_NUMBERS: Final = itertools.count(1)
"""Of the batches in memory: in one process no two have the same id, whichever processor runs them."""


class BatchProcessor:
    """Runs a function over many ideas, and reports what came of each.

    PARALLEL (the default) and SEQUENTIAL run in the caller's event loop and keep everything in memory; QUEUE is the
    durable engine: worker processes, and a file that survives every crash.  A processor may run any number of
    batches, one after another or at once.

    Args:
        config: how; None for the defaults.

    Attributes:
        config: may be changed between two batches.
        retry_handler: what is retried, and after how long.
        report_generator: writes reports as JSON, CSV and text.
        queue_manager: None unless the mode is QUEUE; shows how far a QUEUE batch is.
        total_items: items so far of the batch that began last.
        processed_items: those of them that have an outcome.
        start_time: when that batch began, seconds since 1970; None before the first.
        batch_id: that batch; None before the first.

    Example:
        >>> async def make_title(idea):
        ...     return idea["text"].title()
        >>> config = BatchConfig(enable_progress_tracking=False)
        >>> report = asyncio.run(BatchProcessor(config).process_batch([{"id": "a1", "text": "tea"}], make_title))
        >>> report.success_count, report.results[0]["result"]
        (1, 'Tea')
    """

    def __init__(self, config: BatchConfig | None = None) -> None:
        self.config = config or BatchConfig()
        self.retry_handler = RetryHandler(self.config.retry)
        self.report_generator = ReportGenerator()
        self.queue_manager: QueueManager | None = None
        if mode_of(self.config.mode) is ProcessingMode.QUEUE:
            self.queue_manager = QueueManager(QueueConfig(chunk_size=self.config.chunk_size))
        self.total_items = 0
        self.processed_items = 0
        self.start_time: float | None = None
        self.batch_id: str | None = None
        self._retry_made_of = self.config.retry

    async def process_batch(
        self,
        ideas: Ideas,
        process_func: Callable[..., Any],
        batch_id: str | None = None,
        *,
        on_result: OnResult | None = None,
    ) -> BatchReport:
        """Run `process_func` over `ideas`.

        Args:
            ideas: any iterable or async iterable; drawn as it is needed, so it may be endless in length.  An idea is
                usually a dict with an ``id``; anything else will do, in QUEUE mode anything that JSON can hold.
            process_func: a function, async or not, a method, a `functools.partial` or a callable object.  It gets a
                copy of the idea for each attempt, and a `Context` where it takes a second argument.
            batch_id: the caller's own id; None makes one.  In QUEUE mode the same id goes on where an
                interrupted batch stopped, or returns the report of one that has ended.
            on_result: called with a `BatchResult` for each item as it ends; what it raises ends the batch.

        Returns:
            The report; its ``results`` has what came of each idea, in their order.

        Raises:
            UsageError: a setting, the function, the ideas or the id cannot be used; nothing was run.
            BatchBusy: another process runs that batch (QUEUE).
            BatchHalted: the batch stopped before its end (QUEUE).
            BaseException: what ends a batch early, such as the cancellation of the calling task or an error of the
                iterable, carries ``report`` and ``results`` of what was done.  (On Python 3.10 a cancelled task
                raises a new exception; they are at its ``__context__``.)
        """
        return await self._process(ideas, process_func, batch_id, on_result, None)

    async def stream(
        self, ideas: Ideas, process_func: Callable[..., Any], batch_id: str | None = None
    ) -> AsyncIterator[BatchResult]:
        """Run `process_func` over `ideas`, and yield what comes of each item as soon as it is there.

        Takes and raises what `process_batch` does.  Leaving the loop early cancels what is in flight; a consumer
        that is slow slows the batch down rather than filling the memory.

        Example:
            >>> async def double(number):
            ...     return 2 * number
            >>> async def main():
            ...     processor = BatchProcessor(BatchConfig(enable_progress_tracking=False))
            ...     return sorted([each.result async for each in processor.stream([1, 2, 3], double)])
            >>> asyncio.run(main())
            [2, 4, 6]
        """
        flow = _Flow()
        task = asyncio.create_task(self._process(ideas, process_func, batch_id, flow.put, flow))
        task.add_done_callback(lambda _: flow.arrived.set())
        try:
            while True:
                while flow.waiting:
                    yield flow.take()
                if task.done():
                    break
                flow.arrived.clear()
                await flow.arrived.wait()
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    def generate_report(self, results: Iterable[Result]) -> BatchReport:
        """A report from result dicts or `BatchResult` objects, on the batch that began last.

        Args:
            results: see `ReportGenerator.generate_report`.

        Example:
            >>> BatchProcessor().generate_report([{"idea_id": "a1", "status": "success"}]).batch_id
            'unknown'
        """
        now = time.time()
        return self.report_generator.generate_report(
            self.batch_id or UNKNOWN, results, self.start_time or now, now, self.config
        )

    async def _process(
        self,
        ideas: Ideas,
        process_func: Callable[..., Any],
        batch_id: str | None,
        on_result: OnResult | None,
        flow: _Flow | None,
    ) -> BatchReport:
        self.config.check()
        check_ideas(ideas)
        handler = Handler.of(process_func)
        config = replace(self.config)
        if self._retry_made_of != config.retry:
            self._retry_made_of = config.retry
            self.retry_handler = RetryHandler(config.retry)
        with self._display() as display:
            if config.mode is ProcessingMode.QUEUE:
                retry = self.retry_handler.config
                durable = Durable(config, retry, process_func, display, self._begun, self._note, on_result, flow)
                return await durable.run(ideas, batch_id)
            return await self._process_here(config, ideas, handler, batch_id, on_result, flow, display)

    async def _process_here(
        self,
        config: BatchConfig,
        ideas: Ideas,
        handler: Handler,
        batch_id: str | None,
        on_result: OnResult | None,
        flow: _Flow | None,
        display: Display,
    ) -> BatchReport:
        collected = Collected(config, batch_id or _next_id())
        self._begun(collected.batch_id, collected.started)
        sequential = config.mode is ProcessingMode.SEQUENTIAL
        job = Job(
            handler,
            self.retry_handler,
            config.timeout_per_item or None,
            collected.batch_id,
            str(uuid.uuid4()),
            load=own_copy,
            store=keeping(config.empty_result == EMPTY_FAIL),
            let_through=(GeneratorExit, KeyboardInterrupt),
        )

        def keep(item: Item, outcome: Outcome) -> None:
            collected.keep(item, outcome)
            if on_result is not None:
                on_result(batch_result(item, outcome))

        def show() -> None:
            tally = collected.tally(batch.drawn)
            self._note(tally)
            display.show(Progress("running", None, batch.all_drawn, tally))

        batch = MemoryBatch(
            job,
            1 if sequential else config.max_concurrent,
            ideas,
            keep,
            collected.note_attempt,
            in_order=sequential,
            is_full=None if flow is None else flow.is_full,
            on_tick=show,
        )
        if flow is not None:
            flow.room = batch.room
        try:
            await batch.run()
        except BaseException as error:
            state = CANCELLED if isinstance(error, asyncio.CancelledError) else HALTED
            carry(error, collected.report(batch.drawn, state, f"{type(error).__name__}: {error}".rstrip(": ")))
            raise
        finally:
            show()
        return collected.report(batch.drawn)

    def _begun(self, batch_id: str, started: float) -> None:
        self.batch_id = batch_id
        self.start_time = started
        self.total_items = self.processed_items = 0

    def _note(self, tally: Tally) -> None:
        self.total_items = tally.items
        self.processed_items = tally.done

    def _display(self) -> AbstractContextManager[Display]:
        return open_library_display() if self.config.enable_progress_tracking else nullcontext(Silence())


class _Flow:
    """Results on their way to somebody who takes them one by one."""

    def __init__(self) -> None:
        self.waiting: deque[BatchResult] = deque()
        self.arrived = asyncio.Event()
        self.room: Callable[[], None] = lambda: None

    def put(self, result: BatchResult) -> None:
        self.waiting.append(result)
        self.arrived.set()

    def take(self) -> BatchResult:
        result = self.waiting.popleft()
        if len(self.waiting) == AHEAD - 1:
            self.room()
        return result

    def is_full(self) -> bool:
        return len(self.waiting) >= AHEAD


def check_ideas(ideas: Any) -> None:
    """Raise `UsageError` for what can be walked but is surely no collection of ideas, and for what cannot."""
    if isinstance(ideas, (str, bytes, os.PathLike)):
        raise UsageError(
            f"ideas must be a collection of items, not a {type(ideas).__name__}",
            "A file is read by `batchq start`, or by passing an iterable over its records.",
        )
    if isinstance(ideas, Mapping):
        raise UsageError("ideas must be a collection of items, not one dict", "Put it into a list: [idea].")
    if not isinstance(ideas, AsyncIterable):
        try:
            iter(ideas)
        except TypeError:
            raise UsageError(
                f"ideas must be an iterable of items, not a {type(ideas).__name__}", "Pass a list or a generator."
            ) from None


def batch_result(item: Item, outcome: Outcome) -> BatchResult:
    """What callbacks and streams are told of an item."""
    failure = outcome.failure
    return BatchResult(
        item.item_id,
        SUCCESS if failure is None else FAILED,
        outcome.result,
        outcome.duration_us / 1e6,
        outcome.attempts,
        failure.error if failure else None,
        failure.error_type if failure else None,
        outcome.seq,
    )


def _next_id() -> str:
    today = datetime.now(timezone.utc).strftime("%Y%m%d")
    return f"batch-{today}-{next(_NUMBERS):03d}"
