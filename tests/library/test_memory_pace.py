"""Rate limits and budgets of batches in memory."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from skipping import process_skipping

import batchq
from batchq import BatchConfig, BatchHalted, BatchProcessor, Context


def run(function, count: int, **settings):  # type: ignore[no-untyped-def]
    config = BatchConfig(enable_progress_tracking=False, retry_attempts=1, **settings)
    return asyncio.run(BatchProcessor(config).process_batch(range(count), function))


def test_rate_spaces_what_begins() -> None:
    begun: list[float] = []

    async def function(idea: int) -> None:
        begun.append(time.monotonic())

    since = time.monotonic()
    report = run(function, 30, rate="50/s", max_concurrent=10)
    assert report.success_count == 30
    # None begins before it is due, however late the ones before it were; one that is late is made up for.
    assert all(when >= since + (number - 1) / 50 for number, when in enumerate(begun))


@pytest.mark.parametrize("mode", ["parallel", "sequential"])
def test_what_is_spent_is_limited_and_told(mode: str) -> None:
    def function(idea: int, ctx: Context) -> int:
        spending = ctx.spend(tokens=20)
        spending.settle(tokens=10, usd=0.5)
        return idea

    began = time.monotonic()
    report = run(function, 15, rate=["tokens=100/s"], mode=mode, max_concurrent=15)
    assert report.success_count == 15
    assert time.monotonic() - began >= 1
    assert report.spent == {"tokens": 150, "usd": 7.5}
    assert report.to_dict()["spent"] == {"tokens": 150, "usd": 7.5}


@pytest.mark.parametrize("mode", ["parallel", "sequential"])
def test_the_wait_for_its_turn_is_no_time_of_an_items(mode: str) -> None:
    async def function(idea: int, ctx: Context) -> None:
        (await ctx.spend(tokens=20)).settle(tokens=10)

    settings = {"rate": ["tokens=100/s"], "mode": mode, "max_concurrent": 15, "timeout_per_item": 0.05}
    report = process_skipping(range(15), function, retry_attempts=1, **settings)
    assert (report.success_count, report.spent) == (15, {"tokens": 150})
    assert report.total_duration >= 1


def test_what_only_waited_for_its_turn_is_not_spent() -> None:
    async def function(idea: int, ctx: Context) -> None:
        await ctx.spend(tokens=100)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ctx.spend(tokens=100, calls=1), 0.01)

    assert run(function, 1, rate=["tokens=100/m"]).spent == {"tokens": 100}


def test_who_is_cancelled_before_it_hears_whether_it_must_wait_has_spent_nothing() -> None:
    async def waits(spending: Any) -> None:
        await spending

    async def function(idea: int, ctx: Context) -> None:
        await ctx.spend(tokens=100)
        for _ in range(3):
            waiting = asyncio.ensure_future(waits(ctx.spend(tokens=100, calls=1)))
            await asyncio.sleep(0)  # it has begun
            waiting.cancel()
            await asyncio.wait([waiting])

    assert run(function, 1, rate=["tokens=100/m"]).spent == {"tokens": 100}


def test_budget_that_is_used_up_stops_the_batch() -> None:
    async def function(idea: int, ctx: Context) -> int:
        await ctx.spend(usd=1)
        return idea

    with pytest.raises(BatchHalted, match="the budget of 5 usd is used up") as stopped:
        run(function, 100, budget="usd=5", max_concurrent=2)
    assert 5 <= stopped.value.report.success_count <= 10


@pytest.mark.parametrize("in_thread", [False, True])
def test_handler_lets_the_whole_batch_wait(in_thread: bool) -> None:
    begun: dict[int, float] = {}

    def function(idea: int, ctx: Context) -> None:
        begun[idea] = time.monotonic()
        if idea == 0:
            ctx.hold(0.4)

    async def async_function(idea: int, ctx: Context) -> None:
        function(idea, ctx)

    report = run(function if in_thread else async_function, 4, max_concurrent=1)
    assert report.success_count == 4
    assert min(begun[idea] for idea in (1, 2, 3)) - begun[0] >= 0.4


def test_no_wait_that_is_none_is_asked_for() -> None:
    async def function(idea: int, ctx: Context) -> None:
        ctx.hold(-1)

    (item,) = run(function, 1).results
    assert (item["status"], item["error"]) == ("failed", "seconds must be a number from 0, not -1")


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), "5", True])
def test_amount_that_is_none_fails_the_item_and_says_why(amount: object) -> None:
    async def function(idea: int, ctx: Context) -> None:
        await ctx.spend(tokens=amount)  # type: ignore[arg-type]

    report = run(function, 1)
    assert "tokens must be a number from 0" in report.failures[0]["error"]


def test_context_made_by_hand_can_spend_for_tests_of_a_function() -> None:
    context = Context("b", "i", 1, 1, "k", None, None)  # type: ignore[arg-type]
    context.spend(tokens=5).settle(tokens=4)

    async def function() -> batchq.Spending:
        return await context.spend(tokens=5)

    assert isinstance(asyncio.run(function()), batchq.Spending)


@pytest.mark.parametrize("setting", [{"rate": "fast"}, {"budget": "20"}, {"rate": ["10/s", "x"]}])
def test_limit_that_is_none_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be such as"):
        BatchConfig(**setting)  # type: ignore[arg-type]
