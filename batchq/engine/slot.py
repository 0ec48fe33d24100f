"""One of the places of a runner in which an item can run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from batchq.engine.threads import SlotThread
from batchq.model import Item


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
    """

    index: int
    item: Item | None = None
    started: float = 0.0
    lost: float = 0.0
    expired: bool = False
    expired_at: float = 0.0
    given_up: bool = False
    in_thread: bool = False
    task: asyncio.Task[None] | None = None
    thread: SlotThread | None = field(default=None)

    @property
    def is_open(self) -> bool:
        """Whether its task will end by itself."""
        return self.task is not None and not self.task.done() and not self.given_up
