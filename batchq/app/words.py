"""Times, amounts and texts in words: ISO 8601 for programs, short forms for people."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final, overload

SUMMARY_LENGTH: Final = 100


@overload
def iso(seconds: float) -> str: ...
@overload
def iso(seconds: None) -> None: ...
def iso(seconds: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC; None stays None.

    Example:
        >>> iso(0.0)
        '1970-01-01T00:00:00+00:00'
    """
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat()


@overload
def seconds_of(stamp: str) -> float: ...
@overload
def seconds_of(stamp: None) -> None: ...
def seconds_of(stamp: str | None) -> float | None:
    """Seconds since 1970, of what `iso` gave.

    Example:
        >>> seconds_of(iso(1.5))
        1.5
    """
    return None if stamp is None else datetime.fromisoformat(stamp).timestamp()


def moment(seconds: float) -> str:
    """Seconds since 1970 for people: the same in every time zone, as the dates in the ids of batches are.

    Example:
        >>> moment(0.0)
        '1970-01-01 00:00:00 UTC'
    """
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """A duration for people, with two or three digits that matter.

    Example:
        >>> duration(0.0421), duration(7.25), duration(75), duration(7384)
        ('0.042 s', '7.2 s', '1 min 15 s', '2 h 03 min')
    """
    if seconds < 1:
        return f"{seconds:.2g} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    Example:
        >>> count(1, "item"), count(12000, "item"), count(2, "retry", "retries")
        ('1 item', '12,000 items', '2 retries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def rate(per_second: float) -> str:
    """A rate for people: items per second, or per minute where that is easier to read.

    Example:
        >>> rate(12000.0), rate(12.34), rate(0.05)
        ('12,000 items/s', '12.3 items/s', '3.0 items/min')
    """
    if per_second >= 100:
        return f"{per_second:,.0f} items/s"
    if per_second >= 1:
        return f"{per_second:.1f} items/s"
    return f"{per_second * 60:.1f} items/min"


def shorten(text: str, length: int = SUMMARY_LENGTH) -> str:
    """`text` on one line, without control characters, cut to `length`.

    Example:
        >>> shorten("one\\n  two\\x1b[31m three", 12)
        'one two [31…'
    """
    plain = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * length]).split())
    return plain if len(plain) <= length else plain[: length - 1] + "…"
