"""One of the places of a runner in which an item can run."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

from batchq.engine.threads import SlotThread
from batchq.model import Item


class Waits:
    """The time in which an attempt waited for a rate limit (`Context.spend`); it is none of the handler's.

    Several calls of one handler may wait side by side; that counts once.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._since = 0.0
        self._seconds = 0.0

    def begin(self) -> None:
        """A wait begins."""
        if not self._depth:
            self._since = time.monotonic()
        self._depth += 1

    def end(self) -> None:
        """A wait ends."""
        self._depth -= 1
        if not self._depth:
            self._seconds += time.monotonic() - self._since

    def seconds(self, now: float) -> float:
        """So far, at the monotonic time `now`."""
        return self._seconds + (now - self._since if self._depth else 0.0)


NO_WAITS: Final = Waits()
"""Of attempts whose handler cannot wait, since it takes no context."""


@dataclass(eq=False)
class Slot:
    """One of the places in which an item can run.

    Attributes:
        item: what runs in it, or ran last.
        started: monotonic time at which the handler was called; 0 while none runs.
        lost: the runner's lost time at that moment.
        expired: the ticker has ended this attempt.
        expired_at: monotonic time at which it did.
        given_up: what runs here has swallowed its cancellation, and is recorded as timed out.
        in_thread: the slot's thread is busy.
        waits: for rate limits, of this attempt.
    """

    index: int
    item: Item | None = None
    started: float = 0.0
    lost: float = 0.0
    expired: bool = False
    expired_at: float = 0.0
    given_up: bool = False
    in_thread: bool = False
    waits: Waits = NO_WAITS
    task: asyncio.Task[None] | None = None
    thread: SlotThread | None = field(default=None)

    @property
    def is_open(self) -> bool:
        """Whether its task will end by itself."""
        return self.task is not None and not self.task.done() and not self.given_up

    def worked(self, started: float, now: float | None = None) -> float:
        """Seconds since `started` in which the handler did not wait for a rate limit."""
        now = time.monotonic() if now is None else now
        return now - started - self.waits.seconds(now)
