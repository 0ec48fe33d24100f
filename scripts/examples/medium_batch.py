"""Fifty ideas, ten at a time, with results taken as they come, and the report as JSON and CSV.

python scripts/examples/medium_batch.py
"""

import asyncio
import random

from batchq import BatchConfig, BatchProcessor, BatchResult

IDEAS = [{"id": f"idea-{number:02}", "text": f"night trains, part {number}"} for number in range(1, 51)]


async def make_title(idea: dict[str, str]) -> dict[str, str]:
    await asyncio.sleep(random.uniform(0.05, 0.15))  # the call of your API stands here
    return {"title": idea["text"].title()}


def show(result: BatchResult) -> None:
    if result.seq % 10 == 0:
        print(f"{result.idea_id} is there after {result.duration:.2f} s")


async def main() -> None:
    processor = BatchProcessor(BatchConfig(max_concurrent=10, timeout_per_item=5))
    report = await processor.process_batch(IDEAS, make_title, batch_id="medium", on_result=show)
    print(f"{report.success_count} of {report.total_items}, {report.speedup:.1f} times as fast as one by one")
    print(processor.report_generator.to_json(report).splitlines()[1].strip(), "…")
    print(processor.report_generator.to_csv(report), end="")


if __name__ == "__main__":
    asyncio.run(main())
