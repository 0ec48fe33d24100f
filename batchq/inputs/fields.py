"""Fields of a record by their names: ``price``, or ``user.name`` for one inside another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

ABSENT: Final = object()
"""What `look_up` answers for a field that a record does not have."""


def look_up(value: Any, path: str) -> Any:
    """The field of a record, or `ABSENT`.

    Args:
        value: the record.
        path: a name, or several with dots between them; a number is a place in a list. A field whose own name has
            dots comes first.

    Example:
        >>> look_up({"user": {"tags": ["a", "b"]}}, "user.tags.1"), look_up({"a.b": 1}, "a.b")
        ('b', 1)
    """
    if type(value) is dict and path in value:
        return value[path]
    head, dot, rest = path.partition(".")
    if dot:
        found = look_up(value, head)
        return found if found is ABSENT else look_up(found, rest)
    if type(value) is list and head.isdecimal() and head.isascii() and len(head) < 10 and int(head) < len(value):
        return value[int(head)]
    return ABSENT


def choose(value: Any, paths: Sequence[str]) -> Any:
    """A record with these fields only; what is no object stays as it is, what it does not have is left out.

    Example:
        >>> choose({"id": 1, "user": {"name": "a", "age": 3}, "x": 0}, ["id", "user.name", "y"])
        {'id': 1, 'user': {'name': 'a'}}
    """
    if type(value) is not dict:
        return value
    chosen: dict[str, Any] = {}
    for path in paths:
        found = look_up(value, path)
        if found is not ABSENT:
            _put(chosen, value, path, found)
    return chosen


def _put(chosen: dict[str, Any], value: Any, path: str, found: Any) -> None:
    while path not in value:
        head, _, path = path.partition(".")
        value = value[head]
        if type(value) is not dict:  # a place in a list: the list has no such place alone
            chosen[head] = value
            return
        inner = chosen.setdefault(head, {})
        if inner is value:  # chosen as a whole already
            return
        chosen = inner
    chosen[path] = found


def top(path: str) -> str:
    """The name of the column that a path begins with.

    Example:
        >>> top("user.name")
        'user'
    """
    return path.partition(".")[0]
