"""Workers whose event loop stands still for longer than an item may take: who is to blame, and since when."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

HANG_SECONDS: Final = 1.0
"""Beyond the timeout: the loop itself ends an attempt that is late, if it only turns."""
GAP_SECONDS: Final = 0.5
"""A supervisor that has not looked for so long was stopped itself, and the workers with it."""


class Beats:
    """Notes since when the beat of each worker stands still, in time that this process was awake.

    Args:
        clock: monotonic seconds.

    Example:
        >>> now = [0.0]
        >>> beats = Beats(clock=lambda: now[0])
        >>> beats.look()
        >>> beats.stands_still(0, beat=7)
        0.0
        >>> now[0] = 0.4
        >>> beats.look()
        >>> beats.stands_still(0, beat=7), beats.stands_still(0, beat=8)
        (0.4, 0.0)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._now = clock()
        self._asleep = 0.0
        self._seen: dict[int, tuple[int, float]] = {}

    def look(self) -> None:
        """A new round begins."""
        before, self._now = self._now, self._clock()
        if self._now - before > GAP_SECONDS:
            self._asleep += self._now - before

    def stands_still(self, place: int, beat: int) -> float:
        """Seconds for which the beat of the worker at `place` has been this one; a beat of 0 has not begun."""
        awake = self._now - self._asleep
        known = self._seen.get(place)
        if known is None or known[0] != beat or not beat:
            self._seen[place] = known = (beat, awake)
        return awake - known[1]
