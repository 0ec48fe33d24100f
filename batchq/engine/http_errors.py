"""What an HTTP client's exception says about trying again: its status, and how long the server asks to wait.

Told by shape, so that no client is imported: httpx, requests, openai and anthropic carry a ``response``; aiohttp and
urllib carry status and headers themselves.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

WORTH_ANOTHER: Final = frozenset({408, 409, 425, 429})
"""Of the answers from 400 to 499 only these can get better: timeout, conflict, too early, too many requests."""
OVERLOADED: Final = frozenset({429, 503})
"""Answers that are about the whole client, not about the one item."""
LONGEST_WAIT: Final = 900.0
"""Seconds; a server that asks for more is not obeyed any longer: a mistaken header must not stop a batch for days."""


def status_of(error: BaseException) -> int | None:
    """The HTTP status that `error` carries; None where it carries none.

    Example:
        >>> from urllib.error import HTTPError
        >>> status_of(HTTPError("http://localhost", 429, "slow down", {}, None))
        429
    """
    response = _attribute(error, "response")
    for holder, name in (
        (error, "status_code"),
        (response, "status_code"),
        (error, "status"),
        (response, "status"),
        (error, "code"),
    ):
        value = _attribute(holder, name)
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
            return int(value)
    return None


def cannot_get_better(error: BaseException) -> bool:
    """Whether it is an answer that will be the same next time, or says so itself: ``error.retryable`` is False."""
    if _attribute(error, "retryable") is False:
        return True
    status = status_of(error)
    return status is not None and 400 <= status < 500 and status not in WORTH_ANOTHER


def is_overload(error: BaseException) -> bool:
    """Whether the server cannot take what this client sends altogether."""
    return status_of(error) in OVERLOADED


def retry_after_of(error: BaseException, now: Callable[[], float] = time.time) -> float | None:
    """Seconds that the server asks to wait (RFC 9110, 10.2.3: seconds or a date), at most `LONGEST_WAIT`; or None.

    Args:
        error: any exception.
        now: wall clock, seconds since 1970.
    """
    if status_of(error) is None:
        return None
    for holder in (_attribute(error, "response"), error):
        headers = _attribute(holder, "headers")
        if headers is None or not hasattr(headers, "get"):
            continue
        milliseconds = _number(headers.get("retry-after-ms"))
        if milliseconds is not None:
            return _bounded(milliseconds / 1000)
        text = headers.get("retry-after") or headers.get("Retry-After")
        seconds = _number(text)
        if seconds is not None:
            return _bounded(seconds)
        if text:
            return _until(str(text), now())
    return None


def _attribute(holder: Any, name: str) -> Any:
    try:
        return getattr(holder, name, None)
    except Exception:  # a property of a user's exception may raise anything
        return None


def _until(text: str, now: float) -> float | None:
    from email.utils import parsedate_to_datetime  # late: few servers answer with a date

    try:
        return _bounded(parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def _number(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_WAIT)
