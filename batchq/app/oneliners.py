"""The library in one call: `run` a batch and wait for its report, or `map` a function over items."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import signal
import threading
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Any, Final, TypeVar

from batchq.app.processor import BatchProcessor, OnResult, Then, check_ideas
from batchq.app.report import BatchReport, carry
from batchq.config import EMPTY_FAIL, BatchConfig, ProcessingMode, check_choice
from batchq.engine.copies import own_copy
from batchq.engine.job import Job
from batchq.engine.memory import MemoryBatch
from batchq.engine.results import keeping
from batchq.engine.retry import RetryHandler
from batchq.engine.sieve import Sieve
from batchq.errors import ItemFailed
from batchq.handlers import Handler
from batchq.model import Item, Outcome

LEAVE_SECONDS: Final = 2.0
AHEAD: Final = 1000
"""Results that `map` holds for a consumer who is slow, at least."""
RAISE: Final = "raise"
RETURN: Final = "return"

T = TypeVar("T")


def run(
    ideas: Iterable[Any] | AsyncIterable[Any],
    func: Callable[..., Any],
    *,
    batch_id: str | None = None,
    mode: ProcessingMode | str = ProcessingMode.QUEUE,
    on_result: OnResult | None = None,
    then: Then = (),
    **settings: Any,
) -> BatchReport:
    """Run `func` over `ideas`, wait, and return the report; durable unless another mode is asked for.

    Blocks; where an event loop runs already, say in a notebook, the batch gets a thread of its own.  There
    `await BatchProcessor(...).process_batch(...)` is the way that does not block.

    Args:
        ideas: any iterable or async iterable.
        func: a function, async or not.
        batch_id: the caller's own id; calling `run` with it again goes on where it stopped.
        mode: where the items run.
        on_result: called with a `BatchResult` for each item as it ends.
        then: functions of later stages, each called with what the one before returned.
        settings: the other fields of `BatchConfig`, say ``max_concurrent=50, timeout_per_item=30``.

    Raises:
        BatchqError: as `BatchProcessor.process_batch`.
        TypeError: a setting has no such name.

    Example:
        >>> run(["tea", "rain"], str.upper, mode="parallel", enable_progress_tracking=False).results[1]["result"]
        'RAIN'
    """
    processor = BatchProcessor(BatchConfig(mode=mode, **settings))
    try:
        return _blocking(processor.process_batch(ideas, func, batch_id, on_result=on_result, then=then))
    except BaseException as error:
        if processor.last_report is not None:
            carry(error, processor.last_report)  # Ctrl-C is raised anew, by asyncio
        raise


def map(  # noqa: A001  # batchq.map
    func: Callable[..., Any],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    max_concurrent: int = 5,
    errors: str = RAISE,
    **settings: Any,
) -> Iterator[Any]:
    """Yield what `func` returns for each of `items`, in their order, running several at a time.

    In memory, in an event loop of its own; items are drawn as results are taken, so both may be endless.  Nothing is
    done before the first result is asked for; leaving the loop early cancels what is in flight.

    Args:
        func: a function, async or not.
        items: any iterable or async iterable; drawn in a thread.
        max_concurrent: items in flight at most.
        errors: ``"raise"`` raises `ItemFailed` at the first item that failed; ``"return"`` yields it in the place of
            the result, and goes on.
        settings: the other fields of `BatchConfig`, say ``retry_attempts=5``.

    Raises:
        ConfigError: a setting cannot be used.
        ItemFailed: see `errors`.

    Example:
        >>> list(map(str.upper, ["tea", "rain"]))
        ['TEA', 'RAIN']
    """
    config = BatchConfig(max_concurrent=max_concurrent, mode=ProcessingMode.PARALLEL, **settings)
    check_choice("errors", errors, (RAISE, RETURN))
    check_ideas(items)
    return _mapped(config, Handler.of(func), items, errors)


def _mapped(config: BatchConfig, handler: Handler, items: Any, errors: str) -> Iterator[Any]:
    mapping = _Mapping(config, handler, items)
    try:
        for outcome in mapping.start():
            if isinstance(outcome, ItemFailed) and errors == RAISE:
                raise outcome
            yield outcome
    finally:
        mapping.stop()


class _Mapping:
    """One call of `map`: its thread with an event loop, and the outcomes on their way into order."""

    def __init__(self, config: BatchConfig, handler: Handler, items: Any) -> None:
        self._config = config
        self._handler = handler
        self._items = items
        self._come: queue.SimpleQueue[tuple[int, Any] | BaseException | None] = queue.SimpleQueue()
        self._held = 0
        self._limit = max(AHEAD, 2 * config.max_concurrent)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._batch: MemoryBatch | None = None
        self._thread = threading.Thread(target=self._work, name="batchq-map", daemon=True)

    def start(self) -> Iterator[Any]:
        """The outcomes, in the order of the items."""
        self._thread.start()
        early: dict[int, Any] = {}
        next_seq = 1
        while (come := self._come.get()) is not None:
            if isinstance(come, BaseException):
                raise come
            early[come[0]] = come[1]
            while next_seq in early:
                yield early.pop(next_seq)
                next_seq += 1
                self._taken()

    def stop(self) -> None:
        """Cancel what is left."""
        if self._loop is not None and self._task is not None:
            try:
                self._loop.call_soon_threadsafe(self._task.cancel)
            except RuntimeError:
                return  # it has ended already
            self._thread.join(LEAVE_SECONDS)  # it may be waiting for the next item, which nothing can interrupt

    def _taken(self) -> None:
        # Read and written by both threads; an int is, and being off by one for an instant does no harm.
        self._held -= 1
        if self._held == self._limit // 2 and self._loop is not None and self._batch is not None:
            try:
                self._loop.call_soon_threadsafe(self._batch.room)
            except RuntimeError:
                return

    def _work(self) -> None:
        try:
            asyncio.run(self._run())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # carried to the consumer
            self._come.put(error)
        self._come.put(None)

    async def _run(self) -> None:
        config = self._config
        self._task = asyncio.current_task()
        job = Job(
            self._handler,
            RetryHandler(config.retry),
            config.timeout_per_item or None,
            load=own_copy,
            store=keeping(config.empty_result == EMPTY_FAIL),
            tracebacks=False,
        )
        self._batch = MemoryBatch(
            job,
            config.max_concurrent,
            Sieve(config.where).out_of(self._items),
            self._keep,
            is_full=self._is_full,
            shard=config.part,
        )
        self._loop = asyncio.get_running_loop()
        await self._batch.run()

    def _is_full(self) -> bool:
        return self._held >= self._limit

    def _keep(self, item: Item, outcome: Outcome) -> None:
        failure = outcome.failure
        result = outcome.result
        if failure is not None:
            result = ItemFailed(item.item_id, failure.error, failure.error_type, outcome.attempts)
        self._held += 1
        self._come.put((outcome.seq, result))


def _blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = Future()

    def cancel() -> None:
        loop, task = begun.result()
        with contextlib.suppress(RuntimeError):  # it has ended already
            loop.call_soon_threadsafe(task.cancel)

    with ThreadPoolExecutor(1, "batchq-run") as pool, _ctrl_c_told_to(cancel):
        result = pool.submit(contextvars.copy_context().run, asyncio.run, _in_reach(coroutine, begun))
        try:
            return result.result()
        except KeyboardInterrupt:
            cancel()
            raise


@contextlib.contextmanager
def _ctrl_c_told_to(cancel: Callable[[], None]) -> Iterator[None]:
    """Call `cancel` at Ctrl-C too, where `asyncio.run` takes it: that cancels a task, which is blocked here."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if here else None
    if not callable(before) or getattr(getattr(before, "func", None), "__module__", "") != "asyncio.runners":
        yield
        return

    def tell_both(number: int, frame: FrameType | None) -> None:
        cancel()
        before(number, frame)

    signal.signal(signal.SIGINT, tell_both)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def _in_reach(
    coroutine: Coroutine[Any, Any, T], begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]]
) -> T:
    """Run `coroutine` as a task that another thread can cancel."""
    task = asyncio.ensure_future(coroutine)
    begun.set_result((asyncio.get_running_loop(), task))
    return await task
