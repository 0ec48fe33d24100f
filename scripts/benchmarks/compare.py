"""The regression guard: this run against the figures of a release, each by its ratio to what no release changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.report import SCHEMA
from benchmarks.rows import Finding, Row

TOLERATED: Final = 0.15
"""How much slower a figure may be: two runs of the same code differ by up to a tenth."""


class CannotCompare(Exception):
    """The two were not measured alike."""


class Change(NamedTuple):
    """A guarded figure in both runs.

    Attributes:
        slower: by how much it got worse: 0.15 is 15 percent; below 0 it got better.
    """

    row: Row
    before: float
    slower: float

    def __str__(self) -> str:
        how = f"{abs(self.slower):.0%} {'slower' if self.slower > 0 else 'faster'}"
        return f"{how}: {self.row.key}, {self.before:.3g} then, {self.row.measured:.3g} now: {self.row.what}"


def read(path: Path, scale: float) -> dict[str, float]:
    """The guarded figures of a file that `--json` wrote, by their keys.

    Raises:
        CannotCompare: it is no such file, or of another scale.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema, then = found["schema"], found["scale"]
        figures = {row["key"]: float(row["measured"]) for row in found["rows"] if row["guard"]}
    except OSError as error:
        raise CannotCompare(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CannotCompare(f"{path} is not what --json writes ({error!r})") from error
    if schema != SCHEMA or then != scale:
        told = f"{path} was measured at scale {then:g} (schema {schema})"
        raise CannotCompare(f"{told}, this run is at scale {scale:g} (schema {SCHEMA})")
    return figures


def changes(found: Sequence[Finding], before: dict[str, float]) -> list[Change]:
    """Every guarded figure that both have, the worst first."""
    both = [row for row in found if isinstance(row, Row) and row.guard and before.get(row.key)]
    compared = [Change(row, before[row.key], _slower(row, before[row.key])) for row in both]
    return sorted(compared, key=lambda change: -change.slower)


def verdict(compared: Sequence[Change], against: Path) -> tuple[str, bool]:
    """What is said of them, and whether all is well."""
    if not compared:
        return f"nothing to compare: {against} has no figure of these cases", False
    slower = [change for change in compared if change.slower > TOLERATED]
    if not slower:
        return f"{len(compared)} figures compared with {against}: none is more than {TOLERATED:.0%} slower", True
    head = f"of {len(compared)} figures compared with {against}, {len(slower)} more than {TOLERATED:.0%} slower:"
    return "\n".join([head, *(f"  {change}" for change in slower)]), False


def left_out(found: Sequence[Finding], before: dict[str, float], cases: Sequence[str]) -> str:
    """Which guarded figures of `cases` only one of the two runs has, as a line; empty where there are none."""
    now = {row.key for row in found if isinstance(row, Row) and row.guard}
    then = {key for key in before if key.partition("/")[0] in cases}
    told = [f"{key} (not in that file)" for key in sorted(now - then)]
    told += [f"{key} (not measured now)" for key in sorted(then - now)]
    return f"not compared: {', '.join(told)}" if told else ""


def _slower(row: Row, before: float) -> float:
    less_is_better = row.target is not None and row.target.sign != ">="
    return row.measured / before - 1 if less_is_better else before / row.measured - 1
