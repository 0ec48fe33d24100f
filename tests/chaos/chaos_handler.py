"""The function that every chaos schedule runs: what it does to its process stands in the item.

Each attempt appends a line to a file of its own process, before and after the work, with one write that no kill can
tear: ``start N ATTEMPT SECONDS`` and ``end N ATTEMPT SECONDS``, the seconds on the clock that all processes of the
machine share.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from batchq import Context, Permanent

LEDGER = "CHAOS_LEDGER"
GATE = "gate"
"""A file beside the ledgers: only items up to the number in it may end. Where there is none all may."""


def note(word: str, item: dict[str, Any], ctx: Context) -> None:
    """One line in this process's file."""
    path = os.path.join(os.environ[LEDGER], f"{os.getpid()}.ledger")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{word} {item['n']} {ctx.attempt} {time.monotonic():.6f}\n".encode())
    os.close(descriptor)


def value_of(n: int) -> dict[str, Any]:
    """The right result of item `n`."""
    return {"n": n, "square": n * n, "text": f"ä{n}"}


def error_of(n: int) -> str:
    """The error of an item that is made to fail."""
    return f"item {n} is made to fail"


async def in_loop(item: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Async."""
    note("start", item, ctx)
    await asyncio.sleep(item["seconds"])
    while not _may_end(item):
        await asyncio.sleep(0.01)
    if item["kind"] == "hangs":
        await _swallow()
    if item["kind"] == "blocks":
        time.sleep(1e6)
    return _end(item, ctx)


def in_thread(item: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Not async, so that it runs in a thread."""
    note("start", item, ctx)
    time.sleep(item["seconds"])
    while not _may_end(item):
        time.sleep(0.01)
    if item["kind"] in ("hangs", "blocks"):
        time.sleep(1e6)
    return _end(item, ctx)


def _may_end(item: dict[str, Any]) -> bool:
    try:
        return item["n"] <= int(Path(os.environ[LEDGER], GATE).read_text() or 0)
    except FileNotFoundError:
        return True


async def _swallow() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1e6)


def _end(item: dict[str, Any], ctx: Context) -> dict[str, Any]:
    kind = item["kind"]
    if kind == "exits":
        os._exit(3)
    if kind == "kills" or (kind == "dies_once" and _is_first_time(item)):
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "segfaults":
        ctypes.string_at(0)
    if kind == "permanent":
        raise Permanent(error_of(item["n"]))
    if kind == "fails" or (kind == "flaky" and ctx.attempt <= item["failures"]):
        raise ValueError(error_of(item["n"]))
    note("end", item, ctx)
    return value_of(item["n"])


def _is_first_time(item: dict[str, Any]) -> bool:
    try:
        Path(os.environ[LEDGER], f"died-{item['n']}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
