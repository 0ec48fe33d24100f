"""Ten ideas, five at a time: the smallest useful program.

python scripts/examples/small_batch.py
"""

import asyncio

from batchq import BatchConfig, BatchProcessor

IDEAS = [{"id": f"idea-{number}", "text": f"a story about rain, part {number}"} for number in range(1, 11)]


async def make_title(idea: dict[str, str]) -> dict[str, str]:
    await asyncio.sleep(0.1)  # the call of your API stands here
    return {"title": idea["text"].title()}


async def main() -> None:
    processor = BatchProcessor(BatchConfig(max_concurrent=5))
    report = await processor.process_batch(IDEAS, make_title)
    processor.report_generator.print_summary(report)
    for result in report.results:
        print(f"{result['idea_id']:8}  {result['result']['title']}")


if __name__ == "__main__":
    asyncio.run(main())
