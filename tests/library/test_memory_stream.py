"""`BatchProcessor.stream`: what comes of each item as soon as it is there, to somebody who takes his time."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from in_memory import cancelled, quick, run

from batchq import BatchProcessor, BatchReport, BatchResult
from batchq.app.processor import AHEAD
from batchq.errors import UsageError

either_mode = pytest.mark.parametrize("mode", ["parallel", "sequential"])


async def same(idea: Any) -> Any:
    """The idea itself."""
    return idea


@either_mode
def test_stream_yields_every_result_once(mode: str) -> None:
    async def function(idea: int) -> int:
        if idea % 10 == 7:
            raise ValueError("seven")
        return idea * 2

    async def main() -> list[BatchResult]:
        processor = BatchProcessor(quick(mode=mode, retry_attempts=1))
        found = [result async for result in processor.stream(range(100), function, "b")]
        assert (processor.batch_id, processor.processed_items) == ("b", 100)
        return found

    found = sorted(run(main()), key=lambda result: result.seq)
    assert [result.seq for result in found] == list(range(1, 101))
    assert [result.result for result in found] == [None if n % 10 == 7 else n * 2 for n in range(100)]
    assert {result.error for result in found if result.status == "failed"} == {"seven"}


def test_result_comes_while_others_still_run() -> None:
    async def main() -> list[int]:
        gate = asyncio.Event()

        async def function(idea: int) -> int:
            if idea == 0:
                await gate.wait()
            return idea

        order = []
        async for result in BatchProcessor(quick(max_concurrent=2)).stream(range(6), function):
            order.append(result.result)
            if len(order) == 5:
                gate.set()
        return order

    assert run(main()) == [1, 2, 3, 4, 5, 0]


def test_leaving_early_cancels_what_is_in_flight() -> None:
    async def main() -> tuple[int, int]:
        begun = ended = 0
        idle = asyncio.all_tasks()

        async def function(idea: int) -> int:
            nonlocal begun, ended
            begun += 1
            try:
                while begun < 3:
                    await asyncio.sleep(0)
                await asyncio.sleep(60 if idea else 0)
                return idea
            finally:
                ended += 1

        stream = BatchProcessor(quick(max_concurrent=3)).stream(range(1000), function)
        async for _ in stream:
            break
        del stream, _
        gc.collect()  # nobody has closed it: the event loop does, when it is gone
        while asyncio.all_tasks() - idle:
            await asyncio.sleep(0.001)
        return begun, ended

    begun, ended = run(main(), thorough=True)
    assert begun == ended
    assert 3 <= begun <= 4


def test_leaving_early_waits_until_what_was_in_flight_has_left() -> None:
    async def main() -> list[str]:
        left: list[str] = []

        async def function(idea: int) -> None:
            try:
                await asyncio.sleep(60 if idea else 0)
            finally:
                await asyncio.sleep(0.01)  # closes its connection
                left.append("closed")

        async with aclosing(BatchProcessor(quick(max_concurrent=3)).stream(range(99), function)) as stream:
            async for _ in stream:
                break
        return left

    assert 3 <= len(run(main(), thorough=True)) <= 4


def test_slow_consumer_slows_the_batch_down_and_misses_nothing() -> None:
    begun = drawn = 0

    def ideas() -> Iterator[int]:
        nonlocal drawn
        for number in range(AHEAD + 40_000):
            drawn += 1
            yield number

    async def function(idea: int) -> int:
        nonlocal begun
        begun += 1
        return idea

    async def main() -> None:
        total = 0
        async with aclosing(BatchProcessor(quick(max_concurrent=10)).stream(ideas(), function)) as stream:
            async for _ in stream:
                total += 1
                if total in (1, 500, 5000):
                    before = -1
                    while begun != before:  # until it stands still
                        before = begun
                        await asyncio.sleep(0.05)
                    assert total < begun <= total + AHEAD + 10
                    assert drawn < begun + 20_000
                if total == 5500:
                    break

    run(main())
    assert begun >= 5500


def test_results_that_were_taken_are_not_kept() -> None:
    class Large:
        pass

    async def main() -> int:
        known: list[weakref.ref[Large]] = []

        async def function(idea: int) -> Large:
            large = Large()
            known.append(weakref.ref(large))
            return large

        async with aclosing(BatchProcessor(quick(max_concurrent=2)).stream(itertools.count(), function)) as stream:
            total = 0
            async for result in stream:
                del result
                total += 1
                if total == 3 * AHEAD:
                    gc.collect()
                    return sum(reference() is not None for reference in known)
        raise AssertionError("it came to an end")

    assert run(main()) <= AHEAD + 10


def test_results_that_waited_for_a_slow_consumer_all_arrive() -> None:
    async def main() -> int:
        total = 0
        async for _ in BatchProcessor(quick(max_concurrent=10)).stream(range(3 * AHEAD), same):
            if total % AHEAD == 0:
                await asyncio.sleep(0.01)
            total += 1
        return total

    assert run(main()) == 3 * AHEAD


def test_error_of_the_source_comes_after_the_results_and_carries_the_report() -> None:
    def ideas() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("disk gone")

    async def main() -> tuple[list[int], Any]:
        found: list[BatchResult] = []
        stream = BatchProcessor(quick(mode="sequential")).stream(ideas(), same)
        with pytest.raises(OSError, match="disk gone") as caught:
            while True:
                found.append(await anext(stream))
        return [result.result for result in found], caught.value

    found, error = run(main())
    assert found == [1, 2]
    assert (error.report.total_items, error.report.success_count) == (2, 2)


def test_error_of_the_source_is_not_left_unheard_when_the_consumer_leaves() -> None:
    async def main() -> None:
        taken, failed = asyncio.Event(), asyncio.Event()

        async def ideas() -> AsyncIterator[int]:
            yield 1
            await taken.wait()
            failed.set()
            raise OSError("disk gone")

        async with aclosing(BatchProcessor(quick()).stream(ideas(), same)) as stream:
            async for _ in stream:
                taken.set()
                await failed.wait()
                await asyncio.sleep(0.01)  # and the batch has ended of it
                break

    run(main(), thorough=True)


def test_cancelling_the_consumer_leaves_no_task_and_carries_the_report() -> None:
    async def main() -> Any:
        third = asyncio.Event()

        async def function(idea: int) -> int:
            if idea > 2:
                await asyncio.sleep(60)
            return idea

        async def consume() -> None:
            total = 0
            async for _ in BatchProcessor(quick()).stream(range(100), function, "b"):
                total += 1
                if total == 3:
                    third.set()

        task = asyncio.create_task(consume())
        await third.wait()
        return await cancelled(task)

    error = run(main(), thorough=True)
    assert isinstance(error.report, BatchReport)
    assert (error.report.batch_id, error.report.state, error.report.success_count) == ("b", "cancelled", 3)


def test_wrong_ideas_are_refused_at_the_first_step() -> None:
    async def main() -> None:
        async for _ in BatchProcessor(quick()).stream("tea", same):
            raise AssertionError("nothing should come")

    with pytest.raises(UsageError, match="not a str"):
        run(main())
