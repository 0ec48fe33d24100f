"""How a batch in memory ends early: cancellation and callbacks; and what is left of it then."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from in_memory import any_source, cancelled, ended_early, failing_source, quick, run, statuses

from batchq import BatchProcessor, BatchResult

either_mode = pytest.mark.parametrize("mode", ["parallel", "sequential"])


# Cancellation (`run` looks for tasks that are left) ----------------------------------------------------------


async def endless() -> AsyncIterator[int]:
    """Ideas without end, of which the next takes long."""
    yield 1
    yield 2
    await asyncio.sleep(60)


@pytest.mark.parametrize("source", [lambda: range(10**9), endless])
def test_cancelling_ends_what_is_in_flight_and_leaves_no_task(source: Callable[[], Any]) -> None:
    async def main() -> tuple[int, int]:
        began, left = 0, 0
        full = asyncio.Event()

        async def function(idea: int) -> None:
            nonlocal began, left
            began += 1
            if began == 2:
                full.set()
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)  # closes its connection
                left += 1

        task = asyncio.create_task(BatchProcessor(quick(max_concurrent=2)).process_batch(source(), function))
        await full.wait()
        error = await cancelled(task)
        assert len(error.results) == 0
        return began, left

    assert run(main(), thorough=True) == (2, 2)


def test_cancelling_while_items_wait_for_their_next_attempt_leaves_no_task() -> None:
    async def main() -> Any:
        failed = asyncio.Event()

        async def function(idea: int) -> None:
            failed.set()
            raise ConnectionError("reset")

        task = asyncio.create_task(BatchProcessor(quick(retry_delay=60.0)).process_batch([1], function))
        await failed.wait()
        await asyncio.sleep(0)
        return (await cancelled(task)).report

    report = run(main(), thorough=True)
    assert (report.total_items, report.processed_items, report.retries) == (1, 0, 1)


@pytest.mark.parametrize("cancel", [False, True])
def test_event_loop_forgets_a_batch_that_has_ended(cancel: bool) -> None:
    async def main() -> Any:
        failed = asyncio.Event()

        async def function(idea: int) -> None:
            if cancel:
                failed.set()
                raise ConnectionError("reset")  # and waits for its next attempt

        known = weakref.ref(function)
        task = asyncio.create_task(BatchProcessor(quick(retry_delay=60.0)).process_batch([1], function))
        if cancel:
            await failed.wait()
            task.cancel()
        await asyncio.wait([task])
        del task, function
        gc.collect()
        return known()

    assert run(main()) is None


@any_source
def test_cancelling_a_batch_whose_source_has_failed_leaves_no_task(source: Callable[..., Any]) -> None:
    async def main() -> Any:
        released, went_on = asyncio.Event(), asyncio.Event()

        async def function(idea: int) -> None:
            if idea == 1:
                await released.wait()
                went_on.set()
                await asyncio.sleep(60)

        ideas = source(failing_source(OSError("disk gone"), [released]))
        task = asyncio.create_task(BatchProcessor(quick(max_concurrent=2)).process_batch(ideas, function))
        await went_on.wait()
        await asyncio.sleep(0)
        return await cancelled(task)

    assert run(main(), thorough=True).report.processed_items == 1


def test_cancelling_logs_that_a_thread_goes_on_and_does_not_wait_for_it(caplog: pytest.LogCaptureFixture) -> None:
    began, release = threading.Event(), threading.Event()

    def function(idea: int) -> None:
        began.set()
        release.wait(60)

    async def main() -> Any:
        task = asyncio.create_task(BatchProcessor(quick()).process_batch([1], function))
        while not began.is_set():
            await asyncio.sleep(0.001)
        return await cancelled(task)

    with caplog.at_level(logging.WARNING):
        try:
            assert run(main()).report.processed_items == 0
            assert not release.is_set()
            assert "thread" in caplog.text
        finally:
            release.set()


# Callbacks ---------------------------------------------------------------------------------------------------


@either_mode
def test_callback_is_told_of_each_item_as_it_ends(mode: str) -> None:
    told: list[BatchResult] = []

    async def function(idea: int) -> int:
        if idea > 1:
            assert told[idea - 2].seq == idea - 1, "not told of the one before"
        if idea == 3:
            raise ValueError("no")
        return idea * 10

    processor = BatchProcessor(quick(mode=mode, max_concurrent=1, retry_attempts=1))
    report = run(processor.process_batch([1, 2, 3, 4], function, on_result=told.append))
    assert statuses(report) == ["success", "success", "failed", "success"]
    assert [(each.seq, each.idea_id, each.status) for each in told] == [
        (1, "item-1", "success"),
        (2, "item-2", "success"),
        (3, "item-3", "failed"),
        (4, "item-4", "success"),
    ]
    assert [each.result for each in told] == [10, 20, None, 40]
    assert (told[2].error, told[2].error_type, told[2].attempts) == ("no", "ValueError", 1)
    assert all(0 < each.duration < 60 for each in told)


@either_mode
def test_callback_that_raises_ends_the_batch_and_what_was_done_is_carried(mode: str) -> None:
    begun: list[int] = []

    async def function(idea: int) -> int:
        begun.append(idea)
        await asyncio.sleep(0.001)
        return idea

    def stop(result: BatchResult) -> None:
        if result.seq == 5:
            raise KeyError("enough")

    error = ended_early(
        BatchProcessor(quick(mode=mode, max_concurrent=3)).process_batch(range(1, 10**9), function, on_result=stop)
    )
    assert isinstance(error, KeyError)
    assert 5 <= len(begun) <= 5 + 3
    assert [result["result"] for result in error.results] == begun
    assert error.report.processed_items == len(begun)
