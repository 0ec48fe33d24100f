"""What the headers of an answer say about a quota: whether it is used up, and for how long.

x-ratelimit-remaining-requests: 0     x-ratelimit-reset-requests: 6m0s      as OpenAI and those like it say it
x-ratelimit-remaining: 0              x-ratelimit-reset: 1764216000         as others do: seconds, or since 1970
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Final

KINDS: Final = ("-requests", "-tokens", "")
"""What is counted, as the names of the headers end."""
SINCE_1970: Final = 10**9
"""A number from here on is a time, a smaller one so many seconds."""
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds_until_more(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float:
    """Seconds after which a quota that is used up is there again; 0 while none is.

    Args:
        headers: of an answer, with a `get` for names in small letters.
        now: wall clock, seconds since 1970.

    Example:
        >>> seconds_until_more({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"})
        360.0
        >>> seconds_until_more({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "6m0s"})
        0.0
    """
    used_up = [kind for kind in KINDS if headers.get(f"x-ratelimit-remaining{kind}", "").strip() == "0"]
    resets = [headers.get(f"x-ratelimit-reset{kind}", "").strip().lower() for kind in used_up]
    return max((_seconds(reset, now) for reset in resets), default=0.0)


def _seconds(text: str, now: Callable[[], float]) -> float:
    """What a reset says; 0 where that cannot be read."""
    if re.fullmatch(r"\d{1,15}(\.\d*)?", text):
        number = float(text)
        return max(0.0, number - now()) if number >= SINCE_1970 else number
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        return 0.0
    return sum(float(part[1]) * _SECONDS[part[2]] for part in _PART.finditer(text))
