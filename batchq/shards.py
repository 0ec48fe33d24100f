"""Parts of an input, each of which is a batch of its own: every tenth item, from the first, the second, … on.

    place in the input   1 2 3 4 5 6 7 8
    part 1 of 3          1     2     3         ``seq`` in its batch
    part 2 of 3            1     2     3

By places and not by halves, so that nobody has to know how long the input is, and that what its end is like is shared.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from itertools import islice
from typing import Any, Final, NamedTuple

from batchq.drawing import Drawing
from batchq.errors import ConfigError

MOST: Final = 100_000
"""Parts of an input: beyond that a typing error is likelier."""
_TEXT: Final = re.compile(r"([0-9]{1,9})\s*/\s*([0-9]{1,9})", re.ASCII)


class Shard(NamedTuple):
    """One of several parts of an input.

    Attributes:
        number: which, from 1.
        parts: how many there are.
    """

    number: int = 1
    parts: int = 1

    @classmethod
    def of(cls, text: str | None, name: str = "--shard") -> Shard:
        """The part that ``3/10`` names; None names the whole input.

        Args:
            text: what was said.
            name: of the setting, for messages.

        Raises:
            ConfigError: there is no such part.

        Example:
            >>> Shard.of("3/10"), Shard.of(None)
            (Shard(number=3, parts=10), Shard(number=1, parts=1))
        """
        if text is None:
            return cls()
        found = _TEXT.fullmatch(text.strip()) if isinstance(text, str) else None
        if found is None:
            raise ConfigError(name, text, "a part and the number of parts, such as 3/10 for the third of ten")
        number, parts = int(found[1]), int(found[2])
        if not 1 <= parts <= MOST:
            raise ConfigError(name, text, f"one of 1 to {MOST} parts")
        if not 1 <= number <= parts:
            raise ConfigError(name, text, f"a part from 1/{parts} to {parts}/{parts}")
        return cls(number, parts)

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the input."""
        return self.parts == 1

    @property
    def suffix(self) -> str:
        """What tells it in the id of a batch; empty for all of the input.

        Example:
            >>> Shard(3, 10).suffix
            '-3of10'
        """
        return "" if self.is_whole else f"-{self.number}of{self.parts}"

    def holds(self, place: int) -> bool:
        """Whether the item at that place of the input, from 1, is in this part."""
        return (place - 1) % self.parts == self.number - 1

    def place(self, seq: int) -> int:
        """The place in the input of this part's item number `seq`; both from 1.

        Example:
            >>> [Shard(2, 3).place(seq) for seq in (1, 2, 3)]
            [2, 5, 8]
        """
        return (seq - 1) * self.parts + self.number

    def size(self, items: int) -> int:
        """How many of so many items are in this part.

        Example:
            >>> [Shard(number, 3).size(5) for number in (1, 2, 3)]
            [2, 2, 1]
        """
        return len(range(self.number, items + 1, self.parts))

    def out_of(self, ideas: Iterable[Any] | AsyncIterable[Any]) -> Iterable[Any] | AsyncIterable[Any]:
        """This part of what a program hands over.

        Example:
            >>> Shard(2, 3).out_of([1, 2, 3, 4, 5])
            [2, 5]
        """
        if self.is_whole:
            return ideas
        if isinstance(ideas, AsyncIterable):
            return self._out_of_async(ideas)
        if isinstance(ideas, (list, tuple)):
            return ideas[self.number - 1 :: self.parts]  # its length stays known
        return islice(ideas, self.number - 1, None, self.parts)

    async def _out_of_async(self, ideas: AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
        place = 0
        async with Drawing(ideas) as drawn:
            async for idea in drawn:
                place += 1
                if self.holds(place):
                    yield idea


WHOLE: Final = Shard()
"""All of an input."""
