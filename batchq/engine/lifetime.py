"""When a worker is replaced by a fresh one, because it has too much in memory."""

from __future__ import annotations

import time
from typing import Final

LOOK_SECONDS: Final = 1.0


class Lifetime:
    """How long this worker process may live.

    Args:
        memory: bytes that it may have in memory (resident); None for no such limit.
    """

    def __init__(self, memory: int | None) -> None:
        self._memory = memory
        self._next_look = 0.0

    def is_over(self) -> bool:
        """Whether the worker has too much in memory; looks once a second, when asked more often."""
        now = time.monotonic()
        if self._memory is None or now < self._next_look:
            return False
        self._next_look = now + LOOK_SECONDS
        import psutil

        return int(psutil.Process().memory_info().rss) > self._memory
