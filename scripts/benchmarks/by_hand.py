"""The pattern that people write by hand: everything in memory, a task per item, a semaphore, a timeout.

    python -m benchmarks.by_hand INPUT.jsonl OUTPUT.jsonl CONCURRENCY

One process, nothing kept if it dies.  It does its work as cheaply as that pattern can: `json.dumps` a line, which is
faster than one `json.dump` of the whole list.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Final

from benchmarks import handlers

TIMEOUT_SECONDS: Final = 300.0
"""The default of `batchq start`."""


async def run_all(items: list[dict[str, Any]], concurrency: int) -> list[dict[str, Any]]:
    """An outcome for each item, in their order."""
    semaphore = asyncio.Semaphore(concurrency)

    async def run_one(item: dict[str, Any]) -> dict[str, Any]:
        async with semaphore:
            try:
                result = await asyncio.wait_for(handlers.noop(item), TIMEOUT_SECONDS)
            except Exception as error:
                return {"id": item["id"], "status": "failed", "error": str(error)}
            return {"id": item["id"], "status": "success", "result": result}

    return await asyncio.gather(*(run_one(item) for item in items))


def main() -> None:
    """Read, run, write."""
    source, target, concurrency = sys.argv[1:]
    with open(source, encoding="utf-8") as lines:
        items = [json.loads(line) for line in lines]
    outcomes = asyncio.run(run_all(items, int(concurrency)))
    with open(target, "w", encoding="utf-8") as out:
        out.writelines(json.dumps(outcome) + "\n" for outcome in outcomes)


if __name__ == "__main__":
    main()
