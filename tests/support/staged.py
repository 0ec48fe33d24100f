"""Functions of a batch of several stages that note each of their attempts in the ledger."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from ledger import note

from batchq import Context


def title(item: dict[str, Any]) -> dict[str, Any]:
    """A sync first stage."""
    note("title", item)
    return {"n": item["n"], "title": f"t{item['n']}"}


async def script(title: dict[str, Any], ctx: Context) -> list[Any]:
    """An async second stage, which looks at the item too."""
    note("script", title)
    await asyncio.sleep(0)
    return [title["title"], ctx.payload["id"], ctx.stage, ctx.attempt, ctx.idempotency_key.partition(":")[2]]


async def held(title: dict[str, Any]) -> None:
    """A second stage that never ends."""
    note("held", title)
    await asyncio.sleep(3600)


async def refused(title: dict[str, Any], ctx: Context) -> list[Any]:
    """A second stage that fails until the file that ``GATE`` names exists; item 1 is taken at its second attempt."""
    note("refused", title)
    if not os.path.exists(os.environ["GATE"]) and (title["n"], ctx.attempt) != (1, 2):
        raise ConnectionError(f"no script for {title['title']}")
    return [title["title"], ctx.attempt, ctx.idempotency_key.partition(":")[2]]
