"""Handlers that note the beginning and the end of each attempt in a file, whatever happens to their process."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any


def note(word: str, item: Any) -> None:
    """Append one line with a single write, which no kill can tear."""
    descriptor = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{word} {item['n']}\n".encode())
    os.close(descriptor)


def read(path: Path) -> list[tuple[str, int]]:
    """The notes so far."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text().rpartition("\n")  # where a page of the file ends, the last line may be there in part
    return [(word, int(n)) for word, n in (line.split() for line in whole.splitlines())]


async def waits(item: dict[str, Any]) -> int:
    """Takes about 4 ms."""
    note("start", item)
    await asyncio.sleep(0.004)
    note("end", item)
    return int(item["n"]) ** 2


def blocks(item: dict[str, Any]) -> int:
    """The same in a thread."""
    note("start", item)
    time.sleep(0.004)
    note("end", item)
    return int(item["n"]) ** 2


async def dies(item: dict[str, Any]) -> int:
    """Item 7 always kills its worker, by the signal or abort that ``DIES_OF`` names."""
    note("start", item)
    await asyncio.sleep(0.004)
    if item["n"] == 7:
        if os.environ["DIES_OF"] == "abort":
            os.abort()
        os.kill(os.getpid(), getattr(signal, os.environ["DIES_OF"]))
    return int(item["n"])


async def dies_once(item: dict[str, Any]) -> int:
    """Item 7 kills its worker the first time, as the kernel does when memory is short."""
    note("start", item)
    if item["n"] == 7 and read(Path(os.environ["LEDGER"])).count(("start", 7)) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(0.004)
    return int(item["n"])


async def admitted(item: dict[str, Any]) -> int:
    """Ends only when the number in the file that ``GATE`` names is its own or higher."""
    note("start", item)
    gate = Path(os.environ["GATE"])
    while not gate.exists() or int(gate.read_text() or 0) < item["n"]:
        await asyncio.sleep(0.01)
    note("end", item)
    return int(item["n"]) ** 2


async def held(item: dict[str, Any]) -> int:
    """Ends only when the file that ``GATE`` names exists."""
    note("start", item)
    while not os.path.exists(os.environ["GATE"]):
        await asyncio.sleep(0.01)
    note("end", item)
    return int(item["n"])
