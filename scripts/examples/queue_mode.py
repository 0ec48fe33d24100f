"""A hundred ideas on the durable queue: worker processes, and a file that survives every crash.

    python scripts/examples/queue_mode.py

Kill it half-way, and run it again with the same id (BATCH=mine): it goes on where it stopped.
"""

import asyncio
import os
from collections.abc import Iterator

from batchq import BatchConfig, BatchProcessor, ProcessingMode


def ideas() -> Iterator[dict[str, str]]:
    """Drawn as they are needed: there may be ten million of them."""
    for number in range(1, 101):
        yield {"id": f"idea-{number:03}", "text": f"a market at dawn, part {number}"}


async def make_title(idea: dict[str, str]) -> dict[str, str]:
    await asyncio.sleep(0.02)  # the call of your API stands here
    return {"title": idea["text"].title()}


async def main() -> None:
    processor = BatchProcessor(BatchConfig(mode=ProcessingMode.QUEUE, max_concurrent=10, chunk_size=25))
    report = await processor.process_batch(ideas(), make_title, batch_id=os.environ.get("BATCH"))
    print(f"{report.success_count} of {report.total_items}; the last is {report.results[-1]['result']['title']!r}")
    print(f"Look at it again: batchq report {report.batch_id}")


if __name__ == "__main__":
    asyncio.run(main())
