"""What crosses a network instead of a board: what a worker is told there, and what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from batchq.engine.board import Limits


class Told(NamedTuple):
    """What the worker of a place is told, as it reaches one that cannot see the board.

    Attributes:
        stop: it is to leave.
        slots: items that it may have in flight.
        limits: of the batch.
        counts: attempts of the batch, and those after which another followed.
        wait: nothing may begin.
        brake_at: nor once so many have failed; 0 for no such limit …
        failed: … of which so many failed elsewhere.
        starving: another worker has free slots and nothing to run.
    """

    stop: bool
    slots: int
    limits: Limits
    counts: tuple[int, int]
    wait: bool
    brake_at: int
    failed: int
    starving: bool


class Signs(NamedTuple):
    """What a worker shows of itself, as it reaches a board that it cannot see.

    Attributes:
        beat: a number that changes while its loop turns; 0 before it does.
        cells: of its place, others that it alone writes.
        halt_by: the item whose handler asks to stop the batch; 0 where none does.
        seen: the cells of its slots.
    """

    beat: int
    cells: tuple[int, ...]
    halt_by: int
    seen: bytes
