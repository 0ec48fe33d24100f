"""Together with a class that makes ideas, as a content pipeline has one: what it makes goes straight into a batch.

    python scripts/examples/idea_creator.py

`IdeaCreator` stands in for the class of the pipeline; `develop` is an ordinary method of an ordinary object.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from batchq import BatchConfig, BatchProcessor


class IdeaCreator:
    """Makes ideas from a topic, slowly, and develops an idea into a draft."""

    def __init__(self, style: str) -> None:
        self.style = style

    async def create(self, topic: str, count: int) -> AsyncIterator[dict[str, Any]]:
        for number in range(1, count + 1):
            await asyncio.sleep(0.01)  # a language model thinks
            yield {"id": f"{topic}-{number}", "topic": topic, "number": number}

    async def develop(self, idea: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.05)  # and writes
        return {"title": f"{idea['topic'].title()}, {self.style}, no. {idea['number']}", "words": 400}


async def main() -> None:
    creator = IdeaCreator(style="told by night")
    processor = BatchProcessor(BatchConfig(max_concurrent=5))
    async for result in processor.stream(creator.create("lighthouses", 12), creator.develop):
        print(f"{result.idea_id:15} {result.status}  {result.result['title']}")


if __name__ == "__main__":
    asyncio.run(main())
