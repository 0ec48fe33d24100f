"""Names, positions, defaults and retries that programs written for the original rely on."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import MISSING, fields
from typing import Any

import pytest
from skipping import START, run_skipping

import batchq
from batchq import (
    BatchConfig,
    BatchResult,
    ProcessingMode,
    QueueStatus,
    RetryConfig,
    RetryHandler,
    retry_on_exception,
)
from batchq.errors import RetriesExhausted

NAMES = [
    "BatchProcessor",
    "BatchConfig",
    "BatchResult",
    "ProcessingMode",
    "RetryHandler",
    "RetryConfig",
    "ReportGenerator",
    "BatchReport",
    "BatchItemReport",
    "QueueManager",
    "QueueConfig",
    "QueueStatus",
    "BatchDatabase",
    "retry_on_exception",
]

FIELDS: dict[str, dict[str, Any]] = {
    "BatchConfig": {
        "max_concurrent": 5,
        "mode": ProcessingMode.PARALLEL,
        "retry_attempts": 3,
        "retry_backoff": 2.0,
        "timeout_per_item": 300.0,
        "chunk_size": 50,
        "enable_progress_tracking": True,
    },
    "BatchResult": {
        "idea_id": MISSING,
        "status": MISSING,
        "result": None,
        "duration": 0.0,
        "attempts": 1,
        "error": None,
    },
    "RetryConfig": {"max_attempts": 3, "backoff_factor": 2.0, "initial_delay": 1.0, "max_delay": 60.0},
    "QueueConfig": {
        "chunk_size": 50,
        "max_queue_size": 1000,
        "enable_persistence": False,
        "persistence_path": "queue_state.json",
    },
    "BatchItemReport": {
        "idea_id": MISSING,
        "status": MISSING,
        "processing_time": MISSING,
        "attempts": MISSING,
        "error": None,
        "result_summary": None,
    },
    "BatchReport": dict.fromkeys(
        (
            "batch_id",
            "total_items",
            "processed_items",
            "success_count",
            "failure_count",
            "total_duration",
            "avg_processing_time",
            "started_at",
            "completed_at",
            "failures",
            "config",
        ),
        MISSING,
    ),
}

NEEDED = inspect.Parameter.empty
SIGNATURES: dict[str, dict[str, Any]] = {
    "BatchProcessor": {"config": None},
    "BatchProcessor.process_batch": {"self": NEEDED, "ideas": NEEDED, "process_func": NEEDED, "batch_id": None},
    "BatchProcessor.generate_report": {"self": NEEDED, "results": NEEDED},
    "RetryHandler": {"config": None},
    "RetryHandler.execute_with_retry": {"self": NEEDED, "func": NEEDED, "args": NEEDED, "kwargs": NEEDED},
    "retry_on_exception": {"func": NEEDED, "max_attempts": 3, "backoff_factor": 2.0, "args": NEEDED, "kwargs": NEEDED},
    "ReportGenerator": {},
    "ReportGenerator.generate_report": dict.fromkeys(
        ("self", "batch_id", "results", "started_at", "completed_at"), NEEDED
    ),
    "ReportGenerator.generate_item_report": {
        **dict.fromkeys(("self", "idea_id", "status", "processing_time", "attempts"), NEEDED),
        "error": None,
        "result_summary": None,
    },
    "ReportGenerator.to_json": {"self": NEEDED, "report": NEEDED},
    "ReportGenerator.to_csv": {"self": NEEDED, "report": NEEDED},
    "ReportGenerator.print_summary": {"self": NEEDED, "report": NEEDED},
    "QueueManager": {"config": None},
    "BatchDatabase": {"db_path": "batch.db"},
}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_the_original_can_be_imported(name: str) -> None:
    found = getattr(batchq, name)
    assert found.__name__ == name
    assert name in batchq.__all__


@pytest.mark.parametrize("name", FIELDS)
def test_fields_stand_in_the_order_of_the_original_with_its_defaults(name: str) -> None:
    mine = fields(getattr(batchq, name))
    expected = FIELDS[name]
    assert {each.name: each.default for each in mine[: len(expected)]} == expected
    assert [each.name for each in mine[: len(expected)]] == list(expected)
    for new in mine[len(expected) :]:
        assert new.default is not MISSING or new.default_factory is not MISSING, f"{new.name} has no default"


@pytest.mark.parametrize("name", SIGNATURES)
def test_parameters_stand_in_the_order_of_the_original_with_its_defaults(name: str) -> None:
    found: Any = batchq
    for part in name.split("."):
        found = getattr(found, part)
    mine = list(inspect.signature(found).parameters.values())
    expected = SIGNATURES[name]
    assert [(each.name, each.default) for each in mine[: len(expected)]] == list(expected.items())
    assert all(new.default is not NEEDED for new in mine[len(expected) :])


def test_dataclasses_are_made_by_position_and_can_be_changed() -> None:
    config = BatchConfig(8, ProcessingMode.SEQUENTIAL, 5, 1.5, 60.0, 25, False)
    assert (config.max_concurrent, config.mode, config.retry_attempts) == (8, ProcessingMode.SEQUENTIAL, 5)
    assert (config.retry_backoff, config.timeout_per_item, config.chunk_size) == (1.5, 60.0, 25)
    assert config.enable_progress_tracking is False
    config.max_concurrent = 2
    result = BatchResult("a1", "failed", None, 0.5, 3, "no answer")
    result.attempts = 4
    assert (config.max_concurrent, result.attempts, result.error) == (2, 4, "no answer")
    retry = RetryConfig(5, 3.0, 0.5, 10.0)
    assert (retry.max_attempts, retry.backoff_factor, retry.initial_delay, retry.max_delay) == (5, 3.0, 0.5, 10.0)


def test_enums_have_the_values_of_the_original() -> None:
    assert {mode.name: mode.value for mode in ProcessingMode} == {
        "SEQUENTIAL": "sequential",
        "PARALLEL": "parallel",
        "QUEUE": "queue",
    }
    names = ["PENDING", "RUNNING", "PAUSED", "COMPLETED", "FAILED"]
    assert [(status.name, status.value) for status in QueueStatus] == [(name, name.lower()) for name in names]
    assert not issubclass(ProcessingMode, str) and not issubclass(QueueStatus, str)


# Retries -----------------------------------------------------------------------------------------------------


def failing(times: int, moments: list[float]) -> Any:
    """A function that fails so many times first, and notes when it was called."""

    async def function(*args: Any, **kwargs: Any) -> Any:
        moments.append(asyncio.get_running_loop().time() - START)
        if len(moments) <= times:
            raise ConnectionError(f"reset {len(moments)}")
        return args, kwargs

    return function


def test_success_at_once_is_told_with_one_attempt() -> None:
    assert run_skipping(RetryHandler().execute_with_retry(failing(0, []), 1, b=2)) == (((1,), {"b": 2}), 1, None)


def test_success_after_a_failure_is_told_with_two_attempts() -> None:
    assert run_skipping(RetryHandler().execute_with_retry(failing(1, []), "x")) == ((("x",), {}), 2, None)


def test_giving_up_is_told_with_three_attempts_and_the_last_text() -> None:
    moments: list[float] = []
    assert run_skipping(RetryHandler().execute_with_retry(failing(9, moments))) == (None, 3, "reset 3")
    assert moments == pytest.approx([0.0, 1.0, 3.0])


def test_delays_are_exactly_one_two_and_four_seconds_and_sixty_at_most() -> None:
    handler = RetryHandler(RetryConfig())
    assert [handler._calculate_delay(attempt) for attempt in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert [handler._calculate_delay(attempt) for attempt in (6, 7, 8)] == [32.0, 60.0, 60.0]
    own = RetryHandler(RetryConfig(initial_delay=0.5, backoff_factor=3.0, max_delay=4.0))
    assert [own._calculate_delay(attempt) for attempt in (1, 2, 3)] == [0.5, 1.5, 4.0]


def test_sync_function_is_retried_as_an_async_one_is() -> None:
    calls: list[int] = []

    def function(text: str) -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError("reset")
        return text.upper()

    handler = RetryHandler(RetryConfig(initial_delay=0.001))
    assert asyncio.run(handler.execute_with_retry(function, text="tea")) == ("TEA", 2, None)


def test_retry_on_exception_returns_the_result_and_passes_arguments_on() -> None:
    moments: list[float] = []
    function = failing(2, moments)
    assert run_skipping(retry_on_exception(function, 3, 3.0, "tea", cups=2)) == (("tea",), {"cups": 2})
    assert moments == pytest.approx([0.0, 1.0, 4.0])


def test_retry_on_exception_says_how_often_it_failed_and_why() -> None:
    with pytest.raises(RetriesExhausted, match=r"^Failed after 2 attempts: reset 2$") as caught:
        run_skipping(retry_on_exception(failing(9, []), 2))
    assert isinstance(caught.value.__cause__, ConnectionError)
