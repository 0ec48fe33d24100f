"""The chunks that a worker has claimed, and how those that it will not run go to others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from batchq.engine.surroundings import Ledger
from batchq.model import Item
from batchq.store.chunks import Claim

GIVE_BACK_SECONDS: Final = 0.2
"""Items that were not begun for so long go to a worker that has nothing."""


class Holding:
    """Which items of which chunks a worker has claimed that have no outcome yet.

    Args:
        ledger: told of chunks that are done, and of what goes to others.

    Example:
        items = holding.take(claim)
        holding.done(items[0])
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._open: dict[int, set[int]] = {}
        self._claimed_at: dict[int, float] = {}

    def take(self, claim: Claim) -> list[Item]:
        """Hold what was claimed; the items of it."""
        now = time.monotonic()
        taken: list[Item] = []
        for chunk, items in claim.chunks:
            self._open[chunk.message_id] = {item.seq for item in items}
            self._claimed_at[chunk.message_id] = now
            taken.extend(items)
        return taken

    def done(self, item: Item) -> None:
        """It has its outcome; with the last one of a chunk that is acked."""
        left = self._open[item.message_id]
        left.discard(item.seq)
        if not left:
            self._finish(item.message_id)

    def give_back(self, unbegun: Sequence[Item]) -> list[Item]:
        """Give items to a worker that has nothing; those that stay here.

        Args:
            unbegun: all that were not begun, of each chunk in order. What was claimed just now stays.
        """
        now = time.monotonic()
        kept: list[Item] = []
        for message_id, items in _by_message(unbegun).items():
            if now - self._claimed_at[message_id] < GIVE_BACK_SECONDS:
                kept.extend(items)
                continue
            still = self._open[message_id]
            start = _start_of_rest(still, items)
            kept.extend(item for item in items if item.seq < start)
            gone = {item.seq for item in items if item.seq >= start}
            if gone:
                self._ledger.give_back(message_id, start)
                still -= gone
                if not still:
                    self._finish(message_id)
        return kept

    def hand_over(self, waiting: Sequence[Item]) -> set[int]:
        """Give up what is not in flight, begun or not; the seqs of what has gone.

        What a message still holds for this worker is a range: items between two that are in flight stay, too.

        Args:
            waiting: all that is not in flight.
        """
        gone: set[int] = set()
        for message_id, items in _by_message(waiting).items():
            seqs = {item.seq for item in items}
            still = self._open[message_id]
            kept = still - seqs
            if kept:
                low, high = min(kept), max(kept)
                seqs = {seq for seq in seqs if not low <= seq <= high}
            if seqs:
                self._ledger.put_back(message_id, sorted(seqs))
                still -= seqs
                gone |= seqs
            if not still:
                self._forget(message_id)
        return gone

    def put_back(self) -> None:
        """Give up all that there is."""
        for message_id, seqs in self._open.items():
            self._ledger.put_back(message_id, sorted(seqs))

    def _finish(self, message_id: int) -> None:
        self._forget(message_id)
        self._ledger.finish(message_id)

    def _forget(self, message_id: int) -> None:
        del self._open[message_id]
        del self._claimed_at[message_id]


def _by_message(items: Sequence[Item]) -> dict[int, list[Item]]:
    found: dict[int, list[Item]] = {}
    for item in items:
        found.setdefault(item.message_id, []).append(item)
    return found


def _start_of_rest(still: set[int], unbegun: Sequence[Item]) -> int:
    """The first seq from which on a chunk holds items only that were not begun."""
    begun = still.difference(item.seq for item in unbegun)
    return max([unbegun[0].seq, *(seq + 1 for seq in begun)])
