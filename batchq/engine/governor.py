"""Holds a batch back while the server that it calls, or its own machine, is overloaded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from batchq.engine.crew import Crew
from batchq.model import BatchRow

DECREASE: Final = 0.7
"""The concurrency falls to this share at an overload (multiplicative decrease)…"""
INCREASE_SHARE: Final = 0.05
"""… and rises by this share of what was asked for, one at least, each second without one (additive increase)."""
STEP_SECONDS: Final = 1.0
"""Between two steps: the answers to what was begun before a step say nothing about it."""

log = logging.getLogger(__name__)


class Governor:
    """Looks, at each tick of the supervisor, whether its workers should do less.

    Args:
        crew: the workers.
        row: the batch's row, with its limits.
        note: told what the user should know.
    """

    def __init__(self, crew: Crew, row: BatchRow, note: Callable[[str], None]) -> None:
        self._crew = crew
        self._note = note
        self._short = False
        self.concurrency = 0
        """Items in flight at most, just now."""
        self.begin(row)

    def begin(self, row: BatchRow) -> None:
        """Other limits hold from now on."""
        self._row = row
        self._overloads = self._crew.overloads
        self._next_step = time.monotonic()
        lowered = row.spec.adaptive and self.concurrency
        self.concurrency = min(lowered or row.spec.concurrency, row.spec.concurrency)

    def board_is_new(self) -> None:
        """Nothing that the workers were told holds any more."""
        self._short = False

    def look(self) -> None:
        """Adapt the concurrency, and wait while memory is short."""
        now = time.monotonic()
        if self._row.spec.adaptive:
            self._adapt(now)
        if self._row.spec.memfree is not None or self._short:
            self._look_at_memory(self._row.spec.memfree or 0)

    def _adapt(self, now: float) -> None:
        before, self._overloads = self._overloads, self._crew.overloads
        most = self._row.spec.concurrency
        overloaded = self._overloads > before
        # While nothing begins, no overload says nothing.
        may_rise = self.concurrency < most and not self._crew.board.held
        if now < self._next_step or not (overloaded or may_rise):
            if overloaded:
                self._overloads = before  # counts for the next step
            return
        self._next_step = now + STEP_SECONDS
        if overloaded:
            wanted = max(1, int(self.concurrency * DECREASE))
        else:
            wanted = min(most, self.concurrency + max(1, round(most * INCREASE_SHARE)))
        if wanted != self.concurrency:
            log.info("%d of %d items at a time: %s", wanted, most, "overload" if overloaded else "no overload")
            self.concurrency = wanted
            self._crew.relimit(self._row, wanted)

    def _look_at_memory(self, least: int) -> None:
        import psutil

        available = psutil.virtual_memory().available
        short = available < least
        if short == self._short:
            return
        self._short = short
        self._crew.board.wait(short)
        if short:
            free, wanted = (f"{size / 2**30:.1f} GiB" for size in (available, least))
            self._tell(f"memory is short ({free} free, {wanted} wanted): nothing new begins")
        else:
            self._tell("there is memory again: going on")

    def _tell(self, text: str) -> None:
        log.info("%s", text)
        self._note(text)
