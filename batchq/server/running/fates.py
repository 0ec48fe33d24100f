"""What becomes of a batch whose supervisor has ended although it should run: again after a while, or no more."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Final

from batchq.server.running.children import Exit

LONGEST: Final = 60
"""No delay is longer than so many times the first."""
MOST_DEATHS: Final = 6
"""A supervisor that dies so often in a row without an outcome in between will die again."""
BUSY: Final = 75
IN_ORDER: Final = frozenset({0, 1, 3})
"""Exit codes of one that has left because its batch had come to an end, or was paused."""
HOPELESS: Final = frozenset({2, 3, 70, 74})
"""Exit codes that say: not as things stand. The target cannot be loaded, say, or the disk is full."""


@dataclass
class Fate:
    """How the supervisors of a batch have ended of late.

    Attributes:
        deaths: so many in a row, no outcome in between.
        done: outcomes at the last one.
        not_before: monotonic seconds; nothing is done with it earlier.
        last: how the last one ended, in words.
        reason: why it is not started again; None while it is.
    """

    deaths: int = 0
    done: int = -1
    not_before: float = 0.0
    last: str = ""
    reason: str | None = None


class Fates:
    """Remembers how supervisors have ended, for as long as that matters.

    Args:
        first_delay: seconds until the first new start; each death without an outcome in between doubles it.

    Example:
        >>> fates = Fates(1.0)
        >>> [fates.died("b1", 0, None, 0.0).not_before for _ in range(5)]
        [1.0, 2.0, 4.0, 8.0, 16.0]
        >>> fates.died("b1", 0, None, 0.0).reason
        'its supervisor ended 6 times without an outcome in between, at last: nobody saw how'
    """

    def __init__(self, first_delay: float) -> None:
        self._first_delay = first_delay
        self._fates: dict[str, Fate] = {}

    def get(self, batch_id: str) -> Fate:
        """The fate of a batch; that of one of which nothing is known is good."""
        return self._fates.get(batch_id, Fate())

    def forget(self, batch_id: str) -> None:
        """All is well with it, or it is no longer there."""
        self._fates.pop(batch_id, None)

    def died(self, batch_id: str, done: int, end: Exit | None, now: float) -> Fate:
        """Nobody runs a batch any more that should run; what comes of it.

        Args:
            batch_id: the batch.
            done: its outcomes.
            end: how its supervisor ended; None where nobody saw that.
            now: monotonic seconds.
        """
        fate = self._fates.setdefault(batch_id, Fate())
        fate.last = words(end)
        delay = self._first_delay
        if end is None or end.code != BUSY:  # else somebody was quicker, and has left since
            fate.deaths = fate.deaths + 1 if done == fate.done else 1
            fate.done = done
            delay *= min(2 ** (fate.deaths - 1), LONGEST)
        fate.not_before = now + delay
        if end is not None and end.code in HOPELESS:
            fate.reason = f"it could not be run: {fate.last}"
        elif fate.deaths >= MOST_DEATHS:
            fate.reason = (
                f"its supervisor ended {fate.deaths} times without an outcome in between, at last: {fate.last}"
            )
        return fate

    def put_off(self, batch_id: str, seconds: float, now: float) -> None:
        """Do nothing with a batch for so long."""
        self._fates.setdefault(batch_id, Fate()).not_before = now + seconds


def words(end: Exit | None) -> str:
    """How a supervisor ended.

    Example:
        >>> words(Exit("b1", -9, ""))
        'killed by SIGKILL'
        >>> words(Exit("b1", 2, "cannot use 'pipe:f': no module 'pipe'"))
        "cannot use 'pipe:f': no module 'pipe'"
    """
    if end is None:
        return "nobody saw how"
    if end.code < 0:
        try:
            return f"killed by {signal.Signals(-end.code).name}"
        except ValueError:
            return f"killed by signal {-end.code}"
    return end.said or f"exit code {end.code}"
