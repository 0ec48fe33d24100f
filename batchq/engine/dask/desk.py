"""What an agent has for its guest, until it is sent.

Recorder's thread ── claim, answer, committed … ──▶ Desk ── Orders ──▶ guest
board ── what it tells, holds ────────────────────▶
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from batchq.engine.board import Place
from batchq.engine.dask.holds import Holds
from batchq.engine.dask.parcels import Orders, pack_claim, relative
from batchq.engine.signs import Told
from batchq.store.chunks import Claim


class Desk:
    """Gathers what a guest is to be told.

    Args:
        place: of the guest, on the board.
        loop: in which the orders are made; what is put here from any thread gets there.
        waits_for_commits: the guest can hardly begin anything before it hears of what is committed.
    """

    def __init__(self, place: Place, loop: asyncio.AbstractEventLoop, waits_for_commits: bool) -> None:
        self._place = place
        self._loop = loop
        self._waits_for_commits = waits_for_commits
        self.changed = asyncio.Event()
        """Set when there may be something new."""
        self.holds = Holds(place)
        self._number = self._committed = self._told_committed = 0
        self._told: Told | None = None
        self._claims: list[tuple[Claim, Mapping[int, str]]] = []
        self._answers: list[tuple[int, Any, str | None]] = []
        self._failed: str | None = None
        self._closed = False

    # Called from any thread ----------------------------------------------------------------------------------

    def claim(self, claim: Claim, known: Mapping[int, str]) -> None:
        """Items to run, and the results of those that were done before."""
        self._put(lambda: self._claims.append((claim, known)))

    def answer(self, number: int, value: Any) -> None:
        """What came of a charge."""
        self._put(lambda: self._answers.append((number, value, None)))

    def refuse(self, number: int, error: Exception) -> None:
        """Nothing will come of a charge."""
        self._put(lambda: self._answers.append((number, None, str(error))))

    def committed(self, results: int) -> None:
        """So many outcomes more are in the file; in most cases that can wait for other orders, or the next look."""

        def count() -> None:
            self._committed += results

        self._put(count, self._waits_for_commits)

    def fail(self, why: str) -> None:
        """Nothing can be recorded any more."""

        def note() -> None:
            self._failed = why

        self._put(note)

    def _put(self, change: Callable[[], object], is_urgent: bool = True) -> None:
        def do() -> None:
            change()
            if is_urgent:
                self.changed.set()

        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(do)

    # Called in the loop --------------------------------------------------------------------------------------

    def close(self) -> None:
        """All is committed; the guest may end."""
        self._closed = True
        self.changed.set()

    @property
    def has_orders(self) -> bool:
        """Whether the guest does not know all."""
        new = self._claims or self._answers or self._closed or self._failed
        changed = self._committed != self._told_committed or self.holds.has_new
        return bool(new) or changed or self._place.told() != self._told

    def orders(self) -> Orders:
        """All that it does not know; it knows then."""
        self._told = self._place.told()
        self._told_committed = self._committed
        self._number += 1
        orders = Orders(
            self._number,
            self._told,
            self.holds.take(),
            [pack_claim(*each) for each in self._claims],
            [(number, relative(value), why) for number, value, why in self._answers],
            self._committed,
            self._failed,
            self._closed,
        )
        self._claims, self._answers, self._failed, self._closed = [], [], None, False
        return orders
