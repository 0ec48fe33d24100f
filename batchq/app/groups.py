"""Failures that look alike, as programs and people are told of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from batchq.app.words import count, iso, shorten
from batchq.store.rows import ErrorGroup

SHOWN: Final = 5
"""Kinds that are told one by one in a text."""
EXAMPLES: Final = 5
EXAMPLES_SHOWN: Final = 3
WIDTH: Final = 72
"""An error's message is cut there: with its count and examples it still fits most terminals."""


def group_dict(group: ErrorGroup, names: Mapping[int, str | int]) -> dict[str, Any]:
    """A kind of failure for programs.

    Args:
        group: as it is stored.
        names: ids of the items that it has as examples, by ``seq``.

    Returns:
        ``error_type``, ``error`` (of the first one), ``frame`` (``file:line in function`` of the last line of the
        user's own code), ``failed`` (items), ``attempts``, ``first`` and ``last`` (ISO 8601, UTC), ``examples`` (ids).

    Example:
        >>> group = ErrorGroup("ValueError", "no text", "/app/a.py:3 in f", 1, 3, 0, 1500, [4])
        >>> group_dict(group, {4: "a4"})["last"], group_dict(group, {4: "a4"})["examples"]
        ('1970-01-01T00:00:01.500000+00:00', ['a4'])
    """
    return {
        "error_type": group.error_type,
        "error": group.message,
        "frame": group.frame,
        "failed": group.failed,
        "attempts": group.attempts,
        "first": iso(group.first_ms / 1000),
        "last": iso(group.last_ms / 1000),
        "examples": [names[seq] for seq in group.examples[:EXAMPLES] if seq in names],
    }


def group_lines(groups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Kinds of failure for people, as `group_dict` makes them: two lines each, the most frequent ones.

    Example:
        >>> group = {"error_type": "ValueError", "error": "no text", "failed": 1, "examples": ["a4"],
        ...          "frame": "/app/a.py:3 in f", "first": "2026-11-26T07:02:41", "last": "2026-11-26T07:02:44"}
        >>> print(*group_lines([group]), sep="", end="")
        <BLANKLINE>
        Failures
          1  ValueError: no text  (a4)
             a.py:3 in f, 07:02:41 to 07:02:44 UTC
    """
    if not groups:
        return
    yield "\nFailures\n"
    width = len(f"{groups[0]['failed']:,}")
    for group in groups[:SHOWN]:
        examples = ", ".join(shorten(str(example), 40) for example in group.get("examples", ())[:EXAMPLES_SHOWN])
        more = ", …" if group["failed"] > EXAMPLES_SHOWN and examples else ""
        yield f"  {group['failed']:>{width},}  {_message(group)}" + (f"  ({examples}{more})" if examples else "") + "\n"
        if where_and_when := ", ".join(filter(None, [_place(group), _times(group)])):
            yield f"  {'':{width}}  {where_and_when}\n"
    others = groups[SHOWN:]
    if others:
        items = sum(group["failed"] for group in others)
        yield f"  {items:>{width},}  of {count(len(others), 'other kind')}\n"


def _message(group: Mapping[str, Any]) -> str:
    kind, error = str(group["error_type"]), str(group["error"])
    # The text of an error without one is its repr, which begins with its type.
    return shorten(error if error.startswith(f"{kind}(") else f"{kind}: {error}", WIDTH)


def _place(group: Mapping[str, Any]) -> str:
    """The frame without the folders: who reads this knows his files."""
    return shorten(str(group.get("frame") or "").rpartition("/")[2], WIDTH)


def _times(group: Mapping[str, Any]) -> str:
    """When the first and the last of them came: the date once, and the time once where both are the same."""
    if "first" not in group:
        return ""
    first_day, first_time = _day_and_time(str(group["first"]))
    last_day, last_time = _day_and_time(str(group["last"]))
    if first_day != last_day:
        return f"{first_day} {first_time} to {last_day} {last_time} UTC"
    return (first_time if first_time == last_time else f"{first_time} to {last_time}") + " UTC"


def _day_and_time(moment: str) -> tuple[str, str]:
    return moment[:10], moment[11:19]
