"""The handlers that are measured: the cheapest there is, and some that wait, count, echo or fail as real ones do."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

WAIT_SECONDS: Final = 0.05
LONG_WAIT_SECONDS: Final = 1.0
BURN_STEPS: Final = 60_000
"""Some 4 ms of work in the interpreter."""
FAILURES: Final = 2
"""How often an item of `failing` fails before it succeeds."""
STAMP: Final = "BENCH_STAMP"
"""The variable that names the file in which `stamp` leaves the time."""

_failed: dict[str, int] = {}


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


async def wait_long(item: dict[str, Any]) -> Any:
    """An API that answers after `LONG_WAIT_SECONDS`."""
    await asyncio.sleep(LONG_WAIT_SECONDS)
    return item["id"]


async def hold(item: dict[str, Any]) -> Any:
    """Keep a batch running for as long as it is looked at."""
    await asyncio.sleep(100_000)


def burn(item: dict[str, Any]) -> Any:
    """Work of a core, in the interpreter."""
    return sum(number * number for number in range(BURN_STEPS))


async def echo(item: dict[str, Any]) -> Any:
    """A result as large as the item."""
    return item["text"]


async def failing(item: dict[str, Any]) -> Any:
    """An item in five fails `FAILURES` times."""
    name = item["id"]
    if name[-1] in "05" and _failed.get(name, 0) < FAILURES:
        _failed[name] = _failed.get(name, 0) + 1
        raise ConnectionError("down")
    _failed.pop(name, None)
    return name


async def stamp(item: dict[str, Any]) -> Any:
    """Leave the time at which the first item began."""
    _leave_time(Path(os.environ[STAMP]))
    return item["id"]


def _leave_time(path: Path) -> None:
    with suppress(FileExistsError), path.open("x", encoding="ascii") as out:
        out.write(repr(time.time()))
