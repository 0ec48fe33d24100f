"""Durations, sizes, amounts and moments, as people write them."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from batchq.errors import ConfigError

SECONDS: Final[Mapping[str, float]] = MappingProxyType(
    {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
)
FACTORS: Final[Mapping[str, float]] = MappingProxyType({"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9})
"""Of amounts: 90k tokens are 90,000."""
BYTES: Final[Mapping[str, int]] = MappingProxyType({"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40})
"""Of memory: 2G are 2,147,483,648 bytes, as `free` and `ulimit` count."""

_NUMBER: Final = r"(\d+(?:\.\d+)?|\.\d+)"
_DURATION: Final = re.compile(_NUMBER + r"\s*([smhdw])", re.IGNORECASE)
_AMOUNT: Final = re.compile(_NUMBER + r"\s*([kmg]?)", re.IGNORECASE)
_SIZE: Final = re.compile(_NUMBER + r"\s*([kmgt])i?b?", re.IGNORECASE)
_SHARE: Final = re.compile(_NUMBER + r"\s*%")
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})")


def seconds_of(name: str, text: str) -> float:
    """A duration, in seconds.

    Args:
        name: of the setting, for messages.
        text: ``90s``, ``15m``, ``12h``, ``30d`` or ``4w``.

    Raises:
        ConfigError: it is none.

    Example:
        >>> seconds_of("--older-than", "30d"), seconds_of("--older-than", "90s")
        (2592000.0, 90.0)
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ConfigError(name, text, "a number with a unit: 90s, 15m, 12h, 30d or 4w")
    return float(found[1]) * SECONDS[found[2].lower()]


def bytes_of(name: str, text: str) -> int:
    """A size of memory, in bytes; raises `ConfigError`.

    Example:
        >>> bytes_of("--memfree", "2G"), bytes_of("--memfree", "1.5 MiB")
        (2147483648, 1572864)
    """
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * BYTES[found[2].lower()]) if found else 0
    if size < 1:
        raise ConfigError(name, text, "a size such as 512M or 2G")
    return size


def share_of(name: str, text: str) -> float:
    """A share, above 0 to 1; raises `ConfigError`.

    Example:
        >>> share_of("--notify-at", "5%")
        0.05
    """
    found = _SHARE.fullmatch(text.strip())
    share = float(found[1]) / 100 if found else 0.0
    if not 0 < share <= 1:
        raise ConfigError(name, text, "a share such as 5%")
    return share


def amount_of(name: str, text: str, expected: str) -> float:
    """A positive amount, with ``k``, ``m`` or ``g`` for a thousand, a million, a thousand million.

    Args:
        name: of the setting, for messages.
        text: the amount.
        expected: what the whole setting looks like, for messages.

    Raises:
        ConfigError: it is none.

    Example:
        >>> amount_of("--rate", "90k", "such as 90k/m")
        90000.0
    """
    found = _AMOUNT.fullmatch(text.strip())
    amount = float(found[1]) * FACTORS[found[2].lower()] if found else 0.0
    if amount <= 0 or not math.isfinite(amount):
        raise ConfigError(name, text, expected)
    return amount


def moment_of(name: str, text: str, now: float | None = None) -> float:
    """A moment to come, in seconds since 1970.

    Args:
        name: of the setting, for messages.
        text: from now (``2h``, ``90m``), the next time that a clock shows it (``18:30``), or a date and time in ISO
            8601 (``2026-12-01T18:30``); local time unless it says otherwise.
        now: seconds since 1970; None for the clock.

    Raises:
        ConfigError: it is none, or has passed.

    Example:
        >>> moment_of("--deadline", "2h", now=1000.0)
        8200.0
        >>> moment_of("--deadline", "1970-01-01T01:00:00+00:00", now=0.0)
        3600.0
    """
    now = time.time() if now is None else now
    text = text.strip()
    if _DURATION.fullmatch(text):
        return now + seconds_of(name, text)
    expected = "a time to come, such as 2h (from now), 18:30 or 2026-12-01T18:30"
    here = datetime.fromtimestamp(now).astimezone()
    clock = _CLOCK.fullmatch(text)
    try:
        if clock:
            moment = here.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            if moment <= here:
                moment += timedelta(days=1)
        else:
            moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ConfigError(name, text, expected) from None
    seconds = moment.astimezone().timestamp()
    if seconds <= now:
        raise ConfigError(name, text, expected)
    return seconds


def amount_words(amount: float) -> str:
    """A number without an exponent.

    Example:
        >>> amount_words(8.55e-06), amount_words(12_345_678_901.0)
        ('0.00000855', '12,345,678,901')
    """
    if 1e-4 <= abs(amount) < 1e10:
        return f"{amount:,.10g}"
    return f"{amount:,.10f}".rstrip("0").rstrip(".")
