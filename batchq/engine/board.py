"""What each worker is at, in memory that outlives it: a file that supervisor and workers map.

    [stop of all | … | hold until | halt asked by] then per place
    [pid | worker | stop | starving | leaving | beat | current | spare | seq of slot 0, 1, …]

When a worker dies, its place still says which items it had begun: those are the suspects, and nobody else.  It is a
file in the batch's folder, and not anonymous memory, so that the next supervisor can read it when this one has died
too.  Each cell is an aligned 64-bit integer with one writer; none of them needs a lock.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CELL: Final = 8
_HEADER: Final = 8
_PLACE: Final = 8
_STOP_ALL, _PLACES, _SLOTS, _HOLD_UNTIL, _HALT_BY = range(5)
_PID, _WORKER, _STOP, _STARVING, _LEAVING, _BEAT, _CURRENT = range(7)


class Board:
    """The mapped file.

    Args:
        path: the file.
        places: workers side by side; None to open a board that exists.
        slots: slots of a place at most.
    """

    def __init__(self, path: Path, places: int | None = None, slots: int = 0) -> None:
        if places is None:
            descriptor = os.open(path, os.O_RDWR)
        else:
            # A new file, not the old one emptied: an orphan of an earlier supervisor may still write into that.
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if places is not None:
                # Allocated now: writing to a hole of a mapped file kills the process when the disk is full.
                _allocate(descriptor, _CELL * (_HEADER + places * (_PLACE + slots)))
            self._map = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        self._cells = memoryview(self._map).cast("q")
        if places is not None:
            self._cells[_PLACES], self._cells[_SLOTS] = places, slots
        self.places: int = self._cells[_PLACES]
        self.slots: int = self._cells[_SLOTS]
        if len(self._cells) < _HEADER + self.places * (_PLACE + self.slots):
            raise ValueError("the board is cut short")

    def stop_all(self) -> None:
        """Ask every worker to begin nothing more, and to leave."""
        self._cells[_STOP_ALL] = 1

    @property
    def halt_asked_by(self) -> int:
        """The item whose handler has asked to stop the batch; 0 where none has."""
        return int(self._cells[_HALT_BY])

    def go_on(self) -> None:
        """Take `stop_all` back: new workers may come."""
        self._cells[_STOP_ALL] = 0

    def place(self, index: int) -> Place:
        """The place of one worker."""
        start = _HEADER + index * (_PLACE + self.slots)
        return Place(self._cells[:_HEADER], self._cells[start : start + _PLACE + self.slots], self._starving(index))

    def __iter__(self) -> Iterator[Place]:
        return (self.place(index) for index in range(self.places))

    def _starving(self, own: int) -> list[memoryview]:
        starts = (_HEADER + index * (_PLACE + self.slots) + _STARVING for index in range(self.places) if index != own)
        return [self._cells[start : start + 1] for start in starts]


class Place:
    """One worker's part of the board."""

    def __init__(self, header: memoryview, cells: memoryview, others: list[memoryview]) -> None:
        self._header = header
        self._cells = cells
        self._others = others
        self.seen = cells[_PLACE:]
        """One cell per slot: the seq that runs there, or 0."""

    def clear(self, worker: int) -> None:
        """Make the place ready for worker number `worker`; its process must not run yet."""
        for index in range(len(self._cells)):
            self._cells[index] = 0
        self._cells[_WORKER] = worker

    def enter(self) -> None:
        """The calling process is the worker of this place."""
        self._cells[_PID] = os.getpid()
        self.tick()

    @property
    def worker(self) -> int:
        """Number of the worker; 0 while the place was never used."""
        return int(self._cells[_WORKER])

    @property
    def entered(self) -> bool:
        """Whether the worker came as far as running items."""
        return bool(self._cells[_PID])

    @property
    def begun(self) -> list[int]:
        """The items that the worker has begun and not ended."""
        return [seq for seq in self.seen if seq]

    @property
    def stop(self) -> bool:
        """Whether the worker is to leave."""
        return bool(self._cells[_STOP] or self._header[_STOP_ALL])

    def ask_to_stop(self) -> None:
        """Ask this worker to begin nothing more, and to leave."""
        self._cells[_STOP] = 1

    def ask_to_halt(self, seq: int) -> None:
        """The handler of item `seq` asks to stop the whole batch."""
        self._header[_HALT_BY] = seq

    def hold(self, seconds: float) -> None:
        """Let no worker begin an item for so long: the server that they call is overloaded."""
        until = time.monotonic_ns() + int(seconds * 1e9)
        # Two workers may write at once; either of their values does.
        self._header[_HOLD_UNTIL] = max(self._header[_HOLD_UNTIL], until)

    @property
    def held(self) -> bool:
        """Whether no item may begin just now."""
        until: int = self._header[_HOLD_UNTIL]
        return until != 0 and time.monotonic_ns() < until

    @property
    def starving(self) -> bool:
        """Whether the worker has free slots and found nothing to claim."""
        return bool(self._cells[_STARVING])

    @starving.setter
    def starving(self, value: bool) -> None:
        self._cells[_STARVING] = value

    @property
    def others_starve(self) -> bool:
        """Whether another worker is starving."""
        return any(cell[0] for cell in self._others)

    @property
    def beat(self) -> int:
        """A number that changes while the worker's event loop turns; 0 before it does."""
        return int(self._cells[_BEAT])

    def tick(self) -> None:
        """The event loop turns."""
        self._cells[_BEAT] += 1

    @property
    def current(self) -> int:
        """The item that has kept the event loop since it stands still; 0 where that is not known."""
        return int(self._cells[_CURRENT])

    @current.setter
    def current(self, seq: int) -> None:
        self._cells[_CURRENT] = seq

    @property
    def leaving(self) -> bool:
        """Whether the worker ends of its own accord, with everything committed."""
        return bool(self._cells[_LEAVING])

    def leave(self) -> None:
        """Tell that this process ends of its own accord, with everything committed."""
        self._cells[_LEAVING] = 1


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.pwrite(descriptor, bytes(size), 0)
