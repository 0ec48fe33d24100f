"""The handlers that are measured: the cheapest there is, and one that waits as a fast API would."""

from __future__ import annotations

import asyncio
from typing import Any, Final

WAIT_SECONDS: Final = 0.05


async def noop(item: dict[str, Any]) -> Any:
    """Nothing but a proof that the item arrived: all the time measured is the machinery's."""
    return item["id"]


async def idea(item: dict[str, Any]) -> Any:
    """A result such as a model gives."""
    return {"title": item["text"][:60], "tags": [item["genre"], "draft"], "score": 0.5}


async def wait(item: dict[str, Any]) -> Any:
    """An API that answers after `WAIT_SECONDS`."""
    await asyncio.sleep(WAIT_SECONDS)
    return item["id"]
