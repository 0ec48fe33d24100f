"""`BatchProcessor`: a function over many ideas, in the caller's event loop or on the durable queue.

process_batch ─┬─ PARALLEL, SEQUENTIAL ─▶ MemoryBatch ─▶ Collected ─▶ BatchReport
               └─ QUEUE ────────────────▶ durable ─────▶ batch.db ──▶ BatchReport
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Final

from batchq.app.batch_queue import BatchQueue
from batchq.app.durable import Durable
from batchq.app.in_memory import InMemory
from batchq.app.progress import Display, Silence, open_library_display
from batchq.app.report import BatchReport, BatchResult, carry
from batchq.app.report_generator import ReportGenerator, Result
from batchq.app.watcher import Flow, Watcher
from batchq.config import BatchConfig, ProcessingMode, QueueConfig, mode_of
from batchq.engine.retry import RetryHandler
from batchq.errors import UsageError
from batchq.handlers import Handler, is_coroutine_function
from batchq.model import Tally

Ideas = Iterable[Any] | AsyncIterable[Any]
OnResult = Callable[[BatchResult], object]
Then = Callable[..., Any] | Sequence[Callable[..., Any]]

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
        queue_manager: None unless the mode is QUEUE; shows how far a QUEUE batch is, pauses and resumes it.
        total_items: items so far of the batch that began last.
        processed_items: those of them that have an outcome.
        start_time: when that batch began, seconds since 1970; None before the first.
        batch_id: that batch; None before the first.
        last_report: the report on the batch that ended last, however it ended; None before the first.

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
        is_queue = mode_of(self.config.mode) is ProcessingMode.QUEUE
        self.queue_manager: BatchQueue | None = _queue_of(self.config) if is_queue else None
        self.total_items = 0
        self.processed_items = 0
        self.start_time: float | None = None
        self.batch_id: str | None = None
        self.last_report: BatchReport | None = None
        self._retry_made_of = self.config.retry
        self._shown: _Shown | None = None

    async def process_batch(
        self,
        ideas: Ideas,
        process_func: Callable[..., Any],
        batch_id: str | None = None,
        *,
        on_result: OnResult | None = None,
        then: Then = (),
    ) -> BatchReport:
        """Run `process_func` over `ideas`.

        Args:
            ideas: any iterable or async iterable, drawn as it is needed.  An idea is usually a dict with an ``id``;
                anything else will do, in QUEUE mode anything that JSON can hold.
            process_func: a function, async or not, a method, a `functools.partial` or a callable object.  It gets a
                copy of the idea for each attempt, and a `Context` where it needs a second argument.
            batch_id: the caller's own id; None makes one (in memory, unlike any other of this process).  In QUEUE
                mode the same id goes on where an interrupted batch stopped, or returns the report of one that has
                completed.
            on_result: a plain function, called with a `BatchResult` for each item as it ends; what it raises ends
                the batch.  In QUEUE mode it is told of what an earlier run has recorded, too.
            then: functions of later stages, each called with what the one before returned.  What a stage has given
                is kept (QUEUE), so that a retry, and a batch that goes on, begin at the stage that has failed.

        Returns:
            The report; its ``results`` has what came of each idea, in their order.

        Raises:
            UsageError: a setting, the function, the ideas or the id cannot be used; nothing was run.
            BatchBusy: another process runs that batch (QUEUE).
            BatchHalted: the batch was stopped before its end, or paused or cancelled by somebody else (QUEUE).
            BaseException: what ends a batch early, such as the cancellation of the calling task or an error of the
                iterable, carries ``report`` and ``results`` of what was done.  (On Python 3.10 a cancelled task
                raises a new exception; they are at its ``__context__``.)
        """
        return await self._process(ideas, (process_func, *_each(then)), batch_id, on_result, None)

    async def stream(
        self,
        ideas: Ideas,
        process_func: Callable[..., Any],
        batch_id: str | None = None,
        *,
        then: Then = (),
    ) -> AsyncIterator[BatchResult]:
        """Run `process_func` over `ideas`, and yield what comes of each item as soon as it is there.

        Takes and raises what `process_batch` does.  Leaving the loop early cancels what is in flight.  A consumer
        that is slow fills no memory: in memory the slots wait for it, in QUEUE mode the results lie in the file.  In
        memory the ideas may therefore be endless, and a report at the end has counts but no results.

        Example:
            >>> async def double(number):
            ...     return 2 * number
            >>> async def main():
            ...     processor = BatchProcessor(BatchConfig(enable_progress_tracking=False))
            ...     return sorted([each.result async for each in processor.stream([1, 2, 3], double)])
            >>> asyncio.run(main())
            [2, 4, 6]
        """
        flow = Flow()
        functions = (process_func, *_each(then))
        task = asyncio.create_task(self._process(ideas, functions, batch_id, flow.put, flow))
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
        except asyncio.CancelledError as error:
            task.cancel()
            await asyncio.wait([task])
            _take_report(error, task)
            raise
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # a consumer who has left does not hear of it

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
        functions: Sequence[Callable[..., Any]],
        batch_id: str | None,
        on_result: OnResult | None,
        flow: Flow | None,
    ) -> BatchReport:
        self.config.check()
        check_ideas(ideas)
        if on_result is not None and is_coroutine_function(on_result):
            raise UsageError("on_result must be a plain function", "Use `async for result in processor.stream(...)`.")
        handlers = [Handler.of(function) for function in functions]
        config = replace(self.config)
        if self._retry_made_of != config.retry:
            self._retry_made_of = config.retry
            self.retry_handler = RetryHandler(config.retry)
        shown = _Shown(self)
        with self._display() as display:
            watcher = Watcher(display, shown.begin, shown.note, on_result, flow)
            try:
                if config.mode is ProcessingMode.QUEUE:
                    watcher.queue = self.queue_manager = self.queue_manager or _queue_of(config)
                    durable = Durable(config, self.retry_handler.config, functions, watcher)
                    report = await durable.run(ideas, batch_id)
                else:
                    in_memory = InMemory(config, self.retry_handler, handlers, watcher)
                    report = await in_memory.run(ideas, batch_id or _next_id())
            except BaseException as error:
                self.last_report = getattr(error, "report", self.last_report)
                raise
        self.last_report = report
        return report

    def _display(self) -> AbstractContextManager[Display]:
        return open_library_display() if self.config.enable_progress_tracking else nullcontext(Silence())


class _Shown:
    """One batch of a processor: its attributes show the one that began last, though several may run at once."""

    def __init__(self, processor: BatchProcessor) -> None:
        self._processor = processor

    def begin(self, batch_id: str, started: float) -> None:
        processor = self._processor
        processor._shown = self
        processor.batch_id = batch_id
        processor.start_time = started
        processor.total_items = processor.processed_items = 0

    def note(self, tally: Tally) -> None:
        if self._processor._shown is self:
            self._processor.total_items = tally.items
            self._processor.processed_items = tally.done


def _take_report(error: BaseException, task: asyncio.Task[BatchReport]) -> None:
    """Let `error` carry the report that the end of `task` carries."""
    try:
        carry(error, task.result())
    except BaseException as ended:
        ended = ended if hasattr(ended, "report") else ended.__context__ or ended
        if hasattr(ended, "report"):
            carry(error, ended.report)


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


def _each(then: Then) -> Sequence[Callable[..., Any]]:
    return (then,) if callable(then) else then


def _queue_of(config: BatchConfig) -> BatchQueue:
    return BatchQueue(QueueConfig(chunk_size=config.chunk_size))


def _next_id() -> str:
    today = datetime.now(timezone.utc).strftime("%Y%m%d")
    return f"batch-{today}-{next(_NUMBERS):03d}"
