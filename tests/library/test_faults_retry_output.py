"""What the original did badly otherwise: retries, blocking functions, output, ids, memory and clocks."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from in_memory import process, quick, results, run, statuses
from skipping import process_skipping

from batchq import (
    BatchConfig,
    BatchProcessor,
    BatchReport,
    Context,
    Permanent,
    ReportGenerator,
    RetryConfig,
    RetryHandler,
)

PERMANENT = [
    Permanent("no"),
    TypeError("wrong"),
    NameError("x"),
    AttributeError("y"),
    ImportError("z"),
    SyntaxError("s"),
]
START = datetime(2025, 11, 23, 8, 0, 0, tzinfo=timezone.utc)


async def same(idea: Any) -> Any:
    """The idea itself."""
    return idea


# Retry -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", PERMANENT, ids=lambda error: type(error).__name__)
def test_error_that_cannot_get_better_is_not_tried_again(error: Exception) -> None:
    calls = 0

    async def function(*_: Any) -> None:
        nonlocal calls
        calls += 1
        raise error

    report = process([1], function)
    assert (report.failures[0]["attempts"], calls) == (1, 1)
    assert run(RetryHandler().execute_with_retry(function)) == (None, 1, str(error))
    assert calls == 2


def test_item_that_waits_for_its_next_attempt_holds_no_slot() -> None:
    order: list[tuple[int, int]] = []

    async def function(idea: int, ctx: Context) -> None:
        order.append((idea, ctx.attempt))
        if ctx.attempt == 1 and idea < 2:
            raise ConnectionError("reset")

    process_skipping(range(5), function, max_concurrent=1, retry_delay=60.0)
    assert order[:5] == [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]
    assert sorted(order[5:]) == [(0, 2), (1, 2)]


def test_key_error_is_told_as_what_it_is() -> None:
    def function(idea: dict[str, Any]) -> Any:
        return idea["title"]

    assert process([{}], function).failures[0]["error"] == "KeyError('title')"
    handler = RetryHandler(RetryConfig(1))
    assert run(handler.execute_with_retry(function, {})) == (None, 1, "KeyError('title')")


@pytest.mark.parametrize(
    "extra",
    [{}, {"lock": threading.Lock()}, {"locks": [threading.Lock()]}],
    ids=["plain", "what-cannot-be-copied", "deep-inside"],
)
def test_what_a_failed_attempt_changes_is_seen_by_nobody(extra: dict[str, Any]) -> None:
    idea = {"id": "a1", "tags": ["tea"], "more": [{"deep": {1}}], **extra}
    seen: list[Any] = []

    async def function(idea: dict[str, Any]) -> None:
        seen.append((list(idea["tags"]), set(idea["more"][0]["deep"]), "new" in idea))
        idea["tags"].append("rain")
        idea["more"][0]["deep"].add(2)
        idea["new"] = True
        raise ConnectionError("reset")

    process([idea], function)
    assert seen == [(["tea"], {1}, False)] * 3
    assert idea == {"id": "a1", "tags": ["tea"], "more": [{"deep": {1}}], **extra}


def test_idea_that_contains_itself_is_copied_too() -> None:
    idea: dict[str, Any] = {"id": "a1", "tags": []}
    idea["self"] = idea

    async def function(idea: dict[str, Any]) -> bool:
        idea["self"]["tags"].append("rain")
        return idea["self"] is idea

    assert results(process([idea], function)) == [True]
    assert idea["tags"] == []


def test_delay_after_very_many_attempts_is_the_longest_and_no_overflow() -> None:
    handler = RetryHandler(RetryConfig(max_attempts=5000))
    assert handler._calculate_delay(1100) == 60.0
    assert handler.delay_after(ConnectionError("reset"), 1100) == 60.0
    assert RetryHandler(RetryConfig(backoff_factor=1e300))._calculate_delay(4000) == 60.0


def test_jitter_spreads_the_delays_only_where_it_is_asked_for() -> None:
    error = ConnectionError("reset")
    plain = RetryHandler()
    assert {plain.delay_after(error, 1) for _ in range(50)} == {1.0}
    spread = [RetryHandler(RetryConfig(jitter=0.5)).delay_after(error, 1) or 0.0 for _ in range(50)]
    assert all(1.0 <= delay <= 1.5 for delay in spread)
    assert len(set(spread)) > 40
    assert max(spread) - min(spread) > 0.2
    assert RetryHandler(RetryConfig(jitter=0.5), draw=lambda: 0.5).delay_after(error, 2) == 2.5


def test_jitter_of_a_batch_spreads_what_failed_at_the_same_moment() -> None:
    again: list[float] = []

    async def function(idea: int, ctx: Context) -> None:
        if ctx.attempt == 1:
            raise ConnectionError("reset")
        again.append(time.monotonic())

    process_skipping(range(50), function, max_concurrent=50, retry_delay=0.5, retry_jitter=1.0)
    assert len(again) == 50
    assert 0.08 < max(again) - min(again) <= 0.5


# Functions that block ----------------------------------------------------------------------------------------


def test_sync_function_runs_once_in_a_thread_and_succeeds() -> None:
    calls: list[str] = []

    def function(idea: int) -> int:
        calls.append(threading.current_thread().name)
        return idea * 2

    assert results(process([4], function)) == [8]
    assert len(calls) == 1
    assert calls != [threading.main_thread().name]


def test_sync_functions_run_side_by_side() -> None:
    together = threading.Barrier(12, timeout=30)
    report = process(range(24), lambda idea: together.wait() >= 0, max_concurrent=12)
    assert results(report) == [True] * 24


def test_items_that_fail_slowly_before_anything_is_awaited_leave_the_others_in_the_loop_of_their_client() -> None:
    loops = set()

    async def ask(idea: int) -> int:
        if idea < 4:
            time.sleep(0.03)  # a busy machine, say
            raise ValueError(idea)
        loops.add(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return idea

    report = process(range(30), ask, max_concurrent=4, retry_attempts=1)
    assert statuses(report).count("success") == 26
    assert len(loops) == 1


def test_async_function_that_blocks_gets_a_speed_up_too(caplog: pytest.LogCaptureFixture) -> None:
    together = threading.Barrier(7, timeout=15)  # never reached by seven where one blocks all others

    async def function(idea: int) -> int:
        time.sleep(0.05) if idea < 4 else together.wait()  # a client that is not async
        return idea

    report = process(range(32), function, max_concurrent=10, retry_attempts=1)
    assert results(report) == list(range(32))
    assert "is async but never awaits" in caplog.text


# Output ------------------------------------------------------------------------------------------------------


def failed_report(idea_id: Any, error: str, config: dict[Any, Any] | None = None, batch_id: str = "b") -> BatchReport:
    """A report with one failed item."""
    rows = [{"idea_id": idea_id, "status": "failed", "error": error, "duration": 1.0, "attempts": 3}]
    return ReportGenerator().generate_report(batch_id, rows, START, START, config or {})


@pytest.mark.parametrize("text", ['say "no", twice', "two\nlines", "cr\rlf\r\n", "a,b", " padded ", "ä€𝄞", ""])
def test_cells_of_csv_come_back_as_they_were(text: str) -> None:
    told = ReportGenerator().to_csv(failed_report(text, text, batch_id=text))
    rows = list(csv.reader(io.StringIO(told, newline="")))
    assert rows[1][0] == text
    assert rows[4] == [text, text, "3"]


@pytest.mark.parametrize("text", ["=1+1", '=HYPERLINK("http://x","y")', "+cmd", "-1+1", "@SUM(A1)", "\t=1", "\r=1"])
def test_cells_that_a_spreadsheet_would_run_are_neutralised(text: str) -> None:
    told = ReportGenerator().to_csv(failed_report(text, text, batch_id=text))
    rows = list(csv.reader(io.StringIO(told, newline="")))
    assert (rows[1][0], rows[4]) == ("'" + text, ["'" + text, "'" + text, "3"])


def test_json_of_a_report_takes_what_json_does_not_have() -> None:
    key = UUID("12345678-1234-5678-1234-567812345678")
    config = {"key": key, "since": START, "price": Decimal("1.50"), "path": Path("x")}
    told = json.loads(ReportGenerator().to_json(failed_report(key, "no", config)))
    assert told["failures"][0]["idea_id"] == str(key)
    assert told["config"] == {"key": str(key), "since": str(START), "price": "1.50", "path": "x"}
    item = ReportGenerator().generate_item_report(key, "success", 0.5, 1)  # type: ignore[arg-type]
    assert json.loads(ReportGenerator().to_json(item))["idea_id"] == str(key)


def test_json_of_a_report_is_strict_whatever_its_configuration_holds() -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    key = UUID("12345678-1234-5678-1234-567812345678")
    config = {"longest": float("inf"), "share": float("nan"), key: 1, "deep": [{2.5: -float("inf")}]}
    told = json.loads(ReportGenerator().to_json(failed_report("a1", "no", config)), parse_constant=refuse)
    assert told["config"] == {"longest": "inf", "share": "nan", str(key): 1, "deep": [{"2.5": "-inf"}]}
    assert told["failures"][0]["idea_id"] == "a1"


def test_ids_that_are_made_do_not_collide_within_a_second() -> None:
    async def main() -> list[BatchReport]:
        one = BatchProcessor(quick())
        runs = [BatchProcessor(quick()).process_batch([1], same) for _ in range(30)]
        return await asyncio.gather(*runs, *[one.process_batch([1], same) for _ in range(30)])

    assert len({report.batch_id for report in run(main())}) == 60


def test_ideas_without_an_id_get_one_of_their_own() -> None:
    ideas = [{"text": "tea"}, {"id": "a2"}, {"id": None}, {"id": ""}, {}]
    report = process(ideas, same)
    assert [result["idea_id"] for result in report.results] == ["item-1", "a2", "item-3", "item-4", "item-5"]


def test_falsy_and_odd_ids_are_ids() -> None:
    key = UUID("12345678-1234-5678-1234-567812345678")
    report = process([{"id": 0}, {"id": 7}, {"id": key}], same)
    assert [result["idea_id"] for result in report.results] == [0, 7, str(key)]


# Memory and clocks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 20])
def test_tasks_are_bounded_by_the_slots_and_not_by_the_ideas(slots: int) -> None:
    most = 0

    async def function(idea: int) -> None:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))
        await asyncio.sleep(0)

    process(range(3000), function, max_concurrent=slots)
    assert most <= slots + 3


def test_ideas_are_drawn_as_they_are_needed() -> None:
    drawn = ended = most = 0

    def ideas() -> Iterator[int]:
        nonlocal drawn
        for number in range(1000):
            drawn += 1
            yield number

    async def function(idea: int) -> None:
        nonlocal ended, most
        await asyncio.sleep(0.005)
        ended += 1
        most = max(most, drawn - ended)

    assert process(ideas(), function, max_concurrent=20).success_count == 1000
    assert most < 700  # a twentieth of a second ahead, and not everything


def test_durations_do_not_follow_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    hours = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: real() - 3600 * next(hours))  # each look finds it set back

    async def function(idea: int, ctx: Context) -> None:
        await asyncio.sleep(0.01)
        if ctx.attempt == 1:
            raise ConnectionError("reset")

    report = process(range(6), function, max_concurrent=2)
    assert statuses(report) == ["success"] * 6
    assert 0.05 < report.total_duration < 60
    assert 0.015 < report.avg_processing_time < 10
    assert all(0.015 < result["duration"] < 10 for result in report.results)


def test_progress_bar_is_not_drawn_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    run(BatchProcessor(BatchConfig()).process_batch(range(3), same))
    assert capsys.readouterr() == ("", "")
