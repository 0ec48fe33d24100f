"""PARALLEL and SEQUENTIAL: which functions and ideas they take, what they refuse, and in what order they run."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from in_memory import process, quick, results, run, statuses

from batchq import BatchProcessor, BatchReport, Context
from batchq.errors import ConfigError, TargetError, UsageError

either_mode = pytest.mark.parametrize("mode", ["parallel", "sequential"])
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id")


async def same(idea: Any) -> Any:
    """The idea itself."""
    return idea


# Functions ---------------------------------------------------------------------------------------------------


class Writer:
    """Has functions of every kind."""

    def __init__(self, word: str) -> None:
        self.word = word

    def write(self, idea: str) -> str:
        """In a thread."""
        return f"{self.word} {idea}"

    async def write_async(self, idea: str) -> str:
        """In the event loop."""
        await asyncio.sleep(0)
        return f"{self.word} {idea}"

    @staticmethod
    def write_static(idea: str) -> str:
        """Of no object."""
        return f"more {idea}"

    @classmethod
    async def write_of_class(cls, idea: str) -> str:
        """Of the class."""
        return f"more {idea}"


class Called(Writer):
    """An object that is called."""

    def __call__(self, idea: str) -> str:
        return self.write(idea)


class CalledAsync(Writer):
    """An object that is called and awaited."""

    async def __call__(self, idea: str) -> str:
        return await self.write_async(idea)


def made(word: str) -> dict[str, Callable[..., Any]]:
    """Functions that all do the same."""
    writer = Writer(word)

    async def closure(idea: str) -> str:
        return f"{word} {idea}"

    async def of_two(first: str, idea: str) -> str:
        return f"{first} {idea}"

    def of_two_sync(idea: str, *, first: str) -> str:
        return f"{first} {idea}"

    @functools.wraps(closure)
    def wrapped(idea: str) -> Any:
        return closure(idea)

    return {
        "closure": closure,
        "lambda": lambda idea: f"{word} {idea}",
        "lambda of a coroutine": lambda idea: closure(idea),
        "wrapper of a coroutine function": wrapped,
        "bound method": writer.write,
        "bound async method": writer.write_async,
        "static method": Writer.write_static,
        "class method": Writer.write_of_class,
        "partial": functools.partial(of_two_sync, first=word),
        "async partial": functools.partial(of_two, word),
        "partial of a partial": functools.partial(functools.partial(of_two), word),
        "partial of a method": functools.partial(writer.write),
        "callable object": Called(word),
        "async callable object": CalledAsync(word),
        "builtin": f"{word} {{}}".format,
    }


@either_mode
@pytest.mark.parametrize("kind", made("more"))
def test_function_of_any_kind_gets_the_idea(mode: str, kind: str) -> None:
    report = process(["tea", "rain", "fog"], made("more")[kind], mode=mode)
    assert results(report) == ["more tea", "more rain", "more fog"]


@pytest.mark.parametrize("blocking", [True, False])
def test_context_variables_of_the_caller_are_seen_by_every_function(blocking: bool) -> None:
    def in_thread(idea: int) -> str:
        return request_id.get()

    async def in_loop(idea: int) -> str:
        return request_id.get()

    async def main() -> BatchReport:
        request_id.set("r-7")
        return await BatchProcessor(quick()).process_batch(range(4), in_thread if blocking else in_loop)

    assert results(run(main())) == ["r-7"] * 4


def test_context_tells_batch_item_attempt_and_a_key_that_stays() -> None:
    told: list[Context] = []

    async def function(idea: dict[str, Any], ctx: Context) -> None:
        told.append(ctx)
        if ctx.attempt == 1:
            raise ConnectionError("reset")

    run(BatchProcessor(quick(mode="sequential")).process_batch([{"id": "a1"}, {}], function, "b7"))
    assert [(each.item_id, each.seq, each.attempt) for each in told] == [
        ("a1", 1, 1),
        ("a1", 1, 2),
        ("item-2", 2, 1),
        ("item-2", 2, 2),
    ]
    assert {each.batch_id for each in told} == {"b7"}
    keys = [each.idempotency_key for each in told]
    assert keys[0] == keys[1] and keys[2] == keys[3] and keys[0] != keys[2]


def test_context_is_given_to_a_function_that_needs_a_second_argument_or_names_it_and_to_no_other() -> None:
    def annotated(idea: str, more: Context | None = None) -> bool:
        return more is not None

    assert results(process(["tea"], annotated)) == [True]
    assert results(process(["tea"], lambda idea, anything: anything.seq)) == [1]
    assert results(process(["tea"], lambda idea, ctx=None: ctx is not None)) == [True]
    assert results(process(["tea"], lambda idea, context=None: context)) == [None]
    assert results(process(["tea"], lambda idea, language="en": language)) == ["en"]
    assert results(process(["tea"], lambda *everything: everything)) == [("tea",)]


def test_sync_function_runs_in_a_daemon_thread_and_an_async_one_in_the_loop() -> None:
    async def in_loop(idea: int) -> bool:
        return threading.current_thread() is threading.main_thread()

    assert results(process([1], in_loop)) == [True]
    assert results(process([1], lambda idea: threading.current_thread().daemon)) == [True]


# Results and exceptions that are none ------------------------------------------------------------------------


def generator(idea: Any) -> Iterator[Any]:
    """Forgets that its caller has to walk it."""
    yield idea


async def async_generator(idea: Any) -> AsyncIterator[Any]:
    """Likewise."""
    yield idea


async def forgets_await(idea: Any) -> Any:
    """Forgets the await."""
    return same(idea)


@pytest.mark.parametrize(
    ("function", "kind", "advice"),
    [
        (generator, "generator", "return a list"),
        (async_generator, "async_generator", "return a list"),
        (forgets_await, "coroutine", "await"),
    ],
)
def test_result_that_has_not_run_yet_fails_the_item_once_without_a_warning(
    function: Callable[..., Any], kind: str, advice: str
) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        report = process([1, 2], function)
        gc.collect()
    assert heard == []
    assert (report.success_count, report.failure_count) == (0, 2)
    failure = report.failures[0]
    assert (failure["attempts"], failure["error_type"]) == (1, "UnserializableResult")
    assert kind in failure["error"] and advice in failure["error"]


class Unprintable(Exception):
    """Has no text, and cannot be pickled."""

    def __init__(self, code: int, lock: Any) -> None:
        super().__init__()
        self.lock = lock

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@either_mode
def test_exception_that_cannot_be_printed_or_pickled_is_recorded(mode: str) -> None:
    def function(idea: int) -> int:
        if idea == 1:
            raise Unprintable(7, threading.Lock())
        return idea

    report = process(range(3), function, mode=mode)
    assert statuses(report) == ["success", "failed", "success"]
    assert "Unprintable" in report.failures[0]["error"]
    assert report.failures[0]["attempts"] == 3


# Order -------------------------------------------------------------------------------------------------------


def listed() -> list[int]:
    """Five ideas."""
    return [1, 2, 3, 4, 5]


async def trickling() -> AsyncIterator[int]:
    """The same."""
    for idea in listed():
        await asyncio.sleep(0)
        yield idea


@pytest.mark.parametrize("source", [listed, trickling])
@pytest.mark.parametrize("sync", [True, False])
def test_sequential_begins_an_item_when_the_one_before_is_done_retries_included(
    source: Callable[[], Any], sync: bool
) -> None:
    order: list[tuple[str, int]] = []

    def attempt(idea: int) -> None:
        order.append(("begin", idea))
        if idea in (2, 4) and order.count(("begin", idea)) < 3:
            raise ConnectionError("reset")
        order.append(("end", idea))

    async def attempt_async(idea: int) -> None:
        await asyncio.sleep(0.002)
        attempt(idea)

    function = attempt if sync else attempt_async
    report = process(source(), function, mode="sequential", max_concurrent=8, retry_delay=0.02)
    assert report.success_count == 5
    expected: list[tuple[str, int]] = []
    for idea in listed():
        expected += [("begin", idea)] * (3 if idea in (2, 4) else 1) + [("end", idea)]
    assert order == expected


def test_parallel_keeps_results_in_the_order_of_the_input_whichever_ends_first() -> None:
    ended: list[int] = []
    turn = [asyncio.Event() for _ in range(6)]

    async def function(idea: int) -> int:
        if idea < 5:
            await turn[idea + 1].wait()
        ended.append(idea)
        turn[idea].set()
        return idea * 10

    assert results(process(range(6), function, max_concurrent=6)) == [0, 10, 20, 30, 40, 50]
    assert ended == [5, 4, 3, 2, 1, 0]


# What is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ideas", "words"),
    [
        ("tea", "not a str"),
        (b"tea", "not a bytes"),
        (Path("ideas.jsonl"), "not a PosixPath"),
        ({"id": "a1"}, "not one dict"),
        (None, "not a NoneType"),
        (7, "not a int"),
        (listed, "not a function"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_collection_of_ideas_is_refused_before_anything_runs(ideas: Any, words: str) -> None:
    calls: list[Any] = []
    processor = BatchProcessor(quick())
    with pytest.raises(UsageError, match=words) as caught:
        run(processor.process_batch(ideas, calls.append))
    assert caught.value.hint
    assert (calls, processor.batch_id) == ([], None)


@pytest.mark.parametrize("function", [None, "module:function", 7, {"id": "a1"}], ids=repr)
def test_what_is_no_function_is_refused_before_anything_is_drawn(function: Any) -> None:
    drawn: list[int] = []
    ideas = (drawn.append(n) for n in range(3))
    with pytest.raises(TargetError, match="not a function") as caught:
        run(BatchProcessor(quick()).process_batch(ideas, function))
    assert "Pass the function itself" in caught.value.hint
    assert drawn == []


def test_coroutine_in_the_place_of_a_function_is_refused() -> None:
    coroutine = same({"id": "a1"})
    with pytest.raises(TargetError, match="it is a coroutine, not a function"):
        run(BatchProcessor(quick()).process_batch([1], coroutine))  # type: ignore[arg-type]
    coroutine.close()


@pytest.mark.parametrize("function", [lambda: None, lambda a, b, c: None, lambda idea, *, key: None])
def test_function_that_cannot_be_called_with_an_idea_is_refused(function: Any) -> None:
    with pytest.raises(TargetError, match="argument"):
        run(BatchProcessor(quick()).process_batch([1], function))


def test_errors_of_usage_say_what_to_do_and_settings_are_value_errors_too() -> None:
    processor = BatchProcessor(quick())
    processor.config.max_concurrent = 0
    with pytest.raises(ValueError, match="max_concurrent") as caught:
        run(processor.process_batch([1], same))
    assert isinstance(caught.value, ConfigError)
