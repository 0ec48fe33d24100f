"""Batches in memory, each in an event loop of its own that is watched for hangs, tasks and errors left behind."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from batchq import BatchConfig, BatchProcessor, BatchReport

T = TypeVar("T")
HANGS_SECONDS = 180.0
"""No batch of these tests takes a thirtieth of it."""


def quick(**settings: Any) -> BatchConfig:
    """A configuration whose retries follow at once."""
    return BatchConfig(**{"retry_delay": 0.001, "enable_progress_tracking": False, **settings})


def run(main: Coroutine[Any, Any, T], thorough: bool = False) -> T:
    """What `main` returns; fails when it hangs, leaves a task behind or an exception that nobody has seen.

    `thorough`: such an exception is heard of when its task is gone, so collect what is left of tasks (30 ms).
    """
    unseen: list[str] = []
    left: set[asyncio.Task[Any]] = set()

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(str(context)))
        try:
            return await asyncio.wait_for(main, HANGS_SECONDS)
        finally:
            left.update(asyncio.all_tasks() - {asyncio.current_task()})

    try:
        return asyncio.run(watched())
    finally:
        if thorough:
            gc.collect()
        assert not left, f"tasks left behind: {left}"
        assert not unseen, f"errors that nobody saw: {unseen}"


def process(ideas: Any, function: Callable[..., Any], **settings: Any) -> BatchReport:
    """The report on a batch of its own."""
    return run(BatchProcessor(quick(**settings)).process_batch(ideas, function))


def results(report: BatchReport) -> list[Any]:
    """What the function returned for each idea, None for those that failed, in the order of the input."""
    return [result.get("result") for result in report.results]


def statuses(report: BatchReport) -> list[str]:
    """How each idea ended, in the order of the input."""
    return [result["status"] for result in report.results]


def carrier(error: BaseException) -> Any:
    """`error`, or on Python 3.10, where a cancelled task raises a new exception, the one that it was raised for."""
    if sys.version_info < (3, 11) and isinstance(error, asyncio.CancelledError):
        while not hasattr(error, "report") and error.__context__ is not None:
            error = error.__context__
    return error


async def cancelled(task: asyncio.Task[Any]) -> Any:
    """Cancel `task`, and return the exception that it ends with, where that carries a report."""
    task.cancel()
    try:
        await task
    except asyncio.CancelledError as error:
        return carrier(error)
    raise AssertionError("it was not cancelled")


def ended_early(main: Any) -> Any:
    """The exception with which `main` ends, which may carry a report."""
    try:
        run(main, thorough=True)
    except Exception as error:
        return error
    raise AssertionError("it ended well")


async def as_async(ideas: Iterator[Any]) -> AsyncIterator[Any]:
    """The same ideas."""
    for idea in ideas:
        await asyncio.sleep(0)
        yield idea


async def as_it_is(ideas: Iterator[Any]) -> AsyncIterator[Any]:
    """The same, without ever giving way."""
    for idea in ideas:
        yield idea


any_source = pytest.mark.parametrize("source", [iter, as_async, as_it_is])


def failing_source(error: BaseException, released: list[asyncio.Event]) -> Iterator[int]:
    """Two ideas, then an error; what waits for an event goes on then."""
    yield 1
    yield 2
    for event in released:
        event.set()
    raise error
