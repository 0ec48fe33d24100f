"""The body of an upload, a piece at a time: onto the disk, or only compared with one that came before."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from starlette.requests import ClientDisconnect, Request

from batchq.server.api.answers import announced
from batchq.server.problems import Problem

PIECE_BYTES: Final = 1024 * 1024
"""The network's pieces are joined to such ones: each costs a change of threads."""


async def save(request: Request, path: Path, most: int) -> str:
    """Write the body into a new file; the hash of it.

    Args:
        request: the call.
        path: of the file, which is on the disk for good when this returns.
        most: bytes that it may have.

    Raises:
        Problem: 413 where it has more, 400 where it breaks off.
    """
    digest = hashlib.blake2b(digest_size=32)
    with await asyncio.to_thread(path.open, "xb", 0) as file:

        def take(piece: bytes) -> None:
            digest.update(piece)
            rest = memoryview(piece)
            while rest:
                rest = rest[file.write(rest) :]

        await _receive(request, most, take)
        await asyncio.to_thread(os.fsync, file.fileno())
    return digest.hexdigest()


async def digest_of(request: Request, most: int) -> str:
    """The same hash of a body that is not kept."""
    digest = hashlib.blake2b(digest_size=32)
    await _receive(request, most, digest.update)
    return digest.hexdigest()


def check_announced(request: Request, most: int) -> None:
    """Raise `Problem` 413 before anything is read, where the call itself says that it is too large."""
    if announced(request) > most:
        raise _too_large(most)


async def _receive(request: Request, most: int, take: Callable[[bytes], object]) -> None:
    size = waiting = 0
    pending: list[bytes] = []
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                raise _too_large(most)
            pending.append(piece)
            waiting += len(piece)
            if waiting >= PIECE_BYTES:
                await asyncio.to_thread(take, b"".join(pending))
                pending, waiting = [], 0
    except ClientDisconnect:
        raise Problem(400, "the upload broke off") from None
    await asyncio.to_thread(take, b"".join(pending))


def _too_large(most: int) -> Problem:
    return Problem(413, f"an upload may have {most:,} bytes at most")
