"""What a type checker must find in a user's program; checked by `scripts/lint`, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

import batchq
from batchq import (
    BatchConfig,
    BatchDatabase,
    BatchHandle,
    BatchProcessor,
    BatchReport,
    BatchResult,
    Context,
    ProcessingMode,
    QueueConfig,
    QueueManager,
    ReportGenerator,
    RetryConfig,
    RetryHandler,
    retry_on_exception,
)


async def title(idea: dict[str, Any]) -> str:
    return str(idea["text"])


def with_context(idea: dict[str, Any], ctx: Context) -> int:
    ctx.log.info("attempt %d", ctx.attempt)
    return ctx.seq


async def endless() -> AsyncIterator[int]:
    yield 1


async def a_program(path: Path) -> None:
    processor = BatchProcessor(BatchConfig(10, ProcessingMode.PARALLEL, timeout_per_item=None, home=path))
    report = await processor.process_batch([{"id": 1}], title, "b1", on_result=print)
    assert_type(report, BatchReport)
    assert_type(report.failures, Sequence[Mapping[str, Any]])
    assert_type(report.results[0], Mapping[str, Any])
    await processor.process_batch(endless(), with_context)
    async for result in processor.stream(range(3), str):
        assert_type(result, BatchResult)
        assert_type(result.error, str | None)
    assert_type(processor.generate_report([result]), BatchReport)
    assert_type(await RetryHandler(RetryConfig(3)).execute_with_retry(title, {}), tuple[Any, int, str | None])
    await retry_on_exception(title, 3, 2.0, {"text": "tea"})
    assert_type(ReportGenerator().to_json(report), str)


def another(path: Path) -> None:
    report = batchq.run([1, 2], str, batch_id="b1", mode="queue", max_concurrent=3)
    assert_type(report, BatchReport)
    batch = batchq.open("b1", path)
    assert_type(batch, BatchHandle)
    assert_type(batch.pause(), str)
    for row in batch.results(only="failed"):
        assert_type(row, Mapping[str, Any])
    for value in batchq.map(str, [1, 2], max_concurrent=2, errors="return"):
        print(value)
    manager = QueueManager(QueueConfig(chunk_size=10))
    manager.add_items([1, 2])
    with BatchDatabase(path) as database:
        assert_type(database.get_batch_job("b1"), dict[str, Any] | None)
