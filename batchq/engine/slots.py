"""All slots of a runner, and which items are in them."""

from __future__ import annotations

import asyncio

from batchq.engine.slot import Slot
from batchq.engine.threads import item_of_thread
from batchq.model import Item


class Slots(list[Slot]):
    """The slots of a runner by their index.

    Args:
        count: so many; others may be added later.

    Example:
        >>> slots = Slots(2)
        >>> slots[1].item = Item(3, "i3", "{}", 1, 1)
        >>> slots.in_flight, [item.seq for item in slots.at_hand]
        ([], [3])
    """

    def __init__(self, count: int) -> None:
        super().__init__(map(Slot, range(count)))

    @property
    def in_flight(self) -> list[int]:
        """The seq of each item whose handler runs."""
        return [slot.item.seq for slot in self if slot.started and slot.item]

    @property
    def at_hand(self) -> list[Item]:
        """What runs here, or ran last in a slot."""
        return [slot.item for slot in self if slot.item]

    @property
    def busy_threads(self) -> list[Item]:
        """The items of sync handlers that run, which nothing can interrupt."""
        return [slot.item for slot in self if slot.in_thread and slot.item]

    def current(self, loop: asyncio.AbstractEventLoop) -> Item | None:
        """From any thread: the item whose handler has `loop` just now; None where it cannot be told."""
        task = asyncio.current_task(loop)
        return next((slot.item for slot in self if slot.task is task and slot.started), None)

    def item_here(self) -> Item | None:
        """The item on whose behalf the calling task or thread runs, for log lines."""
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return item_of_thread()
        return next((slot.item for slot in self if slot.task is task), None)
