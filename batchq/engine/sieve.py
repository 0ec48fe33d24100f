"""The condition of a program on its own ideas: which of them become items."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Iterable, Iterator, Mapping
from typing import Any

from batchq.drawing import Drawing
from batchq.engine.results import to_json
from batchq.errors import UnserializableResult
from batchq.inputs.fields import ABSENT, look_up
from batchq.inputs.where import Where
from batchq.model import NONE_SKIPPED


class Sieve:
    """Leaves out the ideas that do not fulfil a condition.

    Args:
        where: the condition, see `inputs.where`; None lets all of them through.

    Raises:
        UsageError: it cannot be understood.

    Example:
        >>> sieve = Sieve("price < 10")
        >>> list(sieve.out_of([{"price": 5}, {"price": 50}])), sieve.skipped
        ([{'price': 5}], {'where': 1})
    """

    def __init__(self, where: str | None = None) -> None:
        self._where = None if where is None else Where(where, name="where")
        self._left_out = 0
        self._unseen = set(self._where.fields) if self._where else set()

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many were left out so far, by what did it."""
        return {"where": self._left_out} if self._left_out else NONE_SKIPPED

    @property
    def unseen(self) -> Collection[tuple[str, str]]:
        """Each field of the condition that no idea has had so far, behind the name of the setting: mistyped, likely."""
        return [("where", field) for field in sorted(self._unseen)]

    def out_of(self, ideas: Iterable[Any] | AsyncIterable[Any]) -> Iterable[Any] | AsyncIterable[Any]:
        """Those of `ideas` that fulfil the condition; `ideas` itself without one."""
        if self._where is None:
            return ideas
        return self._async_out_of(ideas) if isinstance(ideas, AsyncIterable) else self._out_of(ideas)

    def _out_of(self, ideas: Iterable[Any]) -> Iterator[Any]:
        return (idea for idea in ideas if self._lets_through(idea))

    async def _async_out_of(self, ideas: AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
        async with Drawing(ideas) as drawn:
            async for idea in drawn:
                if self._lets_through(idea):
                    yield idea

    def _lets_through(self, idea: Any) -> bool:
        assert self._where is not None
        try:
            value = json.loads(to_json(idea))  # a condition is on what the record of a file would be
        except UnserializableResult:
            value = idea
        if self._unseen:
            self._unseen -= {field for field in self._unseen if look_up(value, field) is not ABSENT}
        if self._where(value):
            return True
        self._left_out += 1
        return False
