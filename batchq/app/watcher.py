"""Whoever looks on while a batch runs: the processor's attributes, the bar, a callback, the consumer of a stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from batchq.app.batch_queue import BatchQueue
from batchq.app.progress import Display
from batchq.app.report import BatchResult
from batchq.model import Tally

AHEAD: Final = 1000
"""Results that wait for a consumer who is slow; then the slots of a batch in memory wait as well."""


class Flow:
    """Results on their way to somebody who takes them one by one."""

    def __init__(self) -> None:
        self.waiting: deque[BatchResult] = deque()
        self.arrived = asyncio.Event()
        self.room: Callable[[], None] = lambda: None
        """Called when it is no longer full."""

    def put(self, result: BatchResult) -> None:
        """Add a result; it is taken even when it is full."""
        self.waiting.append(result)
        self.arrived.set()

    def take(self) -> BatchResult:
        """The oldest result."""
        result = self.waiting.popleft()
        if len(self.waiting) == AHEAD - 1:
            self.room()
        return result

    def is_full(self) -> bool:
        """Whether there is enough for now."""
        return len(self.waiting) >= AHEAD


@dataclass
class Watcher:
    """Whom to tell, in the caller's event loop.

    Attributes:
        display: shows how far the batch is.
        begun: called with id and start (seconds since 1970) when the batch is known.
        note: called with the counts, about ten times a second.
        on_result: called for each outcome; in QUEUE mode also for those of an earlier run of the same batch.
        flow: whoever takes them one by one; None where nobody does.
        queue: the queue manager that may pause a QUEUE batch.
    """

    display: Display
    begun: Callable[[str, float], None]
    note: Callable[[Tally], None]
    on_result: Callable[[BatchResult], object] | None = None
    flow: Flow | None = None
    queue: BatchQueue | None = None
