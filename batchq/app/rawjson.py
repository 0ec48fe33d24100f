"""The parts of JSON text as they are written: what is handed on unchanged is never made into values and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

_SPACE: Final = re.compile(r"[ \t\r\n,:]*")
"""What may stand between two parts."""
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]|[^\s"\[\]{},:]+', re.DOTALL)


def members(text: str) -> dict[str, str]:
    """The members of a JSON object by name, each as its own text.

    Args:
        text: of one object, known to be JSON, however deeply nested.

    Raises:
        ValueError: it is none.

    Example:
        >>> members('{"id": "a", "input": {"n":  1.50}}')
        {'id': '"a"', 'input': '{"n":  1.50}'}
    """
    parts = list(_parts(text, "{"))
    return {json.loads(name): value for name, value in zip(parts[::2], parts[1::2], strict=True)}


def elements(text: str) -> list[str]:
    """The elements of a JSON array, each as its own text; raises `ValueError` where it is none.

    Example:
        >>> elements('[1, {"a": [2]} ,"x,y"]')
        ['1', '{"a": [2]}', '"x,y"']
    """
    return list(_parts(text, "["))


def _parts(text: str, opening: str) -> Iterator[str]:
    start = _after_space(text, 0)
    if text[start : start + 1] != opening:
        raise ValueError(f"no {opening} at the start")
    at = _after_space(text, start + 1)
    while text[at : at + 1] not in ("]", "}"):
        end = _end(text, at)
        yield text[at:end]
        at = _after_space(text, end)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None, "it matches nothing, too"
    return found.end()


def _end(text: str, start: int) -> int:
    """Where the value ends that begins at `start`; counts brackets, so that no depth is too much."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    raise ValueError("it breaks off")
