"""The library in one call: `batchq.run` in each mode, and `batchq.map`."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import troubles
from durable import Idea, Library, ideas
from in_memory import results
from waiting import wait_until

import batchq
from batchq.errors import ConfigError, ItemFailed, TargetError, UsageError

every_mode = pytest.mark.parametrize("mode", ["parallel", "sequential", "queue"])


def square(item: Idea) -> int:
    """Of its n."""
    return int(item["n"]) ** 2


def threads() -> set[str]:
    """Names of those that map and run have started and that still live."""
    return {each.name for each in threading.enumerate() if each.name.startswith("batchq-") and each.is_alive()}


# run ---------------------------------------------------------------------------------------------------------


@every_mode
def test_run_waits_and_returns_the_report(mode: str, library: Library) -> None:
    told: list[int] = []
    report = batchq.run(
        ideas(30),
        square,
        batch_id="b1",
        mode=mode,
        on_result=lambda result: told.append(result.seq),
        home=library.home,
        max_concurrent=3,
        enable_progress_tracking=False,
    )
    assert (report.batch_id, report.state, report.success_count) == ("b1", "completed", 30)
    assert results(report) == [n * n for n in range(1, 31)]
    assert sorted(told) == list(range(1, 31))
    assert (report.config["mode"], report.config["max_concurrent"]) == (mode, 3)
    assert library.home.exists() == (mode == "queue"), "only a durable batch leaves something"
    wait_until(lambda: not threads())


def test_run_is_durable_unless_another_mode_is_asked_for(library: Library) -> None:
    report = batchq.run(ideas(2), square, home=library.home, enable_progress_tracking=False)
    assert (report.config["mode"], library.handle(report.batch_id).status().state) == ("queue", "completed")


@every_mode
def test_run_may_be_called_where_an_event_loop_runs_and_from_a_thread(mode: str, library: Library) -> None:
    settings: dict[str, Any] = {"mode": mode, "home": library.home, "enable_progress_tracking": False}

    async def in_a_notebook() -> Any:
        here = batchq.run(ideas(5), square, **settings)
        there = await asyncio.to_thread(batchq.run, ideas(5), square, **settings)
        return here, there

    for report in asyncio.run(in_a_notebook()):
        assert results(report) == [1, 4, 9, 16, 25]
    wait_until(lambda: not threads())


@every_mode
def test_run_takes_async_iterables_and_async_functions(mode: str, library: Library) -> None:
    async def source() -> AsyncIterator[Idea]:
        for idea in ideas(5):
            yield idea

    report = batchq.run(source(), troubles.scrambled, mode=mode, home=library.home, enable_progress_tracking=False)
    assert results(report) == [1, 2, 3, 4, 5]


@every_mode
def test_run_refuses_what_cannot_be_used(mode: str, library: Library) -> None:
    with pytest.raises(TypeError, match="max_concurent"):
        batchq.run(ideas(1), square, mode=mode, max_concurent=3)
    with pytest.raises(ConfigError, match="max_concurrent must be a whole number from 1"):
        batchq.run(ideas(1), square, mode=mode, max_concurrent=0)
    with pytest.raises(ConfigError, match="'sequential' or 'parallel' or 'queue'"):
        batchq.run(ideas(1), square, mode="turbo")
    with pytest.raises(UsageError, match="not a str"):
        batchq.run("tea", square, mode=mode, home=library.home)
    with pytest.raises(TargetError, match="not a function"):
        batchq.run(ideas(1), "square", mode=mode, home=library.home)  # type: ignore[arg-type]
    assert not library.home.exists()


# map ---------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_thread_stays_behind() -> Iterator[None]:
    yield
    wait_until(lambda: not threads())


def test_map_yields_results_in_the_order_of_the_items(library: Library) -> None:
    assert list(batchq.map(str.upper, ["tea", "rain"])) == ["TEA", "RAIN"]
    assert list(batchq.map(troubles.scrambled, ideas(200), max_concurrent=20)) == list(range(1, 201))
    assert list(batchq.map(square, [])) == []


def test_map_runs_as_many_at_a_time_as_it_may() -> None:
    now, peak = 0, 0

    async def function(item: int) -> int:
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        while peak < 7:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        now -= 1
        return item

    assert list(batchq.map(function, range(40), max_concurrent=7)) == list(range(40))
    assert peak == 7


def test_map_does_nothing_before_the_first_result_is_asked_for() -> None:
    drawn: list[int] = []

    def source() -> Iterator[int]:
        for n in itertools.count():
            drawn.append(n)
            yield n

    results = batchq.map(str, source())
    assert (drawn, threads()) == ([], set())
    assert next(results) == "0"
    assert drawn
    results.close()  # type: ignore[attr-defined]


def test_map_draws_no_further_than_a_little_ahead_of_a_slow_consumer() -> None:
    drawn: list[int] = [0]

    def source() -> Iterator[int]:
        for n in itertools.count():
            drawn[0] = n
            yield n

    seen = [-1] * 30

    def stands_still() -> bool:
        seen[:] = [*seen[1:], drawn[0]]
        return len(set(seen)) == 1

    results = batchq.map(str, source(), max_concurrent=4)
    assert next(results) == "0"
    wait_until(stands_still)
    assert drawn[0] < 5000
    assert list(itertools.islice(results, 10_000)) == [str(n) for n in range(1, 10_001)]
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["close", "break", "raise"])
def test_leaving_map_early_cancels_what_is_in_flight(how: str) -> None:
    cancelled: list[int] = []
    began = threading.Event()

    async def function(item: int) -> int:
        if item == 0:
            return item
        began.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return item

    results = batchq.map(function, range(100), max_concurrent=3)
    if how == "close":
        assert next(results) == 0
        began.wait(60)
        results.close()  # type: ignore[attr-defined]
    elif how == "break":
        for _ in results:
            began.wait(60)
            break
        del results
    else:
        with pytest.raises(LookupError):
            for _ in results:
                began.wait(60)
                raise LookupError
        del results
    wait_until(lambda: not threads())
    assert cancelled


def test_map_raises_at_the_first_item_that_fails_and_tells_which(library: Library) -> None:
    def function(item: Idea) -> int:
        if item["n"] == 3:
            raise ConnectionError("reset by peer")
        return int(item["n"])

    results = batchq.map(function, ideas(10), retry_attempts=2, retry_delay=0.001)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ItemFailed, match="item i3 failed after 2 attempts: ConnectionError: reset by peer") as caught:
        next(results)
    assert (caught.value.idea_id, caught.value.error, caught.value.attempts) == ("i3", "reset by peer", 2)
    assert list(results) == [], "a generator that has raised has ended"


def test_map_returns_failures_in_their_place_where_that_is_asked_for() -> None:
    def function(item: Idea) -> int:
        if item["n"] % 3 == 0:
            raise ValueError(item["n"])
        return int(item["n"])

    came = list(batchq.map(function, ideas(9), errors="return", retry_attempts=1))
    assert [each for each in came if not isinstance(each, ItemFailed)] == [1, 2, 4, 5, 7, 8]
    assert [(n, each.idea_id, each.error_type) for n, each in enumerate(came, 1) if isinstance(each, ItemFailed)] == [
        (n, f"i{n}", "ValueError") for n in (3, 6, 9)
    ]


@pytest.mark.parametrize("source", ["plain", "streamed"])
def test_map_raises_what_the_iterable_raises_behind_what_was_drawn(source: str) -> None:
    def plain() -> Iterator[int]:
        yield from range(5)
        raise OSError("disk gone")

    async def streamed() -> AsyncIterator[int]:
        for n in plain():
            yield n

    results = batchq.map(str, {"plain": plain, "streamed": streamed}[source]())
    assert list(itertools.islice(results, 5)) == ["0", "1", "2", "3", "4"]
    with pytest.raises(OSError, match="disk gone"):
        next(results)


def test_map_takes_async_iterables() -> None:
    async def source() -> AsyncIterator[int]:
        for n in range(20):
            await asyncio.sleep(0.001)
            yield n

    assert list(batchq.map(str, source())) == [str(n) for n in range(20)]


@pytest.mark.parametrize("function", [troubles.scrambled, square], ids=["async", "sync"])
def test_map_may_be_walked_where_an_event_loop_runs_and_in_a_thread(function: Callable[..., Any]) -> None:
    expected = [function(idea) if function is square else idea["n"] for idea in ideas(10)]

    async def main() -> tuple[list[Any], list[Any]]:
        there = await asyncio.to_thread(lambda: list(batchq.map(function, ideas(10))))
        return list(batchq.map(function, ideas(10))), there

    assert asyncio.run(main()) == (expected, expected)


def test_two_maps_may_be_walked_side_by_side() -> None:
    pairs = zip(batchq.map(str, range(300)), batchq.map(float, range(300), max_concurrent=2), strict=True)
    assert list(pairs) == [(str(n), float(n)) for n in range(300)]


def test_map_may_feed_on_a_map() -> None:
    assert list(batchq.map(len, batchq.map(str, range(95, 105)))) == [2] * 5 + [3] * 5


def test_map_refuses_what_cannot_be_used_at_once() -> None:
    with pytest.raises(ConfigError, match="errors must be 'raise' or 'return'"):
        batchq.map(str, [1], errors="ignore")
    with pytest.raises(ConfigError, match="max_concurrent"):
        batchq.map(str, [1], max_concurrent=0)
    with pytest.raises(UsageError, match="not a str"):
        batchq.map(str, "tea")
    with pytest.raises(TargetError):
        batchq.map("str", [1])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        batchq.map(str, [1], workrs=1)


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_run_in_a_running_loop_sees_the_context_of_its_caller(library: Library) -> None:
    async def main() -> list[Any]:
        variable.set("set")
        return results(batchq.run([1], lambda _: variable.get(), mode="sequential", enable_progress_tracking=False))

    assert asyncio.run(main()) == ["set"]
