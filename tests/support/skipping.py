"""Time that leaps to the next timer instead of passing: what waits for nothing else takes none, on any machine."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from in_memory import quick

from batchq import BatchProcessor, BatchReport

T = TypeVar("T")
START = 1.0
"""When it begins: at 0 nothing would have been started yet."""


class _SkippingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__(_SkippingSelector(self))
        self.now = START

    def time(self) -> float:
        return self.now


class _SkippingSelector(selectors.SelectSelector):
    def __init__(self, loop: _SkippingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        self._loop.now += timeout or 0.0
        return super().select(0)


def run_skipping(main: Coroutine[Any, Any, T]) -> T:
    """What `main` returns, which uses no threads; ``time.monotonic`` is the clock of its event loop meanwhile."""
    loop = _SkippingLoop()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "monotonic", loop.time)
            patch.setattr(time, "monotonic_ns", lambda: int(loop.time() * 1e9))
            return loop.run_until_complete(main)
    finally:
        loop.close()


def process_skipping(ideas: Any, function: Any, **settings: Any) -> BatchReport:
    """The report on a batch in memory."""
    return run_skipping(BatchProcessor(quick(**settings)).process_batch(ideas, function))
