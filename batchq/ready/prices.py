"""What calls of a language model use, and what that costs by a table of the user's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from batchq.errors import UsageError

PER: Final = 1_000_000
"""Prices are those of so many tokens."""
KINDS: Final = ("input", "output", "cached_input")
EXAMPLE: Final = 'A table is {"MODEL": {"input": 0.15, "cached_input": 0.075, "output": 0.6}}, in usd for 1M tokens.'
CHARACTERS_A_TOKEN: Final = 4
"""Of English text, about; only for what a server does not count, and before it has counted."""


class Usage(NamedTuple):
    """The tokens of one call.

    Attributes:
        input: of the prompt, those included that the provider had in its cache.
        output: of the answer.
        cached: of the input, those that the provider had in its cache.
    """

    input: int = 0
    output: int = 0
    cached: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.input + self.output

    def __str__(self) -> str:
        cached = f" ({self.cached:,} cached)" if self.cached else ""
        return f"{self.input:,} tokens in{cached}, {self.output:,} out"


def usage_of(body: Any) -> Usage | None:
    """What the answer `body` says of its tokens; None where it says nothing.

    Example:
        >>> usage_of({"usage": {"prompt_tokens": 30, "completion_tokens": 12}})
        Usage(input=30, output=12, cached=0)
    """
    told = body.get("usage") if isinstance(body, Mapping) else None
    if not isinstance(told, Mapping):
        return None
    details = told.get("prompt_tokens_details") or told.get("input_tokens_details")
    return Usage(
        _number(told.get("prompt_tokens", told.get("input_tokens"))),
        _number(told.get("completion_tokens", told.get("output_tokens"))),
        _number(details.get("cached_tokens")) if isinstance(details, Mapping) else 0,
    )


@dataclass(frozen=True)
class Price:
    """What a model costs, in usd for 1M tokens.

    Attributes:
        input: of the prompt.
        output: of the answer.
        cached_input: of that part of the prompt which the provider had in its cache.

    Example:
        >>> Price(input=0.15, output=0.6, cached_input=0.075).usd(Usage(1_000_000, 0, cached=1_000_000))
        0.075
    """

    input: float
    output: float
    cached_input: float

    def usd(self, usage: Usage) -> float:
        """What a call cost."""
        cached = min(usage.cached, usage.input)
        fresh = usage.input - cached
        return (fresh * self.input + cached * self.cached_input + usage.output * self.output) / PER


Prices = Mapping[str, Price]
"""By the name of a model."""


def prices_of(table: Any, name: str = "--prices") -> dict[str, Price]:
    """A table of prices, as the user wrote it.

    Args:
        table: what JSON gave.
        name: of the option or the file, for errors.

    Raises:
        UsageError: it is no such table.

    Example:
        >>> prices_of({"small": {"input": 1, "output": 4}})["small"].cached_input
        1.0
    """
    if not isinstance(table, Mapping) or not table:
        raise UsageError(f"{name}: this is no table of prices", EXAMPLE)
    return {model: _price(f"{name}: {model!r}", entry) for model, entry in table.items()}


def price_of(prices: Prices, model: str, name: str = "--prices") -> Price:
    """The price of `model`; raises `UsageError` where the table has none."""
    if model not in prices:
        raise UsageError(f"{name}: there is no price for {model!r}", f"There is one for {', '.join(sorted(prices))}.")
    return prices[model]


def _price(place: str, entry: Any) -> Price:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{place}: this is no price", EXAMPLE)
    if unknown := sorted(set(entry) - set(KINDS)):
        raise UsageError(f"{place}: {unknown[0]!r} is none of {', '.join(KINDS)}", EXAMPLE)
    for kind in KINDS[:2]:
        if kind not in entry:
            raise UsageError(f"{place}: {kind!r} is missing", EXAMPLE)
    for kind, usd in entry.items():
        if isinstance(usd, bool) or not isinstance(usd, (int, float)) or not 0 <= usd < math.inf:
            raise UsageError(f"{place}: {kind!r} must be a number from 0, not {usd!r}", EXAMPLE)
    return Price(float(entry["input"]), float(entry["output"]), float(entry.get("cached_input", entry["input"])))


def _number(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0
