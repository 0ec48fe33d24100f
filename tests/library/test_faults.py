"""What the original did badly with its batches: false successes, lost work, hangs, and timeouts that did not fire."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from in_memory import cancelled, process, quick, results, run, statuses
from skipping import process_skipping

from batchq import (
    BatchConfig,
    BatchProcessor,
    BatchReport,
    Context,
    ProcessingMode,
    QueueConfig,
    RetryConfig,
    RetryHandler,
)
from batchq.errors import ConfigError

either_mode = pytest.mark.parametrize("mode", ["parallel", "sequential"])


async def same(idea: Any) -> Any:
    """The idea itself."""
    return idea


# False success -----------------------------------------------------------------------------------------------


@either_mode
@pytest.mark.parametrize(
    "error", [TimeoutError(), AssertionError(), asyncio.TimeoutError(), Exception(""), OSError()], ids=repr
)
def test_exception_without_a_text_is_a_failure_and_named_by_its_type(mode: str, error: Exception) -> None:
    async def function(idea: Any) -> None:
        raise error

    report = process([{"id": "a1"}], function, mode=mode)
    assert (report.success_count, report.failure_count) == (0, 1)
    assert type(error).__name__ in report.failures[0]["error"]


@pytest.mark.parametrize("error", [TimeoutError(), AssertionError(), Exception("")], ids=repr)
def test_exception_without_a_text_is_a_failure_of_the_retry_handler_too(error: Exception) -> None:
    async def function() -> None:
        raise error

    result, attempts, text = run(RetryHandler(RetryConfig(2, initial_delay=0.0)).execute_with_retry(function))
    assert (result, attempts) == (None, 2)
    assert text is not None and type(error).__name__ in text


@pytest.mark.parametrize("attempts", [0, -1, 1.5, True, "3"])
def test_no_attempts_at_all_are_refused(attempts: Any) -> None:
    with pytest.raises(ConfigError, match="retry_attempts must be a whole number from 1"):
        BatchConfig(retry_attempts=attempts)
    with pytest.raises(ValueError, match="attempts must be a whole number from 1"):
        RetryConfig(max_attempts=attempts)


def test_no_attempts_are_refused_too_when_they_are_set_later() -> None:
    processor = BatchProcessor(quick())
    processor.config.retry_attempts = 0
    calls: list[Any] = []
    with pytest.raises(ConfigError, match="retry_attempts"):
        run(processor.process_batch([1], calls.append))
    assert calls == []


def test_skipped_items_are_no_failures_and_the_summary_tells_them(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"idea_id": f"i{n}", "status": status} for n, status in enumerate(["success", "skipped", "failed"])]
    processor = BatchProcessor(quick())
    report = processor.generate_report(rows)
    assert (report.total_items, report.success_count, report.failure_count, report.skipped_count) == (3, 1, 1, 1)
    assert [failure["idea_id"] for failure in report.failures] == ["i2"]
    assert [result["status"] for result in report.results] == ["success", "skipped", "failed"]
    processor.report_generator.print_summary(report)
    assert "1 skipped" in capsys.readouterr().out


@pytest.mark.parametrize("empty", [None, "", b"", [], {}, (), set()], ids=repr)
def test_empty_result_fails_where_it_is_asked_to_and_else_succeeds(empty: Any) -> None:
    report = process([1], lambda idea: empty, empty_result="fail")
    assert (report.failure_count, report.failures[0]["attempts"]) == (1, 3)
    assert "empty" in report.failures[0]["error"]
    assert process([1], lambda idea: empty).success_count == 1


@pytest.mark.parametrize("result", [0, False, 0.0, [None], " "], ids=repr)
def test_result_that_says_something_is_not_empty(result: Any) -> None:
    assert results(process([1], lambda idea: result, empty_result="fail")) == [result]


def test_item_recovers_when_a_later_result_is_not_empty() -> None:
    answers = [[], None, ["tea"]]
    report = process([1], lambda idea: answers.pop(0), empty_result="fail")
    assert (results(report), report.results[0]["attempts"], report.recovered) == ([["tea"]], 3, 1)


def test_another_answer_to_empty_results_is_refused() -> None:
    with pytest.raises(ConfigError, match="empty_result must be 'keep' or 'fail', not 'drop'"):
        BatchConfig(empty_result="drop")


# Lost work ---------------------------------------------------------------------------------------------------


def test_what_the_function_returned_is_kept_as_it_was() -> None:
    made = [object() for _ in range(20)]
    report = process(range(20), lambda number: made[number])
    assert len(report.results) == 20
    assert all(kept is given for kept, given in zip(results(report), made, strict=True))
    assert report.results[-1]["result"] is made[19]
    assert [result["seq"] for result in report.results[5:8]] == [6, 7, 8]


@either_mode
def test_cancellation_carries_report_and_results_of_what_was_done(mode: str) -> None:
    hanging = asyncio.Event()

    async def function(idea: int) -> int:
        if idea == 4:
            hanging.set()
            await asyncio.sleep(60)
        if idea == 2:
            raise ValueError("no")
        return idea * 10

    async def main() -> Any:
        processor = BatchProcessor(quick(mode=mode, max_concurrent=4, retry_attempts=1))
        task = asyncio.create_task(processor.process_batch(range(1, 100), function, "b"))
        await hanging.wait()
        while processor.processed_items < 3:
            await asyncio.sleep(0.001)
        return await cancelled(task)

    error = run(main())
    assert isinstance(error.report, BatchReport)
    done = {result["seq"]: result.get("result") for result in error.results}
    assert (done[1], done[2], done[3]) == (10, None, 30)
    assert 4 not in done
    assert (error.report.batch_id, error.report.state) == ("b", "cancelled")
    assert error.report.processed_items == len(done)
    assert [failure["seq"] for failure in error.report.failures] == [2]
    assert list(error.report.results) == list(error.results)


def test_batch_has_no_limit_of_a_thousand_ideas() -> None:
    report = process(range(2500), same, max_concurrent=50)
    assert report.success_count == 2500
    assert results(report) == list(range(2500))


def test_second_batch_of_a_processor_counts_from_nothing() -> None:
    processor = BatchProcessor(quick())
    first = run(processor.process_batch(range(7), same))
    second = run(processor.process_batch(range(3), same))
    assert (second.total_items, second.processed_items, second.success_count) == (3, 3, 3)
    assert (processor.total_items, processor.processed_items) == (3, 3)
    assert first.batch_id != second.batch_id
    assert results(first) == list(range(7))


def test_two_batches_at_once_on_one_processor_do_not_mix() -> None:
    together = threading.Barrier(2, timeout=30)  # both are under way before either can end

    def function(idea: str) -> str:
        if idea in ("a0", "b0"):
            together.wait()
        return idea.upper()

    async def main() -> list[BatchReport]:
        processor = BatchProcessor(quick())
        return await asyncio.gather(
            processor.process_batch([f"a{n}" for n in range(20)], function, "first"),
            processor.process_batch([f"b{n}" for n in range(9)], function, "second"),
        )

    def function_of(letter: str, count: int) -> list[str]:
        return [f"{letter}{n}" for n in range(count)]

    first, second = run(main())
    assert (first.batch_id, first.total_items, results(first)) == ("first", 20, function_of("A", 20))
    assert (second.batch_id, second.total_items, results(second)) == ("second", 9, function_of("B", 9))


def test_attributes_of_a_processor_are_those_of_the_batch_that_began_last() -> None:
    async def main() -> BatchProcessor:
        gate = asyncio.Event()

        async def waits(idea: int) -> None:
            await gate.wait()

        processor = BatchProcessor(quick())
        first = asyncio.create_task(processor.process_batch(range(3), waits, "first"))
        await asyncio.sleep(0)
        await processor.process_batch(range(5), same, "second")
        gate.set()
        await first
        return processor

    processor = run(main())
    assert (processor.batch_id, processor.total_items, processor.processed_items) == ("second", 5, 5)


# Hangs and crashes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, 2.5, True, None, "5"])
def test_no_place_to_run_in_is_refused_instead_of_waiting_for_ever(value: Any) -> None:
    with pytest.raises(ConfigError, match="max_concurrent must be a whole number from 1"):
        BatchConfig(max_concurrent=value)
    processor = BatchProcessor(quick())
    processor.config.max_concurrent = value
    with pytest.raises(ConfigError, match="max_concurrent"):
        run(processor.process_batch([1], same))


@pytest.mark.parametrize("value", [0, -5, 1.5])
def test_chunks_of_nothing_are_refused_instead_of_doing_nothing(value: Any) -> None:
    with pytest.raises(ConfigError, match="chunk_size must be a whole number from 1"):
        BatchConfig(chunk_size=value)
    with pytest.raises(ConfigError, match="chunk size must be a whole number from 1"):
        QueueConfig(chunk_size=value)


@pytest.mark.parametrize(
    "setting",
    [{"timeout_per_item": -1}, {"retry_delay": -0.1}, {"retry_backoff": 0.5}, {"retry_jitter": 2}, {"workers": 0}],
    ids=str,
)
def test_other_settings_out_of_their_range_are_refused_by_name(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        BatchConfig(**setting)


@either_mode
def test_ideas_that_are_no_dicts_run_like_others(mode: str) -> None:
    ideas = [1, "two", None, ("t",), 3.5, ["list"], {"id": "a7"}, b"bytes", {1, 2}]
    report = process(ideas, same, mode=mode)
    assert results(report) == ideas
    ids = [result["idea_id"] for result in report.results]
    assert ids == [f"item-{n}" for n in range(1, 7)] + ["a7", "item-8", "item-9"]


@either_mode
def test_cancelled_error_out_of_the_function_fails_that_item_alone(mode: str) -> None:
    async def function(idea: int) -> int:
        if idea == 1:
            raise asyncio.CancelledError
        if idea == 3:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        return idea

    report = process(range(6), function, mode=mode)
    assert statuses(report) == ["success", "failed", "success", "failed", "success", "success"]
    assert "CancelledError" in report.failures[0]["error"]


@either_mode
def test_what_is_no_exception_of_a_program_fails_that_item_alone(mode: str) -> None:
    class Leave(BaseException):
        pass

    def function(idea: int) -> int:
        if idea in (1, 2):
            raise SystemExit(3) if idea == 1 else Leave("now")
        return idea

    assert statuses(process(range(4), function, mode=mode)) == ["success", "failed", "failed", "success"]


@pytest.mark.parametrize("name", ["sequential", "SEQUENTIAL", "Sequential"])
def test_mode_may_be_given_by_its_name_at_any_time(name: str) -> None:
    assert BatchConfig(mode=name).mode is ProcessingMode.SEQUENTIAL
    processor = BatchProcessor(quick())
    processor.config.mode = name
    report = run(processor.process_batch(range(3), same))
    assert (report.config["mode"], report.success_count) == ("sequential", 3)


@pytest.mark.parametrize("mode", ["turbo", "", None, 3])
def test_unknown_mode_is_refused_with_those_that_there_are(mode: Any) -> None:
    with pytest.raises(ConfigError, match="mode must be 'sequential' or 'parallel' or 'queue', not"):
        BatchConfig(mode=mode)


@either_mode
def test_batch_without_ideas_is_finished_and_has_a_summary(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = process([], same, mode=mode)
    assert (report.total_items, report.processed_items, report.avg_processing_time) == (0, 0, 0.0)
    assert (report.state, len(report.results)) == ("completed", 0)
    BatchProcessor().report_generator.print_summary(report)
    assert "0 succeeded, 0 failed" in capsys.readouterr().out


# Timeout -----------------------------------------------------------------------------------------------------


def test_timeout_leaves_out_the_waiting_between_attempts() -> None:
    calls = 0

    async def function(idea: Any) -> int:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ConnectionError("reset")
        return calls

    report = process_skipping([1], function, timeout_per_item=5, retry_delay=6, retry_backoff=1.0)
    assert (results(report), report.results[0]["attempts"]) == ([3], 3)


def test_timeout_does_not_hide_the_real_error() -> None:
    async def function(idea: Any) -> None:
        raise ConnectionError("reset by peer")

    report = process_skipping([1], function, timeout_per_item=5, retry_delay=6, retry_attempts=2)
    assert (report.failures[0]["error"], report.failures[0]["error_type"]) == ("reset by peer", "ConnectionError")


def test_timeout_is_tried_again_as_other_transient_errors_are() -> None:
    calls = 0

    async def function(idea: Any) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(60)
        return "answered"

    report = process_skipping([1], function, timeout_per_item=5)
    assert (results(report), report.results[0]["attempts"], report.retries) == (["answered"], 2, 1)


def test_every_attempt_that_timed_out_is_counted() -> None:
    calls = 0

    async def function(idea: Any) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(60)

    report = process([1], function, timeout_per_item=0.05)
    assert (report.failures[0]["attempts"], calls, report.attempts) == (3, 3, 3)
    assert report.failures[0]["error"] == "Timeout after 0.05s"


@either_mode
def test_timeout_fires_on_a_sync_function_that_blocks(mode: str) -> None:
    release = threading.Event()

    def function(idea: int) -> int:
        if idea == 1:
            release.wait(60)
        return idea

    try:
        report = process(range(4), function, mode=mode, timeout_per_item=0.5, retry_attempts=2)
    finally:
        release.set()
    assert statuses(report) == ["success", "failed", "success", "success"]
    assert (report.failures[0]["error"], report.failures[0]["attempts"]) == ("Timeout after 0.5s", 2)


def test_timeout_fires_on_async_code_that_blocks_when_it_returns() -> None:
    async def function(idea: Any) -> str:
        time.sleep(0.3)  # the fault: it blocks the event loop
        return "as if it had been in time"

    report = process(range(2), function, timeout_per_item=0.1, retry_attempts=1)
    assert [failure["error"] for failure in report.failures] == ["Timeout after 0.1s"] * 2


@pytest.mark.parametrize("wants_context", [True, False])
def test_timeout_fires_on_async_code_that_blocks_after_many_quick_calls(wants_context: bool) -> None:
    blocked: list[int] = []

    async def function(idea: int) -> None:
        if idea == 80 and not blocked:
            blocked.append(idea)
            time.sleep(0.6)

    async def with_context(idea: int, ctx: Context) -> None:
        await function(idea)

    report = process(range(100), with_context if wants_context else function, timeout_per_item=0.5)
    assert (report.success_count, report.results[80]["attempts"]) == (100, 2)
    assert report.recovered < 10, "on a busy machine another one may time out too"


def test_timeout_fires_while_async_code_blocks_once_it_is_known_to_do_so() -> None:
    release, waited = threading.Event(), list[int]()

    async def function(idea: int) -> None:
        if idea < 4:
            time.sleep(0.05)
        else:
            release.wait(30)
            waited.append(idea)

    try:
        report = process(range(7), function, max_concurrent=3, timeout_per_item=0.6, retry_attempts=2)
        assert not waited, "the timeout came when it no longer blocked"
    finally:
        release.set()
    assert statuses(report) == ["success"] * 4 + ["failed"] * 3
    assert report.failures[2]["error"] == "Timeout after 0.6s"
