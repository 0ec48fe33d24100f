"""Items that wait for their next attempt: they hold neither a slot nor a task, and one timer serves them all."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Collection
from typing import Final

from batchq.model import Item

WAITING_PER_SLOT: Final = 10
WAITING_LEAST: Final = 1000
"""With more items waiting for their next attempt than both allow, nothing new is asked for."""


class Backoff:
    """A heap of waiting items.

    Args:
        due: called in the event loop with the items whose wait is over, the longest overdue first.
    """

    def __init__(self, due: Callable[[list[Item]], None]) -> None:
        self._due = due
        self._waiting: list[tuple[float, int, Item]] = []
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def is_crowded(self, slots: int) -> bool:
        """Whether so many wait that nothing new should be fetched for `slots` slots."""
        return len(self._waiting) > max(WAITING_PER_SLOT * slots, WAITING_LEAST)

    @property
    def items(self) -> list[Item]:
        """Those that wait, in no order."""
        return [item for _, _, item in self._waiting]

    def forget(self, seqs: Collection[int]) -> None:
        """Let these items wait no longer, nor become due."""
        self._waiting = [waiting for waiting in self._waiting if waiting[1] not in seqs]
        heapq.heapify(self._waiting)
        self._set_timer()

    def put(self, item: Item, seconds: float) -> None:
        """Let `item` wait for so long."""
        heapq.heappush(self._waiting, (time.monotonic() + seconds, item.seq, item))
        if self._waiting[0][2] is item:  # else the timer is set for one that is due before
            self._set_timer()

    def close(self) -> None:
        """Let nothing become due any more."""
        if self._timer:
            self._timer.cancel()
        self._timer = None

    def _set_timer(self) -> None:
        self.close()
        if self._waiting:
            pause = max(0.0, self._waiting[0][0] - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(pause, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        due: list[Item] = []
        while self._waiting and self._waiting[0][0] <= now:
            due.append(heapq.heappop(self._waiting)[2])
        self._set_timer()
        self._due(due)
