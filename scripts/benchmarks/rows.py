"""What a case yields: the lines of the table; and how its sides take turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Measure = Callable[[], float]


@dataclass(frozen=True)
class Target:
    """What a measured value is held against.

    Attributes:
        sign: ``>=``, ``<=`` or ``<``.
        value: in the unit of the row.
    """

    sign: str
    value: float

    def is_met(self, measured: float) -> bool:
        """Whether `measured` is good enough."""
        if self.sign == ">=":
            return measured >= self.value
        return measured < self.value or (self.sign == "<=" and measured == self.value)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        case: the letter of `--only`.
        what: what was compared with what.
        measured: the value, in `unit`.
        unit: ``x`` (a ratio), ``%`` or ``MB``.
        target: None where only the number is of interest.
        low, high: the values that the single pairs of runs gave.
        details: the times or sizes behind it, by name.
    """

    case: str
    what: str
    measured: float
    unit: str
    target: Target | None
    low: float
    high: float
    details: dict[str, Any]

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.target is None:
            return "-"
        return "met" if self.target.is_met(self.measured) else "MISSED"


def ratio(case: str, what: str, base: list[float], ours: list[float], target: Target) -> Row:
    """How many times `ours` goes into `base`, the best of each side."""
    ratios = [a / b for a, b in zip(base, ours, strict=True)]
    return Row(case, what, min(base) / min(ours), "x", target, min(ratios), max(ratios), {"base": base, "ours": ours})


def alternate(rounds: int, *measures: Measure) -> list[list[float]]:
    """Each measure's values, taken in turns (A B A B), so that a slow minute of the machine hits all of them."""
    values: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for column, measure in zip(values, measures, strict=True):
            column.append(measure())
    return values
