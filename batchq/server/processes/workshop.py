"""What only a few calls may do at a time; the others wait a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from batchq.server.problems import Problem

CHILDREN: Final = 3
"""Processes that load a module or read a file for a caller: each takes a core for a second or so."""
UPLOADS: Final = 8
WAIT_SECONDS: Final = 30.0


class Workshop:
    """The places where batches are made.

    Example:
        async with workshop.child():
            answer = await ask("batchq.server.processes.make", question, 120.0)
    """

    def __init__(self) -> None:
        self._children = asyncio.Semaphore(CHILDREN)
        self._uploads = asyncio.Semaphore(UPLOADS)

    @asynccontextmanager
    async def child(self) -> AsyncIterator[None]:
        """One of the processes; raises `Problem` 503 where none gets free for long."""
        async with _place(self._children, "making or reading too many things"):
            yield

    @asynccontextmanager
    async def upload(self) -> AsyncIterator[None]:
        """One of the uploads, likewise."""
        async with _place(self._uploads, "taking too many uploads"):
            yield


@asynccontextmanager
async def _place(places: asyncio.Semaphore, what: str) -> AsyncIterator[None]:
    try:
        await asyncio.wait_for(places.acquire(), WAIT_SECONDS)
    except asyncio.TimeoutError:
        raise Problem(503, f"the server is {what} right now", "Try again later.", {"Retry-After": "10"}) from None
    try:
        yield
    finally:
        places.release()
