"""What a case finds: figures against targets, rates of work, and what could not be measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Measure = Callable[[], float]
Kind = Literal["batchq", "memory", "peer", "limit"]
"""Of a rate: batchq; in memory, by hand; a durable peer; the floor, which nothing durable can beat."""


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
    """One figure: a line of the table.

    Attributes:
        key: the case and a name in it, the same from release to release: ``rate/floor``.
        what: what was compared with what.
        measured: the median, in `unit`.
        unit: ``x`` (a ratio), ``%``, ``MB``, ``s`` or ``/min``.
        target: None where only the number is of interest.
        low, high: the values that the single pairs of runs gave.
        details: the times or sizes behind it, by name.
        guard: whether `--compare` looks at it: it is measured against what no release of batchq changes, such as the
            floor, an ideal or the start of Python.  More is better, unless the target says otherwise.
    """

    key: str
    what: str
    measured: float
    unit: str
    target: Target | None
    low: float
    high: float
    details: dict[str, Any] = field(default_factory=dict)
    guard: bool = False

    @property
    def case(self) -> str:
        """The name that `--only` takes."""
        return self.key.partition("/")[0]

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.target is None:
            return "-"
        return "met" if self.target.is_met(self.measured) else "MISSED"


@dataclass(frozen=True)
class Rate:
    """How fast one way to work got through a workload.

    Attributes:
        workload: what all that are compared had to do.
        name: who did it, with its setting.
        kind: of what kind that is.
        items: in a run.
        runs: items/s of each run.
    """

    workload: str
    name: str
    kind: Kind
    items: int
    runs: list[float]

    @property
    def median(self) -> float:
        """Items/s."""
        return statistics.median(self.runs)


@dataclass(frozen=True)
class Missing:
    """What could not be measured on this machine, and why."""

    name: str
    reason: str


Finding = Row | Rate | Missing


@dataclass(frozen=True)
class Racer:
    """One of those that do the same work in turns.

    Attributes:
        name, kind, items: as in `Rate`.
        seconds: does it once.
    """

    name: str
    kind: Kind
    items: int
    seconds: Measure


def race(runs: int, workload: str, racers: Sequence[Racer]) -> list[Rate]:
    """The rate of each, taken in turns."""
    columns = alternate(runs, *[racer.seconds for racer in racers])
    return [
        Rate(workload, racer.name, racer.kind, racer.items, [racer.items / seconds for seconds in column])
        for racer, column in zip(racers, columns, strict=True)
    ]


def against(key: str, what: str, ours: Rate, base: Rate, target: Target | None = None, guard: bool = False) -> Row:
    """How many times as fast as `base` we are."""
    return pairs(key, what, ours.runs, base.runs, target, guard=guard)


def pairs(
    key: str,
    what: str,
    above: Sequence[float],
    below: Sequence[float],
    target: Target | None = None,
    *,
    guard: bool = False,
) -> Row:
    """The median of the quotients of values that were taken in turns.

    Example:
        >>> pairs("a/b", "a over b", [4.0, 9.0, 6.0], [2.0, 3.0, 3.0]).measured
        2.0
    """
    found = [a / b for a, b in zip(above, below, strict=True)]
    details = {"above": list(above), "below": list(below)}
    return spread(key, what, found, "x", target, details, guard=guard)


def spread(
    key: str,
    what: str,
    values: Sequence[float],
    unit: str,
    target: Target | None = None,
    details: dict[str, Any] | None = None,
    *,
    guard: bool = False,
) -> Row:
    """The median of single values."""
    middle = statistics.median(values)
    return Row(key, what, middle, unit, target, min(values), max(values), details or {}, guard)


def alternate(rounds: int, *measures: Measure) -> list[list[float]]:
    """Each measure's values, taken in turns (A B A B), so that a slow minute of the machine hits all of them."""
    values: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for column, measure in zip(values, measures, strict=True):
            column.append(measure())
    return values
