"""The handlers that are measured: the cheapest there is, and one that waits as a fast API would."""

from __future__ import annotations

import asyncio
from typing import Any, Final

WAIT_SECONDS: Final = 0.05


async def noop(item: dict[str, Any]) -> Any:
    """Nothing but a proof that the item arrived: all the time measured is the machinery's."""
    return item["id"]


async def wait(item: dict[str, Any]) -> Any:
    """An API that answers after `WAIT_SECONDS`."""
    await asyncio.sleep(WAIT_SECONDS)
    return item["id"]
