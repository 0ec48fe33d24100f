"""Where ideas come from: any iterable, drawn as it is needed, slow ones and those that fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from in_memory import any_source, cancelled, ended_early, failing_source, process, quick, results, run

from batchq import BatchProcessor, BatchReport, BatchResult

either_mode = pytest.mark.parametrize("mode", ["parallel", "sequential"])


async def same(idea: Any) -> Any:
    """The idea itself."""
    return idea


# Sources -----------------------------------------------------------------------------------------------------


@either_mode
@any_source
def test_any_iterable_is_a_source_of_ideas(source: Callable[..., Any], mode: str) -> None:
    report = process(source(iter(range(300))), same, mode=mode)
    assert (report.total_items, results(report)) == (300, list(range(300)))


@any_source
def test_source_without_ideas_is_a_finished_batch(source: Callable[..., Any]) -> None:
    report = process(source(iter([])), same)
    assert (report.total_items, report.state) == (0, "completed")


@either_mode
@any_source
def test_ideas_are_drawn_lazily(source: Callable[..., Any], mode: str) -> None:
    drawn = 0
    found: list[int] = []

    def ideas() -> Iterator[int]:
        nonlocal drawn
        for number in range(50):
            drawn += 1
            yield number

    async def function(idea: int) -> None:
        if idea == 0:
            await asyncio.sleep(0.05)  # nothing but the lack of slots keeps the rest from being drawn
            found.append(drawn)
        elif idea < 4 and not found:
            await asyncio.sleep(0.1)

    process(source(ideas()), function, mode=mode, max_concurrent=4)
    assert found[0] <= (1 if mode == "sequential" else 5)
    assert drawn == 50


def test_slow_generator_keeps_nobody_from_running() -> None:
    done = 0
    done_when_last_was_drawn: list[int] = []

    def ideas() -> Iterator[int]:
        yield from range(30_000)  # so fast that many are drawn ahead
        for number in range(30_000, 30_030):
            time.sleep(0.01)  # reads from a slow disk
            if number == 30_029:
                done_when_last_was_drawn.append(done)
            yield number

    async def function(idea: int) -> None:
        nonlocal done
        done += 1

    process(ideas(), function, max_concurrent=20)
    assert done_when_last_was_drawn[0] >= 30_015
    assert done == 30_030


def test_slow_async_generator_waits_for_nobody_and_nobody_for_it() -> None:
    async def ideas() -> AsyncIterator[int]:
        for number in range(5):
            yield number
            await asyncio.wait_for(answered[number].wait(), 10)  # comes only when this one has run

    answered = [asyncio.Event() for _ in range(5)]

    async def function(idea: int) -> int:
        answered[idea].set()
        return idea

    assert results(process(ideas(), function, max_concurrent=3)) == [0, 1, 2, 3, 4]


# Sources that fail -------------------------------------------------------------------------------------------


@any_source
def test_error_of_the_source_carries_report_and_what_was_in_flight(source: Callable[..., Any]) -> None:
    async def main() -> BatchReport:
        released = asyncio.Event()
        ended: list[int] = []

        async def function(idea: int) -> int:
            if idea == 1:
                await released.wait()
                while not ended:
                    await asyncio.sleep(0)
            ended.append(idea)
            return idea * 10

        ideas = source(failing_source(OSError("disk gone"), [released]))
        with pytest.raises(OSError, match=r"^disk gone$") as caught:
            await BatchProcessor(quick(max_concurrent=2)).process_batch(ideas, function, "b")
        assert ended == [2, 1]
        assert list(caught.value.results) == list(caught.value.report.results)  # type: ignore[attr-defined]
        report: BatchReport = caught.value.report  # type: ignore[attr-defined]
        return report

    report = run(main())
    assert results(report) == [10, 20]
    assert (report.batch_id, report.total_items, report.success_count) == ("b", 2, 2)
    assert report.state == "failed"
    assert report.reason == "OSError: disk gone"


@either_mode
@any_source
def test_what_was_drawn_before_an_error_of_the_source_still_runs(source: Callable[..., Any], mode: str) -> None:
    attempts: list[int] = []

    async def function(idea: int) -> int:
        attempts.append(idea)
        if attempts.count(2) == 1 and idea == 2:
            raise ConnectionError("reset")
        return idea * 10

    ideas = source(failing_source(OSError("disk gone"), []))
    error = ended_early(BatchProcessor(quick(mode=mode)).process_batch(ideas, function))
    assert isinstance(error, OSError)
    assert results(error.report) == [10, 20]
    assert attempts == [1, 2, 2]


class Unprintable(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@any_source
@pytest.mark.parametrize("error", [Unprintable(), ValueError(), RuntimeError("x")], ids=lambda e: type(e).__name__)
def test_error_of_the_source_arrives_whatever_it_is(source: Callable[..., Any], error: Exception) -> None:
    caught = ended_early(BatchProcessor(quick()).process_batch(source(failing_source(error, [])), same))
    assert caught is error
    assert isinstance(caught.report, BatchReport)


@any_source
def test_cancelled_error_of_the_source_ends_the_batch_and_does_not_hang(source: Callable[..., Any]) -> None:
    async def main() -> Any:
        ideas = source(failing_source(asyncio.CancelledError(), []))
        task = asyncio.create_task(BatchProcessor(quick()).process_batch(ideas, same))
        await asyncio.wait([task], timeout=10)
        assert task.done()
        return await cancelled(task)

    assert run(main(), thorough=True).report.total_items == 2


def test_async_generator_is_closed_before_the_batch_that_ends_early_is_over() -> None:
    left: list[str] = []

    async def ideas() -> AsyncIterator[int]:
        try:
            for number in range(100):
                yield number
        finally:
            await asyncio.sleep(0.01)  # closes its connection
            left.append("closed")

    def stop(result: BatchResult) -> None:
        raise KeyError("enough")

    async def main() -> list[str]:
        with pytest.raises(KeyError, match="enough"):
            await BatchProcessor(quick(max_concurrent=2)).process_batch(ideas(), same, on_result=stop)
        return list(left)

    assert run(main()) == ["closed"]


def test_async_generator_that_fails_while_it_is_closed_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def ideas() -> AsyncIterator[int]:
        try:
            for number in range(100):
                yield number
        finally:
            raise OSError("cannot close")

    def stop(result: BatchResult) -> None:
        raise KeyError("enough")

    error = ended_early(BatchProcessor(quick(max_concurrent=2)).process_batch(ideas(), same, on_result=stop))
    assert isinstance(error, KeyError)
    assert "cannot close" in caplog.text
