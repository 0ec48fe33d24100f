"""Objects of results and items as dotted names: ``result.title``, ``input.author.name``.

Numbers stay the text that they were stored as.  An object whose names would meet (``{"a": {"b": 1}, "a.b": 2}``), an
empty one, an array, and what is nested too deeply stay one value: nothing is dropped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from batchq.app.render import json_line, payload_of
from batchq.errors import UsageError
from batchq.store.rows import ResultRow

MAX_COLUMNS: Final = 10_000
"""Names that a table may have: they are held in memory."""
EXACT: Final = 2**53
"""Integers up to there are the same as floats."""


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


_DECODER: Final = json.JSONDecoder(parse_int=_Number, parse_float=_Number)


def flat(name: str, text: str) -> dict[str, str]:
    """JSON text as names and the JSON text of their values.

    Args:
        name: what the value as a whole is called.
        text: JSON.

    Example:
        >>> flat("result", '{"title": "Tea", "by": {"name": "A", "score": 1.50}}')
        {'result.title': '"Tea"', 'result.by.name': '"A"', 'result.by.score': '1.50'}
        >>> flat("result", "[1, 2]")
        {'result': '[1, 2]'}
    """
    found: dict[str, str] = {}
    try:
        value = _DECODER.decode(text)
        if type(value) is dict and value and _spread(found, name, value):
            return found
    except (ValueError, RecursionError):
        pass  # nested too deeply for Python
    return {name: text}


def flat_row(row: ResultRow) -> dict[str, str]:
    """A row of results as names and JSON texts, in the order of its columns.

    Example:
        >>> flat_row(ResultRow(1, "a", 1, 1, '{"n": 2}', None, None, 1, 5, 0, None))["result.n"]
        '2'
    """
    cells = {"seq": str(row.seq)}
    if row.run is not None:
        cells["run"] = str(row.run)
    cells |= {"id": _text(row.item_id), "line": str(row.line), "status": f'"{row.status}"'}
    if row.success:
        cells |= flat("result", row.result or "null")
    else:
        cells |= {"error_type": _text(row.error_type), "error": _text(row.error)}
    cells |= {"attempts": str(row.attempts), "duration": str(row.duration_us / 1e6)}
    if row.payload is not None:
        cells |= flat("input", payload_of(row))
    return cells


def flat_line(row: ResultRow, start: str = "") -> str:
    """A row of results as one flat JSON object on a line; `start`: an entry with its comma, or nothing."""
    cells = ", ".join([f"{_text(name)}: {text}" for name, text in flat_row(row).items()])
    return f"{{{start}{cells}}}\n"


@dataclass
class Columns:
    """The columns that a first pass over all rows finds, in the order in which they appear.

    Attributes:
        result: names of results, each with the kinds of its values.
        input: the same of items.
    """

    result: dict[str, set[str]] = field(default_factory=dict)
    input: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[ResultRow]) -> Columns:
        """Those of `rows`; raises `UsageError` where they are more than `MAX_COLUMNS`."""
        columns = cls()
        for row in rows:
            if row.success:
                columns._note(columns.result, flat("result", row.result or "null"))
            if row.payload is not None:
                columns._note(columns.input, flat("input", payload_of(row)))
        return columns

    def names(self) -> list[str]:
        """All columns of the table."""
        ends = ["error_type", "error", "attempts", "duration"]
        return ["seq", "id", "line", "status", *self.result, *ends, *self.input]

    def kind(self, name: str) -> str:
        """What all values of a column of a result or an item are: ``int``, ``float``, ``bool``, else ``text``."""
        kinds = (self.result.get(name) or self.input.get(name) or set()) - {"null"}
        if kinds == {"bool"}:
            return "bool"
        if kinds and kinds <= {"int", "long"}:
            return "int"
        return "float" if kinds and kinds <= {"int", "float"} else "text"

    def _note(self, known: dict[str, set[str]], cells: dict[str, str]) -> None:
        for name, text in cells.items():
            known.setdefault(name, set()).add(kind_of(text))
        if len(self.result) + len(self.input) > MAX_COLUMNS:
            raise UsageError(
                f"--flatten finds more than {MAX_COLUMNS:,} names, and a table has no room for them",
                "As JSON lines there is no limit: --format jsonl.",
            )


def kind_of(text: str) -> str:
    """What the JSON text of a value is: ``null``, ``bool``, ``int``, ``long`` (no float is the same), ``float``, or
    ``text``.

    Example:
        >>> [kind_of(text) for text in ("1", "1.5", "true", "[1]", "9007199254740993", "1e999")]
        ['int', 'float', 'bool', 'text', 'long', 'text']
    """
    if text[0] in 'tfn"[{':
        return {"t": "bool", "f": "bool", "n": "null"}.get(text[0], "text")
    if text.lstrip("-").isdigit():
        if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
            return "text"
        return "int" if abs(int(text)) <= EXACT else "long"
    return "float" if math.isfinite(float(text)) else "text"


def _spread(found: dict[str, str], name: str, value: Any) -> bool:
    """Put the parts of `value` into `found`; False where two of them would have one name."""
    if type(value) is dict and value:
        return all(_spread(found, f"{name}.{key}", member) for key, member in value.items())
    if name in found:
        return False
    found[name] = _text(value)
    return True


def _text(value: Any) -> str:
    """`value` as JSON text, numbers as they were written."""
    kind = type(value)
    if kind is _Number:
        return str(value)
    if kind is list:
        return "[" + ", ".join([_text(member) for member in value]) + "]"
    if kind is dict:
        return "{" + ", ".join([f"{_text(key)}: {_text(member)}" for key, member in value.items()]) + "}"
    return json_line(value)[:-1]
