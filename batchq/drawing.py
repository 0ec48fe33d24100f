"""Draws from an async iterable, and lets it leave what it has open."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any


class Drawing:
    """An iterator over `ideas` for a block, closed at its end where that can be: one of a generator.

    Args:
        ideas: what is drawn from.

    Example:
        async with Drawing(ideas) as drawn:
            async for idea in drawn:
                ...
    """

    def __init__(self, ideas: AsyncIterable[Any]) -> None:
        self._drawn = aiter(ideas)

    async def __aenter__(self) -> AsyncIterator[Any]:
        return self._drawn

    async def __aexit__(self, *_: object) -> None:
        close = getattr(self._drawn, "aclose", None)
        if close is not None:
            await close()
