"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Return as soon as `condition` is true; fail the test when it is not within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        is_late = time.monotonic() > deadline  # first: this process may be stopped between two looks
        if condition():
            return
        if is_late:
            raise AssertionError(f"not within {seconds:g} s: {getattr(condition, '__name__', condition)}")
        time.sleep(0.01)  # the poll of this one helper
