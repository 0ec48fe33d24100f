"""A timer that comes again and again, and knows by how much it is late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

TICK_SECONDS: Final = 0.1
"""Between two looks at the slots: precise enough for a timeout of a second, and no load."""

RESTING_SECONDS: Final = 0.25
"""The same while nothing begins: what another process changes is still felt within half a second."""


class Ticker:
    """Calls `tick` at intervals, in an event loop.

    Args:
        tick: gets the seconds by which it is called too late, because something else had the loop.
    """

    def __init__(self, tick: Callable[[float], None]) -> None:
        self._tick = tick
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.interval = 0.0
        """Seconds between two calls."""

    def start(self, interval: float) -> None:
        """Begin, in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self.change(interval)
        self._set(time.monotonic())

    def change(self, interval: float) -> None:
        """Call at other intervals from the next call on."""
        self.interval = self._usual = interval

    def rest(self, rests: bool) -> None:
        """Call at longer intervals from the next call on while it `rests`, where no short timeout forbids it."""
        self.interval = RESTING_SECONDS if rests and self._usual >= TICK_SECONDS else self._usual

    def end(self) -> None:
        """Call no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _set(self, now: float) -> None:
        self._due = now + self.interval
        self._timer = self._loop.call_later(self.interval, self._call)

    def _call(self) -> None:
        now = time.monotonic()
        self._tick(now - self._due)
        if self._timer is not None:  # else `tick` has ended it
            self._set(now)


def interval_for(timeout: float | None) -> float:
    """Seconds between two looks at the slots, for attempts that have `timeout` seconds; None for no limit.

    Example:
        >>> interval_for(0.5)
        0.05
    """
    return min(TICK_SECONDS, max(timeout / 10, 0.01)) if timeout else TICK_SECONDS
