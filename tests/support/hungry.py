"""Handlers that take much of something: room on the disk, lines of the log, file descriptors."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from ledger import note

LARGE = 50_000
_leaked: list[int] = []


async def large(item: dict[str, Any]) -> str:
    """Gives much back."""
    note("start", item)
    await asyncio.sleep(0.004)
    return "r" * LARGE


async def small(item: dict[str, Any]) -> int:
    """Gives little back."""
    note("start", item)
    await asyncio.sleep(0.01)
    return int(item["n"])


async def held_large(item: dict[str, Any]) -> str:
    """Gives much back, when the file that ``GATE`` names exists."""
    note("start", item)
    while not os.path.exists(os.environ["GATE"]):
        await asyncio.sleep(0.01)
    return "r" * LARGE


def talks(item: dict[str, Any]) -> int:
    """Prints much."""
    note("start", item)
    print("t" * LARGE)
    return int(item["n"])


def leaks(item: dict[str, Any]) -> int:
    """Opens files and never closes them."""
    note("start", item)
    _leaked.append(os.open(os.devnull, os.O_RDONLY))
    return int(item["n"])
