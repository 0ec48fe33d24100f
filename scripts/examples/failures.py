"""What fails, and what then: an API that is down now and then, an idea that can never work, a call that hangs.

python scripts/examples/failures.py
"""

import asyncio
from collections import Counter
from typing import Any

from batchq import BatchConfig, BatchProcessor, Permanent

IDEAS = [{"id": f"idea-{number}", "text": f"tea in the mountains, part {number}"} for number in range(1, 10)]
IDEAS.append({"id": "idea-without-text"})
calls: Counter[str] = Counter()


async def make_title(idea: dict[str, str]) -> dict[str, Any]:
    calls[idea["id"]] += 1
    if "text" not in idea:
        raise Permanent("an idea without a text has no title")  # not tried again
    if idea["id"] == "idea-3" and calls["idea-3"] < 3:
        raise ConnectionError("the API is down")  # tried again, and works the third time
    if idea["id"] == "idea-7":
        await asyncio.sleep(60)  # longer than the timeout, each time
    return {"title": idea["text"].title()}


async def main() -> None:
    config = BatchConfig(max_concurrent=5, retry_attempts=3, retry_delay=0.05, timeout_per_item=0.2)
    report = await BatchProcessor(config).process_batch(IDEAS, make_title)
    print(f"{report.success_count} succeeded, {report.recovered} of them only when tried again")
    for failure in report.failures:
        print(f"{failure['idea_id']}: {failure['error']} (attempts: {failure['attempts']})")


if __name__ == "__main__":
    asyncio.run(main())
