"""How many items are fetched ahead of the slots: as many as they begin in a tenth of a second."""

from __future__ import annotations

from typing import Final

AHEAD_SECONDS: Final = 0.1
QUIET_RATE: Final = 0.05
"""The mean falls by half at each tick: it is below that after a second in which nothing was begun."""


class Ahead:
    """The rate at which items are begun, and what follows from it.

    Args:
        seconds: fetch so many items as are begun in so long.
    """

    def __init__(self, seconds: float = AHEAD_SECONDS) -> None:
        self._seconds = seconds
        self._begun = 0
        self._rate = 0.0
        self.low_water = 0
        """With fewer items than that in the backlog more are asked for."""

    def begun(self, items: int = 1) -> None:
        """An item was begun, or so many."""
        self._begun += items

    def measure(self, seconds: float) -> None:
        """So long was it since the last call: the rate is the mean of the one before and of the one since."""
        self._rate = 0.5 * self._rate + 0.5 * self._begun / seconds
        self._begun = 0
        self.low_water = int(self._rate * self._seconds / 2)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing was begun for about a second."""
        return self._rate < QUIET_RATE

    def wanted(self, idle: int, there: int) -> int:
        """Items to ask for, with so many idle slots and so many items there."""
        return max(idle, int(self._rate * self._seconds)) - there
