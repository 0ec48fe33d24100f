"""QUEUE mode: counts, order, concurrency, retries and reports over real processes and a real file."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import ledger
import pytest
import troubles
from durable import Elsewhere, Idea, Library, ideas, run
from in_memory import results, statuses
from waiting import wait_until

from batchq import BatchProcessor, BatchReport, RetryConfig, RetryHandler
from batchq.errors import ConfigError, TargetError, UsageError


def test_hundred_ideas_in_chunks_of_25_all_succeed_and_their_results_come_in_order(library: Library) -> None:
    processor = BatchProcessor(library.config(max_concurrent=10, chunk_size=25, workers=2))
    report = run(processor.process_batch(ideas(100), troubles.scrambled))
    assert isinstance(report, BatchReport)
    assert (report.total_items, report.processed_items) == (100, 100)
    assert (report.success_count, report.failure_count, list(report.failures)) == (100, 0, [])
    assert results(report) == list(range(1, 101))
    assert [result["idea_id"] for result in report.results] == [f"i{n}" for n in range(1, 101)]
    config = report.config
    assert (config["mode"], config["max_concurrent"], config["chunk_size"]) == ("queue", 10, 25)
    assert (config["retry_attempts"], config["timeout_per_item"]) == (3, 300.0)
    assert report.started_at.endswith("+00:00") and report.completed_at is not None
    assert (processor.total_items, processor.processed_items, processor.batch_id) == (100, 100, report.batch_id)
    assert processor.queue_manager is not None and processor.start_time is not None


def test_each_result_has_the_original_keys_and_each_failure_its_three(library: Library) -> None:
    report = library.process(ideas(3), troubles.succeeds_at_last)
    good, _, bad = report.results
    assert set(good) == {"idea_id", "status", "result", "duration", "attempts", "seq"}
    assert (good["idea_id"], good["status"], good["result"], good["attempts"]) == ("i1", "success", 3, 3)
    assert good["duration"] > 0
    assert (bad["status"], bad["error"], bad["error_type"]) == ("failed", "reset by peer", "ConnectionError")
    assert "result" not in bad
    assert isinstance(report.failures, list)
    failure = report.failures[0]
    assert (failure["idea_id"], failure["error"], failure["attempts"]) == ("i3", "reset by peer", 3)
    assert (report.attempts, report.retries, report.recovered) == (9, 6, 2)
    assert library.starts() == {1: 3, 2: 3, 3: 3}
    assert report.to_dict()["failures"] == [dict(failure)]


class Walked:
    """An iterable that is neither a sequence nor an iterator."""

    def __iter__(self) -> Iterator[Idea]:
        return iter(ideas(7))


async def streamed() -> AsyncIterator[Idea]:
    """An async iterable."""
    for idea in ideas(7):
        await asyncio.sleep(0)
        yield idea


@pytest.mark.parametrize(
    "make",
    [
        lambda: tuple(ideas(7)),
        lambda: {idea["id"]: idea for idea in ideas(7)}.values(),
        lambda: (idea for idea in ideas(7)),
        Walked,
        streamed,
    ],
    ids=["tuple", "view", "generator", "iterable", "async-generator"],
)
def test_any_iterable_and_async_iterable_will_do(make: Callable[[], Any], library: Library) -> None:
    report = library.process(make(), troubles.square)
    assert results(report) == [n * n for n in range(1, 8)]
    assert library.starts() == dict.fromkeys(range(1, 8), 1)


def test_idea_may_be_anything_that_json_can_hold(library: Library) -> None:
    things = ["tea", 7, 0.5, None, True, ["tea", 1], {"text": "Ä\ud83d"}, "", {}, {"id": None}, {"id": [1]}]
    report = library.process(things, lambda item: [item])
    assert results(report) == [[thing] for thing in things]
    assert [result["idea_id"] for result in report.results] == [f"item-{n}" for n in range(1, len(things) + 1)]


def test_more_than_a_thousand_ideas_are_no_limit(library: Library) -> None:
    report = library.process(({"id": n} for n in range(2500)), lambda item: item["id"], max_concurrent=20, workers=2)
    assert (report.success_count, report.failure_count) == (2500, 0)
    assert results(report) == list(range(2500))
    assert (len(report.results), report.results[-1]["idea_id"]) == (2500, 2499)


def most_in_flight(library: Library) -> int:
    """As the ledger shows it."""
    in_flight = peak = 0
    for word, _ in ledger.read(library.ledger):
        in_flight += 1 if word == "start" else -1
        peak = max(peak, in_flight)
    return peak


def test_no_more_items_are_in_flight_than_max_concurrent_over_all_workers(library: Library) -> None:
    batch = Elsewhere(lambda: library.process(ideas(90), ledger.held, max_concurrent=5, workers=3))
    wait_until(lambda: len(library.starts()) >= 5)
    Path(library.environment()["GATE"]).touch()
    assert batch.result().success_count == 90
    assert most_in_flight(library) == 5


def test_sync_functions_run_side_by_side_in_threads_of_one_worker(library: Library) -> None:
    def together(item: Idea) -> int:
        ledger.note("start", item)
        while Path(os.environ["LEDGER"]).read_text().count("start") < 6:
            time.sleep(0.01)
        ledger.note("end", item)
        return int(item["n"]) ** 2

    report = library.process(ideas(60), together, max_concurrent=6, workers=1)
    assert results(report) == [n * n for n in range(1, 61)]
    assert most_in_flight(library) == 6


@pytest.mark.parametrize("workers", [1, 2])
def test_chunks_are_no_barriers_when_every_tenth_item_is_slow(workers: int, library: Library) -> None:
    """So slow that it ends when all others have: with barriers that is never."""

    async def function(item: Idea) -> None:
        while item["n"] % 10 == 0 and Path(os.environ["LEDGER"]).read_text().count("end") < 36:
            await asyncio.sleep(0.01)
        ledger.note("end", item)

    report = library.process(ideas(40), function, max_concurrent=10, chunk_size=10, workers=workers)
    assert report.success_count == 40
    assert {n for _, n in ledger.read(library.ledger)[36:]} == {10, 20, 30, 40}


def test_same_id_or_the_very_same_idea_several_times_counts_as_often(library: Library) -> None:
    idea = {"id": "twin", "n": 2}
    report = library.process([idea, idea, dict(idea), idea, idea], troubles.square)
    assert (report.total_items, report.success_count) == (5, 5)
    assert [result["idea_id"] for result in report.results] == ["twin"] * 5
    assert [result["seq"] for result in report.results] == [1, 2, 3, 4, 5]
    assert library.starts() == {2: 5}


@pytest.mark.parametrize("make", [list, lambda: (_ async for _ in streamed() if False)])
def test_empty_input_is_a_completed_batch_of_nothing(make: Callable[[], Any], library: Library) -> None:
    for _ in range(2):
        report = library.process(make(), troubles.square)
        assert (report.total_items, report.success_count, report.failure_count) == (0, 0, 0)
        assert (report.state, list(report.results), list(report.failures)) == ("completed", [], [])
    assert library.handle().status().state == "completed"


def test_empty_results_are_failures_where_that_is_asked_for(library: Library) -> None:
    kept = library.process(ideas(7), troubles.empty, "kept")
    assert results(kept) == [None, "", [], {}, 0, False, "text"]
    assert kept.success_count == 7
    report = library.process(ideas(7), troubles.empty, "failed", empty_result="fail", retry_attempts=2)
    assert statuses(report) == ["failed"] * 4 + ["success"] * 3
    assert {(failure["error_type"], failure["attempts"]) for failure in report.failures} == {("EmptyResult", 2)}
    assert results(report)[4:] == [0, False, "text"]


def test_what_says_that_it_is_permanent_is_not_tried_again(library: Library) -> None:
    report = library.process(ideas(4), troubles.refuses)
    assert (report.failure_count, report.attempts, report.retries) == (4, 4, 0)
    assert library.starts() == {1: 1, 2: 1, 3: 1, 4: 1}
    assert {failure["error"] for failure in report.failures} == {"the prompt breaks the rules"}


def test_attempt_that_takes_too_long_times_out_and_is_tried_again(library: Library) -> None:
    report = library.process(ideas(2), troubles.never_ends, timeout_per_item=0.1, retry_attempts=2)
    assert [(failure["error"], failure["attempts"]) for failure in report.failures] == [("Timeout after 0.1s", 2)] * 2


def test_retry_handler_of_the_processor_decides_in_queue_mode_too(library: Library) -> None:
    processor = BatchProcessor(library.config(retry_attempts=1))
    processor.retry_handler = RetryHandler(RetryConfig(3, initial_delay=0.0))
    report = run(processor.process_batch(ideas(2), troubles.succeeds_at_last))
    assert (report.success_count, report.attempts) == (2, 6)


@pytest.mark.parametrize("count", [1000, 1001])
def test_failures_are_a_list_up_to_a_thousand_and_read_from_the_file_beyond(count: int, library: Library) -> None:
    report = library.process(ideas(count), troubles.fails, retry_attempts=1, max_concurrent=50)
    assert (report.failure_count, len(report.failures)) == (count, count)
    assert isinstance(report.failures, list) == (count == 1000)
    assert [failure["idea_id"] for failure in report.failures] == [f"i{n}" for n in range(1, count + 1)]
    assert report.failures[-1]["error"] == f"item {count} is refused"
    assert [failure["seq"] for failure in report.failures[3:9:2]] == [4, 6, 8]
    with pytest.raises(IndexError):
        report.failures[count]
    assert len(report.to_dict()["failures"]) == count
    assert [(group["error_type"], group["failed"]) for group in report.failure_groups] == [("ValueError", count)]


def test_batches_without_an_id_get_one_each_and_may_run_at_once_on_one_processor(library: Library) -> None:
    processor = BatchProcessor(library.config())

    async def both() -> list[BatchReport]:
        return await asyncio.gather(
            processor.process_batch(ideas(20), troubles.square), processor.process_batch(ideas(30, 101), ledger.waits)
        )

    reports = run(both())
    assert all(re.fullmatch(r"batch-\d{8}-\d{3}", report.batch_id) for report in reports)
    assert len({report.batch_id for report in reports}) == 2
    assert [report.success_count for report in reports] == [20, 30]
    assert results(reports[1]) == [n * n for n in range(101, 131)]


def test_progress_of_a_second_batch_on_the_same_processor_begins_at_nothing(library: Library) -> None:
    processor = BatchProcessor(library.config())
    for batch_id, count in (("first", 9), ("second", 4)):
        run(processor.process_batch(ideas(count), troubles.square, batch_id))
        assert (processor.batch_id, processor.total_items, processor.processed_items) == (batch_id, count, count)


@pytest.mark.parametrize(
    ("items", "function", "error", "words"),
    [
        ("tea", troubles.square, UsageError, "collection of items, not a str"),
        ({"id": 1}, troubles.square, UsageError, "not one dict"),
        (7, troubles.square, UsageError, "not a int"),
        ([{"n": 1}], "square", TargetError, "not a function"),
        ([{"n": 1}], lambda: None, TargetError, "takes no argument"),
        ([{"n": 1}], lambda a, b, c: None, TargetError, "more arguments"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_stored(
    items: Any, function: Any, error: type[Exception], words: str, library: Library
) -> None:
    with pytest.raises(error, match=words):
        library.process(items, function)
    assert not library.home.exists()


@pytest.mark.parametrize("batch_id", ["", "../b1", "a/b", ".b1", "b" * 101, "b\n"])
def test_id_that_cannot_name_a_folder_is_refused(batch_id: str, library: Library) -> None:
    with pytest.raises(ConfigError, match="batch id must be"):
        library.process(ideas(1), troubles.square, batch_id)
    assert list(library.folder.rglob("batch.db")) == []


def test_home_that_cannot_be_made_is_named(library: Library, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=re.escape(str(tmp_path / "file"))):
        library.process(ideas(1), troubles.square, home=tmp_path / "file" / "home")
