"""One measurement of the library, in a process of its own; prints what came of it as JSON.

    python -m benchmarks.library MODE ITEMS CONCURRENCY HANDLER

MODE is parallel, sequential, queue, or `gather`: the pattern that people write by hand.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from batchq import BatchConfig, BatchProcessor, ReportGenerator
from benchmarks import handlers

TRANSIENT: Final = 0.3
"""Share of the calls of `shaky` that fail."""
KIB: Final = 1024


async def shaky(item: dict[str, Any]) -> Any:
    """An API that is down now and then."""
    if random.random() < TRANSIENT:
        raise ConnectionError("down")
    return item["id"]


HANDLERS: Final[dict[str, Callable[[Any], Awaitable[Any]]]] = {
    "noop": handlers.noop,
    "wait": handlers.wait,
    "shaky": shaky,
}


async def gather(ideas: Sequence[Any], function: Callable[[Any], Awaitable[Any]], concurrency: int) -> int:
    """Semaphore and gather, without a timeout: as cheap as that pattern can be."""
    semaphore = asyncio.Semaphore(concurrency)

    async def run_one(idea: Any) -> dict[str, Any]:
        async with semaphore:
            try:
                result = await function(idea)
            except Exception as error:
                return {"id": idea["id"], "status": "failed", "error": str(error)}
            return {"id": idea["id"], "status": "success", "result": result}

    results = await asyncio.gather(*(run_one(idea) for idea in ideas))
    return sum(result["status"] == "success" for result in results)


async def main(mode: str, items: int, concurrency: int, handler: str) -> dict[str, Any]:
    """Measure; seconds, and how much the peak of the memory grew meanwhile."""
    ideas = [{"id": f"item-{number:08}", "n": number} for number in range(items)]
    before = _peak()
    began = time.perf_counter()
    if mode == "gather":
        succeeded = await gather(ideas, HANDLERS[handler], concurrency)
        return {"seconds": time.perf_counter() - began, "peak_mb": _peak() - before, "success": succeeded}
    random.seed(7)
    config = BatchConfig(concurrency, mode, retry_delay=0.001, enable_progress_tracking=False)
    report = await BatchProcessor(config).process_batch(ideas, HANDLERS[handler])
    seconds = time.perf_counter() - began
    peak = _peak() - before
    return {
        "seconds": seconds,
        "peak_mb": peak,
        "success": report.success_count,
        "recovered": report.recovered,
        "report_seconds": _report_seconds(report.results),
    }


def _report_seconds(results: Sequence[Any]) -> float:
    rows = list(results)
    began = time.perf_counter()
    generator = ReportGenerator()
    generator.to_json(generator.generate_report("bench", rows, 0.0, 1.0, {}))
    return time.perf_counter() - began


def _peak() -> float:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes * KIB / 1e6


if __name__ == "__main__":
    mode, items, concurrency, handler = sys.argv[1:]
    print(json.dumps(asyncio.run(main(mode, int(items), int(concurrency), handler))))
