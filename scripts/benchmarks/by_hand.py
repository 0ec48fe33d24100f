"""The pattern that people write by hand: everything in memory, a task per item, a semaphore, a timeout.

    python -m benchmarks.by_hand INPUT.jsonl OUTPUT.jsonl CONCURRENCY HANDLER [ATTEMPTS]

One process, nothing kept if it dies.  It does its work as cheaply as that pattern can: `json.dumps` a line, which is
faster than one `json.dump` of the whole list; and a loop around the attempts only where there is more than one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from benchmarks import handlers

TIMEOUT_SECONDS: Final = 300.0
"""The default of `batchq start`."""
RETRY_SECONDS: Final = 0.01
"""Before each further attempt; batchq is told the same."""

Handler = Callable[[dict[str, Any]], Awaitable[Any]]


async def run_all(items: list[dict[str, Any]], concurrency: int, handler: Handler) -> list[dict[str, Any]]:
    """An outcome for each item, in their order."""
    semaphore = asyncio.Semaphore(concurrency)

    async def run_one(item: dict[str, Any]) -> dict[str, Any]:
        async with semaphore:
            try:
                result = await asyncio.wait_for(handler(item), TIMEOUT_SECONDS)
            except Exception as error:
                return {"id": item["id"], "status": "failed", "error": str(error)}
            return {"id": item["id"], "status": "success", "result": result}

    return await asyncio.gather(*(run_one(item) for item in items))


def retried(handler: Handler, attempts: int) -> Handler:
    """`handler`, tried again up to `attempts` times."""

    async def run(item: dict[str, Any]) -> Any:
        for _ in range(attempts - 1):
            try:
                return await handler(item)
            except Exception:
                await asyncio.sleep(RETRY_SECONDS)
        return await handler(item)

    return run


def main() -> None:
    """Read, run, write."""
    source, target, concurrency, name, *attempts = sys.argv[1:]
    handler: Handler = getattr(handlers, name)
    with open(source, encoding="utf-8") as lines:
        items = [json.loads(line) for line in lines]
    if attempts:
        handler = retried(handler, int(attempts[0]))
    outcomes = asyncio.run(run_all(items, int(concurrency), handler))
    with open(target, "w", encoding="utf-8") as out:
        out.writelines(json.dumps(outcome) + "\n" for outcome in outcomes)
    if any(outcome["status"] != "success" for outcome in outcomes):
        sys.exit("an item failed")


if __name__ == "__main__":
    main()
