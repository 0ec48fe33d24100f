"""One idea after the other, in strict order: for an API that allows no more, or to find a mistake.

python scripts/examples/one_by_one.py
"""

import asyncio

from batchq import BatchConfig, BatchProcessor, ProcessingMode

IDEAS = [{"id": f"idea-{number}", "text": f"a bridge of glass, part {number}"} for number in range(1, 6)]


async def make_title(idea: dict[str, str]) -> dict[str, str]:
    print(f"at {idea['id']}")
    await asyncio.sleep(0.05)  # the call of your API stands here
    return {"title": idea["text"].title()}


async def main() -> None:
    report = await BatchProcessor(BatchConfig(mode=ProcessingMode.SEQUENTIAL)).process_batch(IDEAS, make_title)
    print(f"{report.success_count} of {report.total_items} in {report.total_duration:.2f} s")


if __name__ == "__main__":
    asyncio.run(main())
