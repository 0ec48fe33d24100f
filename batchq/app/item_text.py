"""One item in words, for people: what went in, each attempt, what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from batchq.app.items import AttemptDetails, ItemDetails
from batchq.app.words import count, duration, shorten
from batchq.model import FAILED, SUCCESS

LONG_TEXT: Final = 300
"""Characters of a text in a payload or a result; the rest is left out."""
LONG_LINE: Final = 2000
MANY_LINES: Final = 60
"""Lines of a payload, a result or a traceback; the middle of what is longer is left out."""
ALL: Final = "--full shows all"


def item_text(item: ItemDetails, full: bool = False) -> str:
    """One item for people.

    Args:
        item: which.
        full: leave nothing out.
    """
    lines = [f"{item.batch_id}, item {plain(str(item.item_id))} (#{item.seq}, line {item.line}): {item.status}"]
    if item.error is not None:
        lines.append(f"  error     {shorten(error_words(item.error_type, item.error), 400)}")
    if item.status == SUCCESS and not item.attempts:
        lines.append("  attempts  none: the result is that of an item that was done before")
    elif item.attempts or item.history:
        made = count(item.attempts, "attempt") + (f" in run {item.run}" if item.run > 1 else "")
        lines.append(f"  attempts  {made}, {duration(item.duration)} in the function")
    if item.interruptions:
        lines.append(f"  crashes   {count(item.interruptions, 'run')} cut short by a crash")
    if item.ended_at is not None:
        lines.append(f"  ended     {_moment(item.ended_at)}")
    lines += ["", "Item", *indented(json_lines(item.payload, full))]
    seen: dict[str, AttemptDetails] = {}
    for attempt in item.history:
        lines += ["", *attempt_lines(attempt, item.run, {} if full else seen, full, item.stages > 1)]
        if attempt.wait is not None:
            lines.append(f"  The next attempt was due {duration(attempt.wait)} later.")
    if item.result is not None:
        lines += ["", "Result", *indented(json_lines(item.result, full))]
    return "\n".join(lines) + "\n"


def json_lines(text: str, full: bool = False) -> list[str]:
    """JSON text, indented; long texts in it, and the middle of many lines, are left out unless `full`.

    Example:
        >>> json_lines('{"a": [1]}')
        ['{', '  "a": [', '    1', '  ]', '}']
    """
    try:
        value = json.loads(text)
        value = value if full else _short(value)
        lines = json.dumps(value, ensure_ascii=False, indent=2).splitlines()
    except (RecursionError, ValueError):  # nested too deeply to be laid out
        lines = [text]
    return cut([plain(line) for line in lines], full)


def trace_lines(traceback: str, full: bool = False) -> list[str]:
    """The lines of a traceback, without what a terminal would obey."""
    return cut([plain(line) for line in traceback.rstrip().splitlines()], full)


def plain(line: str) -> str:
    """`line` without characters that do something to a terminal.

    Example:
        >>> plain("  a\\x1b[31mb")
        '  a\\\\x1b[31mb'
    """
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else "    " if c == "\t" else c.encode("unicode_escape").decode() for c in line)


def cut(lines: Sequence[str], full: bool = False) -> list[str]:
    """`lines` with their middle and the ends of the longest left out, and a note of it, unless `full`."""
    if full:
        return list(lines)
    short = [line if len(line) <= LONG_LINE else f"{line[:LONG_LINE]}… ({ALL})" for line in lines]
    if len(short) <= MANY_LINES:
        return short
    head, tail = MANY_LINES // 3, MANY_LINES - MANY_LINES // 3
    return [*short[:head], f"… {count(len(short) - MANY_LINES, 'line')} left out; {ALL}", *short[-tail:]]


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONG_TEXT:
        return f"{value[:LONG_TEXT]}… ({len(value):,} characters; {ALL})"
    if isinstance(value, list):
        return [_short(member) for member in value]
    if isinstance(value, dict):
        return {key: _short(member) for key, member in value.items()}
    return value


def attempt_lines(
    attempt: AttemptDetails, run: int, seen: dict[str, AttemptDetails], full: bool, staged: bool = False
) -> Iterator[str]:
    """One attempt for people.

    Args:
        attempt: which.
        run: the item's last run.
        seen: attempts by their traceback, which is shown once; this one is added.
        full: leave nothing out of it.
        staged: tell the stage, and what it has given.
    """
    name = _name(attempt, run, staged).capitalize()
    when = f" at {_moment(attempt.started_at)}" if attempt.started_at else ""
    where = f", worker {attempt.worker}" if attempt.worker else ""
    yield f"{name}{when}, {duration(attempt.duration)}{where}: {attempt.status}"
    if attempt.status == FAILED:
        trace = attempt.traceback
        if trace and trace in seen:
            same = seen[trace]
            name = _name(same, 1 if same.run == attempt.run else run, staged)
            yield f"  as {name}: {shorten(error_words(attempt.error_type, attempt.error), 200)}"
        elif trace:
            seen[trace] = attempt
            yield from indented(trace_lines(trace, full))
        else:
            yield from indented(trace_lines(error_words(attempt.error_type, attempt.error), full))
    elif attempt.result is not None:
        yield from indented(json_lines(attempt.result, full))


def _name(attempt: AttemptDetails, run: int, staged: bool) -> str:
    stage = f"stage {attempt.stage}, " if staged else ""
    return f"{stage}attempt {attempt.number}" + (f" of run {attempt.run}" if run > 1 else "")


def error_words(error_type: str | None, error: str | None) -> str:
    """Type and text of an error."""
    # The text of an error without one is its repr, which begins with its type.
    return str(error) if str(error).startswith(f"{error_type}(") else f"{error_type}: {error}"


def _moment(iso_time: str) -> str:
    """ISO 8601 in UTC with the milliseconds, which tell attempts apart."""
    return iso_time[:23].replace("T", " ").partition("+")[0] + " UTC"


def indented(lines: Sequence[str]) -> list[str]:
    """`lines`, two columns to the right."""
    return ["  " + line if line else "" for line in lines]
