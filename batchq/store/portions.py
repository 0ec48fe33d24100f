"""How much of what is ready one claim takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

CLAIM_BYTES: Final = 8 * 1024 * 1024
"""Payload handed out with one claim at most, unless a single item is larger."""


class Part(NamedTuple):
    """A ready message of which only the first `taking` items are taken."""

    key: int
    first: int
    last: int
    size: int
    again: int
    taking: int


def items_in(ready: Sequence[Sequence[int]]) -> int:
    """Items of messages: (key, first, last, bytes, redelivered) each."""
    return sum(last - first + 1 for _, first, last, _, _ in ready)


def choose(ready: list[list[int]], want: int) -> tuple[list[list[int]], Part | None]:
    """The messages to take whole, and the one to take in part."""
    whole: list[list[int]] = []
    room = CLAIM_BYTES
    for row in ready:
        key, first, last, size, again = row
        count = last - first + 1
        fitting = count if size <= room else room * count // size
        if not whole and want > 0:
            fitting = max(fitting, 1)
        take = min(count, want, fitting)
        if take == count:
            whole.append(row)
            want -= take
            room -= size
            continue
        return whole, Part(key, first, last, size, again, take) if take > 0 else None
    return whole, None
