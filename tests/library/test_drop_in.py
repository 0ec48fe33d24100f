"""What a program that was written for the original does, with only its import line changed."""

from __future__ import annotations

import asyncio
import csv
import inspect
import io
import json
import re
import signal
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from types import FrameType, MappingProxyType
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from in_memory import process, quick, results, run, statuses
from skipping import process_skipping

from batchq import (
    BatchConfig,
    BatchProcessor,
    BatchReport,
    ProcessingMode,
    ReportGenerator,
    RetryConfig,
    RetryHandler,
)

Idea = dict[str, Any]
either_mode = pytest.mark.parametrize("mode", [ProcessingMode.PARALLEL, ProcessingMode.SEQUENTIAL])


def ideas(count: int) -> list[Idea]:
    """So many ideas."""
    return [{"id": f"idea-{n:03d}", "text": f"an idea about tea, number {n}"} for n in range(1, count + 1)]


async def make_title(idea: Idea) -> Idea:
    """Stands for a call of an API."""
    await asyncio.sleep(0.005)
    return {"title": idea["text"].title()}


async def make_title_but_one(idea: Idea) -> Idea:
    """The same, and idea 5 always fails."""
    if idea["id"] == "idea-005":
        raise ValueError("the model refused")
    return await make_title(idea)


@pytest.fixture
def alarm() -> Iterator[None]:
    """Ends a test that computes for ever, which nothing in its own loop could."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 30)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


# Batches -----------------------------------------------------------------------------------------------------


@either_mode
def test_ten_ideas_succeed_and_their_results_come_in_order(mode: ProcessingMode) -> None:
    report = process(ideas(10), make_title, mode=mode)
    assert isinstance(report, BatchReport)
    assert (report.total_items, report.processed_items) == (10, 10)
    assert (report.success_count, report.failure_count) == (10, 0)
    assert list(report.failures) == []
    assert [result["idea_id"] for result in report.results] == [idea["id"] for idea in ideas(10)]
    assert results(report) == [{"title": idea["text"].title()} for idea in ideas(10)]


def test_fifty_ideas_at_concurrency_ten_keep_ten_in_flight_and_take_seconds() -> None:
    now = most = 0

    async def function(idea: Idea) -> str:
        nonlocal now, most
        now += 1
        most = max(most, now)
        while most < 10:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        now -= 1
        return str(idea["id"])

    report = process(ideas(50), function, max_concurrent=10)
    assert (report.success_count, most) == (50, 10)
    assert report.total_duration < 10


@either_mode
def test_one_idea_of_ten_that_fails_leaves_nine(mode: ProcessingMode) -> None:
    report = process(ideas(10), make_title_but_one, mode=mode)
    assert (report.total_items, report.success_count, report.failure_count) == (10, 9, 1)
    (failure,) = report.failures
    assert (failure["idea_id"], failure["error"], failure["attempts"]) == ("idea-005", "the model refused", 3)


@either_mode
@pytest.mark.parametrize("error", [Exception("boom"), ValueError("v"), KeyError("k"), OSError(), TimeoutError("t")])
def test_idea_that_always_fails_was_tried_three_times(mode: ProcessingMode, error: Exception) -> None:
    calls = 0

    async def function(idea: Idea) -> None:
        nonlocal calls
        calls += 1
        raise error

    report = process(ideas(1), function, mode=mode)
    assert (report.failures[0]["attempts"], calls, report.success_count) == (3, 3, 0)


def test_parallel_is_faster_than_sequential() -> None:
    async def function(idea: Idea) -> None:
        await asyncio.sleep(0.1)

    def seconds(mode: ProcessingMode) -> float:
        return process_skipping(ideas(20), function, mode=mode, max_concurrent=10).total_duration

    assert seconds(ProcessingMode.SEQUENTIAL) == pytest.approx(20 * 0.1)
    assert seconds(ProcessingMode.PARALLEL) == pytest.approx(2 * 0.1)


@either_mode
def test_report_tells_id_times_durations_and_configuration(mode: ProcessingMode) -> None:
    before = datetime.now(timezone.utc)
    report = process(ideas(4), make_title, mode=mode, max_concurrent=2, retry_attempts=4)
    assert report.batch_id
    assert report.completed_at is not None
    started, completed = datetime.fromisoformat(report.started_at), datetime.fromisoformat(report.completed_at)
    assert before - timedelta(seconds=5) < started < completed
    assert report.started_at.endswith("+00:00") and report.completed_at.endswith("+00:00")
    assert report.total_duration > 0
    assert 0.004 < report.avg_processing_time < 5
    assert report.config["mode"] == mode.value
    assert (report.config["max_concurrent"], report.config["retry_attempts"]) == (2, 4)


def test_result_of_an_item_has_the_keys_of_its_status() -> None:
    report = process(ideas(10), make_title_but_one)
    common = {"idea_id", "status", "duration", "attempts"}
    good, bad = report.results[0], report.results[4]
    assert good.keys() >= common | {"result"} and "error" not in good
    assert bad.keys() >= common | {"error"} and "result" not in bad
    assert (good["status"], good["attempts"], bad["status"], bad["attempts"]) == ("success", 1, "failed", 3)
    assert 0.004 < good["duration"] < 10


def test_own_batch_id_is_kept_and_one_is_made_where_there_is_none() -> None:
    processor = BatchProcessor(quick())
    report = run(processor.process_batch(ideas(2), make_title, batch_id="my-batch"))
    assert (report.batch_id, processor.batch_id) == ("my-batch", "my-batch")
    report = run(processor.process_batch(ideas(2), make_title))
    today = datetime.now(timezone.utc)
    days = f"{today - timedelta(minutes=1):%Y%m%d}|{today:%Y%m%d}"
    assert re.fullmatch(rf"batch-({days})-\d{{3,}}", report.batch_id)


def test_the_same_dict_five_times_counts_five() -> None:
    idea = {"id": "idea-001", "text": "tea"}
    report = process([idea] * 5, make_title)
    assert (report.total_items, report.success_count, report.failure_count) == (5, 5, 0)
    assert [result["idea_id"] for result in report.results] == ["idea-001"] * 5


def test_timeout_is_told_with_its_seconds() -> None:
    async def function(idea: Idea) -> None:
        await asyncio.sleep(20)

    report = process(ideas(1), function, timeout_per_item=0.05, retry_attempts=1)
    assert report.failures[0]["error"] == "Timeout after 0.05s"


def test_attributes_of_a_processor_before_and_after_a_batch() -> None:
    config = quick()
    processor = BatchProcessor(config)
    assert processor.config is config
    assert isinstance(processor.retry_handler, RetryHandler)
    assert isinstance(processor.report_generator, ReportGenerator)
    assert (processor.queue_manager, processor.start_time, processor.batch_id) == (None, None, None)
    assert (processor.total_items, processor.processed_items) == (0, 0)
    report = run(processor.process_batch(ideas(7), make_title_but_one))
    assert (processor.total_items, processor.processed_items) == (7, 7)
    assert processor.batch_id == report.batch_id
    assert processor.start_time == pytest.approx(time.time(), abs=60)


def test_processor_without_a_configuration_has_the_defaults() -> None:
    assert BatchProcessor().config == BatchConfig()
    assert BatchProcessor().retry_handler.config == RetryConfig()


def test_settings_of_a_processor_can_be_changed_between_two_batches() -> None:
    async def function(idea: Idea) -> None:
        raise ConnectionError("reset")

    processor = BatchProcessor(BatchConfig(enable_progress_tracking=False))
    processor.retry_handler.config.initial_delay = 0.001
    processor.retry_handler.config.max_attempts = 2
    assert run(processor.process_batch(ideas(1), function)).failures[0]["attempts"] == 2
    processor.config.retry_attempts = 4
    processor.config.retry_delay = 0.001
    assert run(processor.process_batch(ideas(1), function)).failures[0]["attempts"] == 4
    processor.retry_handler = RetryHandler(RetryConfig(max_attempts=1))
    assert run(processor.process_batch(ideas(1), function)).failures[0]["attempts"] == 1


def test_four_of_five_transient_failures_recover_at_least() -> None:
    failed: set[str] = set()

    async def function(idea: Idea) -> None:
        if int(idea["id"][-3:]) % 3 == 0 and idea["id"] not in failed:
            failed.add(idea["id"])
            raise ConnectionError("reset")

    report = process(ideas(90), function)
    assert len(failed) == 30
    assert report.success_count == 90
    assert report.recovered == 30


@pytest.mark.parametrize(
    "idea",
    [OrderedDict(id="a1"), MappingProxyType({"id": "a1"}), {"idea_id": "a1"}, {"custom_id": "a1"}],
    ids=lambda idea: f"{type(idea).__name__}-{next(iter(idea))}",
)
def test_idea_of_any_mapping_type_keeps_its_id(idea: Any) -> None:
    report = process([idea], lambda idea: dict(idea))
    assert (report.results[0]["idea_id"], results(report)) == ("a1", [dict(idea)])


@pytest.mark.usefixtures("alarm")
def test_mocks_of_a_test_suite_are_functions_like_others() -> None:
    function = AsyncMock(return_value="tea")
    assert results(process(ideas(2), function)) == ["tea", "tea"]
    assert function.await_count == 2
    assert results(process(ideas(2), Mock(return_value="rain"))) == ["rain", "rain"]


def test_report_goes_through_asdict_and_vars_into_json() -> None:
    report = process(ideas(10), make_title_but_one)
    assert json.loads(json.dumps(asdict(report)))["failures"][0]["idea_id"] == "idea-005"
    assert json.loads(json.dumps(report.to_dict()))["success_count"] == 9
    assert json.loads(json.dumps(vars(report)))["batch_id"] == report.batch_id


# Reports of results ------------------------------------------------------------------------------------------


def item_results() -> list[Idea]:
    """Ten result dicts, as a program of its own collects them; two failed."""
    good = [
        {"idea_id": f"idea-{n:03d}", "status": "success", "result": {"n": n}, "duration": 0.5, "attempts": 1}
        for n in range(1, 9)
    ]
    bad = [
        {"idea_id": f"idea-{n:03d}", "status": "failed", "error": f"error {n}", "duration": 3.0, "attempts": 3}
        for n in (9, 10)
    ]
    return good + bad


def made_report(rows: list[Idea] | None = None) -> BatchReport:
    """A report from those dicts, on ten seconds of work."""
    start = datetime(2025, 11, 23, 8, 0, 0, tzinfo=timezone.utc)
    settings = {"mode": "parallel", "max_concurrent": 5, "retry_attempts": 3}
    rows = item_results() if rows is None else rows
    return ReportGenerator().generate_report("batch-7", rows, start, start + timedelta(seconds=10), settings)


def test_report_is_made_from_result_dicts() -> None:
    report = made_report()
    assert (report.batch_id, report.total_items, report.processed_items) == ("batch-7", 10, 10)
    assert (report.success_count, report.failure_count) == (8, 2)
    assert (report.total_duration, report.avg_processing_time) == (10.0, 1.0)
    assert report.started_at == "2025-11-23T08:00:00+00:00"
    assert report.completed_at == "2025-11-23T08:00:10+00:00"
    assert report.config == {"mode": "parallel", "max_concurrent": 5, "retry_attempts": 3}
    assert report.failures == [
        {"idea_id": "idea-009", "error": "error 9", "attempts": 3},
        {"idea_id": "idea-010", "error": "error 10", "attempts": 3},
    ]


def test_report_as_json_is_an_indented_object_with_the_fields_of_the_original() -> None:
    text = ReportGenerator().to_json(made_report())
    told = json.loads(text)
    assert "\n  " in text
    assert (told["batch_id"], told["success_count"], told["failure_count"]) == ("batch-7", 8, 2)
    assert told["failures"][1] == {"idea_id": "idea-010", "error": "error 10", "attempts": 3}
    assert told["config"]["mode"] == "parallel"


def test_report_as_csv_has_counts_a_blank_line_and_the_failed_items() -> None:
    text = ReportGenerator().to_csv(made_report())
    lines = list(csv.reader(io.StringIO(text)))
    first = "Batch ID,Total Items,Success Count,Failure Count,Total Duration (s),Avg Processing Time (s)"
    assert text.splitlines()[0] == first
    assert lines[1][:4] == ["batch-7", "10", "8", "2"]
    assert [float(cell) for cell in lines[1][4:]] == [10.0, 1.0]
    assert lines[2:4] == [[], ["Idea ID", "Error", "Attempts"]]
    assert lines[4:] == [["idea-009", "error 9", "3"], ["idea-010", "error 10", "3"]]


def test_summary_shows_counts_and_the_first_five_failures(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"idea_id": f"bad-{n}", "status": "failed", "error": "no", "attempts": 3} for n in range(1, 8)]
    ReportGenerator().print_summary(made_report(item_results()[:8] + rows))
    shown = capsys.readouterr()
    assert "batch-7" in shown.out and "8 succeeded" in shown.out and "7 failed" in shown.out
    assert re.findall(r"bad-\d", shown.out) == [f"bad-{n}" for n in range(1, 6)]
    assert "2 more" in shown.out
    assert shown.err == ""


def test_report_on_one_item_has_what_it_was_given() -> None:
    report = ReportGenerator().generate_item_report("idea-001", "failed", 0.5, 3, "no answer", "nothing")
    assert (report.idea_id, report.status, report.processing_time, report.attempts) == ("idea-001", "failed", 0.5, 3)
    assert (report.error, report.result_summary) == ("no answer", "nothing")
    assert ReportGenerator().generate_item_report("idea-002", "success", 0.5, 1).error is None


def test_report_before_any_run_is_on_a_batch_unknown() -> None:
    processor = BatchProcessor(quick(mode="sequential"))
    assert not inspect.iscoroutinefunction(processor.generate_report)
    report = processor.generate_report(item_results())
    assert (report.batch_id, report.success_count, report.failure_count) == ("unknown", 8, 2)
    assert (report.config["mode"], report.config["max_concurrent"]) == ("sequential", 5)


def test_report_after_a_run_is_on_that_batch_and_takes_its_results() -> None:
    processor = BatchProcessor(quick())
    ran = run(processor.process_batch(ideas(10), make_title_but_one, "mine"))
    report = processor.generate_report(ran.results)
    assert (report.batch_id, report.success_count, report.failure_count) == ("mine", 9, 1)
    assert report.failures[0]["idea_id"] == "idea-005"
    assert statuses(report) == statuses(ran)
    assert report.started_at == ran.started_at
