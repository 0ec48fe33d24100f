"""Slots: bounded concurrency, timeouts that hit the right item, retries that hold no slot."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sinks import run_items

from batchq.config import RetryConfig
from batchq.context import Context
from batchq.engine.retry import RetryHandler
from batchq.errors import Permanent

FAST = RetryConfig(max_attempts=3, initial_delay=0.01)


def run(*arguments: Any, **options: Any) -> Any:
    return asyncio.run(asyncio.wait_for(run_items(*arguments, **options), 60))


def test_never_more_in_flight_than_slots_and_all_slots_used() -> None:
    now, most = 0, 0

    async def handler(item: Any) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1

    sink = run(handler, range(200), slots=9)
    assert most == 9
    assert len(sink.outcomes) == 200


def test_no_task_is_made_per_item() -> None:
    most = 0

    async def handler(item: Any) -> None:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))
        await asyncio.sleep(0)

    run(handler, range(3000), slots=20)
    assert most <= 20 + 3


def test_sync_handlers_run_side_by_side_in_threads() -> None:
    barrier = threading.Barrier(40, timeout=30)

    def handler(item: Any) -> str:
        barrier.wait()
        return threading.current_thread().name

    sink = run(handler, range(40), slots=40)
    assert all(outcome.failure is None for outcome in sink.outcomes.values())


def test_result_and_order_number_belong_together() -> None:
    async def handler(item: Any) -> Any:
        await asyncio.sleep(0.001 * (item % 3))
        return item * 2

    sink = run(handler, range(50))
    assert {seq: outcome.result for seq, outcome in sink.outcomes.items()} == {n + 1: str(2 * n) for n in range(50)}


def test_attempt_over_its_limit_fails_with_the_limit_named() -> None:
    async def handler(item: Any) -> None:
        await asyncio.sleep(30 if item == 1 else 0)

    sink = run(handler, [0, 1, 2], timeout=0.5)
    failed = sink.outcomes[2].failure
    assert failed is not None and (failed.error_type, failed.error) == ("ItemTimeout", "Timeout after 0.5s")
    assert sink.outcomes[1].failure is None and sink.outcomes[3].failure is None


def test_timeout_counts_each_attempt_anew_and_is_retried() -> None:
    async def handler(item: Any, ctx: Context) -> int:
        await asyncio.sleep(30 if ctx.attempt < 3 else 0)
        return ctx.attempt

    sink = run(handler, [0], timeout=0.5, retry=FAST)
    assert sink.outcomes[1].result == "3"
    assert [attempt.number for attempt in sink.attempts] == [1, 2]


def test_neighbours_of_a_handler_that_blocks_the_loop_are_not_timed_out() -> None:
    async def handler(item: Any) -> int:
        if item == 0:
            await asyncio.sleep(0.05)
            time.sleep(1.5)  # the fault under test: it blocks the loop
        await asyncio.sleep(0.1)
        return int(item)

    sink = run(handler, range(8), slots=8, timeout=1)
    assert [seq for seq, outcome in sink.outcomes.items() if outcome.failure and seq != 1] == []


def test_handler_that_swallows_its_cancellation_is_still_timed_out() -> None:
    async def handler(item: Any) -> str:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "as if nothing had happened"

    sink = run(handler, [0], timeout=0.1)
    assert sink.outcomes[1].failure.error_type == "ItemTimeout"


def test_structured_timeouts_of_a_handler_still_work_after_a_timeout_of_ours() -> None:
    async def handler(item: Any) -> str:
        if item == 0:
            await asyncio.sleep(30)
        try:
            await asyncio.wait_for(asyncio.sleep(30), 0.05)
        except asyncio.TimeoutError:
            return "its own"
        return "none"

    sink = run(handler, [0, 1], slots=1, timeout=1)
    assert sink.outcomes[2].result == '"its own"'


def test_sync_handler_over_its_limit_is_reported_stuck_and_begins_nothing_more() -> None:
    release = threading.Event()
    begun: list[int] = []

    def handler(item: Any) -> None:
        begun.append(item)
        if item == 0:
            release.wait(20)

    sink = run(handler, range(1), slots=1, timeout=0.2)
    release.set()
    assert sink.outcomes[1].failure.error_type == "ItemTimeout"
    assert sink.stuck_items == [1]


def test_item_that_waits_for_its_next_attempt_holds_no_slot() -> None:
    def order() -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []

        async def handler(item: Any, ctx: Context) -> None:
            seen.append((item, ctx.attempt))
            if item == 0 and ctx.attempt == 1:
                raise ConnectionError("reset")

        run(handler, range(5), slots=1, retry=RetryConfig(max_attempts=2, initial_delay=0.5))
        return seen

    # Where this process was stopped for half a second meanwhile, its next attempt was due before the others.
    assert [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (0, 2)] in (order() for _ in range(5))


def test_each_attempt_gets_the_item_as_it_was() -> None:
    async def handler(item: Any, ctx: Context) -> Any:
        item["seen"].append(ctx.attempt)
        if ctx.attempt < 3:
            raise ConnectionError("reset")
        return item

    sink = run(handler, [{"seen": []}], retry=FAST)
    assert sink.outcomes[1].result == '{"seen": [3]}'


@pytest.mark.parametrize(
    "error",
    [
        Permanent("no"),
        TypeError("wrong"),
        NameError("x"),
        AttributeError("y"),
        ImportError("z"),
        SystemExit(3),
    ],
)
def test_what_cannot_get_better_is_tried_once(error: BaseException) -> None:
    async def handler(item: Any) -> None:
        raise error

    sink = run(handler, [0], retry=FAST)
    assert sink.outcomes[1].attempts == 1
    assert sink.outcomes[1].failure.error_type == type(error).__name__


@pytest.mark.parametrize("error", [ValueError("v"), KeyError("k"), OSError(), AssertionError(), StopIteration()])
def test_other_errors_are_tried_as_often_as_asked(error: Exception) -> None:
    def handler(item: Any) -> None:
        raise error

    sink = run(handler, [0], retry=FAST)
    assert sink.outcomes[1].attempts == 3
    assert len(sink.attempts) == 3
    assert sink.outcomes[1].failure.error


def test_cancelled_error_out_of_a_handler_fails_that_item_alone() -> None:
    async def handler(item: Any) -> int:
        if item == 1:
            raise asyncio.CancelledError
        return int(item)

    sink = run(handler, range(3), retry=FAST)
    assert [outcome.failure is None for _, outcome in sorted(sink.outcomes.items())] == [True, False, True]


@pytest.mark.parametrize("slots", [1, 2])
def test_handler_that_cancels_its_own_task_harms_no_neighbour(slots: int) -> None:
    async def handler(item: Any) -> int:
        if item in (2, 5):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            return int(item)
        await asyncio.sleep(0.001)
        return int(item)

    sink = run(handler, range(9), slots=slots, timeout=5)
    assert [outcome.result for _, outcome in sorted(sink.outcomes.items())] == [str(n) for n in range(9)]


def test_cancellation_that_comes_while_a_slot_is_idle_does_not_end_it() -> None:
    async def handler(item: Any) -> int:
        if item == 0:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_later(0.05, task.cancel)
        if item == 1:
            await asyncio.sleep(0.15)
        return int(item)

    sink = run(handler, range(2), slots=3)
    assert len(sink.outcomes) == 2
    assert sink.outcomes[1].failure is None


@pytest.mark.parametrize("factor", [2.0, 1.5, 1.0])
def test_no_delay_stays_no_delay_however_many_attempts_there_were(factor: float) -> None:
    handler = RetryHandler(RetryConfig(max_attempts=5000, backoff_factor=factor, initial_delay=0.0))
    assert [handler.delay_after(ValueError("x"), attempt) for attempt in (1, 1024, 1025, 4000)] == [0.0] * 4


def test_delay_grows_by_its_factor_up_to_the_cap_and_never_overflows() -> None:
    handler = RetryHandler(RetryConfig(max_attempts=5000))
    assert [handler._calculate_delay(n) for n in (1, 2, 3, 10, 1100)] == [1.0, 2.0, 4.0, 60.0, 60.0]
    assert handler.delay_after(ValueError("x"), 5000) is None


def test_error_is_told_with_type_text_and_traceback_of_the_real_exception() -> None:
    def handler(item: Any) -> None:
        {}["missing"]

    failure = run(handler, [0], retry=FAST).outcomes[1].failure
    assert failure.error_type == "KeyError"
    assert failure.error == "KeyError('missing')"
    assert Path(__file__).name in failure.traceback
    assert "RetryError" not in failure.traceback and "batchq/engine" not in failure.traceback
    assert Path(__file__).name in failure.frame


def test_errors_that_differ_in_numbers_alone_share_a_fingerprint() -> None:
    def handler(item: Any) -> None:
        raise ValueError(f"request req_{item}f3 took {item} s")

    sink = run(handler, [11, 222])
    prints = {outcome.failure.fingerprint for outcome in sink.outcomes.values()}
    assert len(prints) == 1


def test_exception_that_cannot_be_printed_or_pickled_is_recorded() -> None:
    class Nasty(Exception):
        def __init__(self, code: int, reason: str) -> None:
            super().__init__()

        def __str__(self) -> str:
            raise RuntimeError("no text")

    def handler(item: Any) -> None:
        raise Nasty(7, "spent")

    failure = run(handler, [0]).outcomes[1].failure
    assert "Nasty" in failure.error_type and "Nasty" in failure.error


@pytest.mark.parametrize(
    ("result", "path", "kind"),
    [
        ({"client": {"lock": threading.Lock()}}, "$.client.lock", "lock"),
        ([1, (x for x in "ab")], "$[1]", "generator"),
        (float("nan"), "$", "float"),
        ({(1, 2): 3}, "$ key (1, 2)", "tuple"),
    ],
)
def test_result_that_json_cannot_hold_fails_the_item_once_and_names_the_culprit(
    result: Any, path: str, kind: str
) -> None:
    async def handler(item: Any) -> Any:
        return result

    outcome = run(handler, [0], retry=FAST).outcomes[1]
    assert outcome.attempts == 1
    assert outcome.failure.error_type == "UnserializableResult"
    assert path in outcome.failure.error and kind in outcome.failure.error


def test_sync_function_that_returns_an_awaitable_is_awaited() -> None:
    async def inner(item: Any) -> int:
        return int(item) + 1

    sink = run(lambda item: inner(item), [1, 2])
    assert [outcome.result for _, outcome in sorted(sink.outcomes.items())] == ["2", "3"]


def test_context_says_which_attempt_of_which_item_this_is() -> None:
    async def handler(item: Any, ctx: Context) -> Any:
        return [ctx.batch_id, ctx.item_id, ctx.seq, ctx.attempt, ctx.idempotency_key, ctx.resource]

    sink = run(handler, ["a"], resource="pool")
    assert sink.outcomes[1].result == '["b", "i1", 1, 1, "u:1", "pool"]'


def test_handlers_that_never_wait_let_the_others_have_their_turn() -> None:
    ended = ended_before = 0

    async def handler(item: Any) -> None:
        nonlocal ended, ended_before
        if item == 0:
            await asyncio.sleep(0.001)
            ended_before = ended
        ended += 1

    run(handler, range(20_000), slots=2)
    assert ended == 20_000 > 2 * ended_before


def test_duration_is_the_handlers_own_time() -> None:
    async def handler(item: Any) -> None:
        await asyncio.sleep(0.05)

    began = time.monotonic()
    sink = run(handler, range(8), slots=1)
    took_us = (time.monotonic() - began) * 1e6
    durations = [outcome.duration_us for outcome in sink.outcomes.values()]
    assert all(duration >= 45_000 for duration in durations)
    assert sum(durations) <= took_us, "the time in which it waited for its slot is none of an item's"
