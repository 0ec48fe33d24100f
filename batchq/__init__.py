"""batchq: run a function over many items, lose nothing, and learn what happened to each of them.

In memory, in your own event loop, several at a time:

    from batchq import BatchConfig, BatchProcessor

    async def make_title(idea):
        return await my_api(idea["text"])

    report = await BatchProcessor(BatchConfig(max_concurrent=10)).process_batch(ideas, make_title)
    print(report.success_count, report.results[0]["result"])

Durable, in worker processes, going on after any crash when it is called again with the same id:

    report = batchq.run(ideas, make_title, batch_id="titles", max_concurrent=50)

In one line, results in the order of the input:

    titles = list(batchq.map(make_title, ideas))

A batch that was begun anywhere, from another program or another terminal:

    batch = batchq.open("titles")
    print(batch.status().tally.done)
    for result in batch.results():
        print(result["idea_id"], result["status"])

An item that fails is tried again after 1, 2, 4 … seconds (`RetryConfig`), each attempt has its own timeout, and an
exception of the function is recorded, never raised.  Raise `Permanent` in the function where trying again is of no
use.  Errors of batchq itself are all `BatchqError`; their ``hint`` says what to do next.

The command line is ``batchq``; ``batchq --help`` teaches it.
"""

# Public names are imported on first use, so that importing this package costs next to nothing.

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchq.app.handle import BatchHandle
    from batchq.app.handle import open as open  # noqa: A004
    from batchq.app.oneliners import map as map  # noqa: A004
    from batchq.app.oneliners import run
    from batchq.app.processor import BatchProcessor
    from batchq.app.queue_manager import QueueManager
    from batchq.app.report import BatchItemReport, BatchReport, BatchResult
    from batchq.app.report_generator import ReportGenerator
    from batchq.config import BatchConfig, ProcessingMode, QueueConfig, QueueStatus, RetryConfig
    from batchq.context import Context, Spending
    from batchq.engine.retry import RetryHandler, retry_on_exception
    from batchq.errors import BatchHalted, BatchqError, Halt, ItemFailed, Permanent, RetryAfter
    from batchq.store.database import BatchDatabase

__version__ = "0.1.0"

_HOMES = {
    "BatchConfig": "config",
    "BatchDatabase": "store.database",
    "BatchHalted": "errors",
    "BatchHandle": "app.handle",
    "BatchItemReport": "app.report",
    "BatchProcessor": "app.processor",
    "BatchReport": "app.report",
    "BatchResult": "app.report",
    "BatchqError": "errors",
    "Context": "context",
    "Halt": "errors",
    "ItemFailed": "errors",
    "Permanent": "errors",
    "ProcessingMode": "config",
    "QueueConfig": "config",
    "QueueManager": "app.queue_manager",
    "QueueStatus": "config",
    "ReportGenerator": "app.report_generator",
    "RetryAfter": "errors",
    "RetryConfig": "config",
    "RetryHandler": "engine.retry",
    "Spending": "context",
    "map": "app.oneliners",
    "open": "app.handle",
    "retry_on_exception": "engine.retry",
    "run": "app.oneliners",
}

__all__ = [
    "BatchConfig",
    "BatchDatabase",
    "BatchHalted",
    "BatchHandle",
    "BatchItemReport",
    "BatchProcessor",
    "BatchReport",
    "BatchResult",
    "BatchqError",
    "Context",
    "Halt",
    "ItemFailed",
    "Permanent",
    "ProcessingMode",
    "QueueConfig",
    "QueueManager",
    "QueueStatus",
    "ReportGenerator",
    "RetryAfter",
    "RetryConfig",
    "RetryHandler",
    "Spending",
    "__version__",
    "retry_on_exception",
    "run",
]
"""What ``from batchq import *`` gives: without `map` and `open`, which would hide those of Python."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'batchq' has no attribute {name!r}")
    return getattr(import_module(f"batchq.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "map", "open"]
