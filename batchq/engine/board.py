"""What each worker is at, in memory that outlives it: a file that supervisor and workers map.

    [stop of all | … | hold until | halt asked by | disk full | limits] then per place
    [pid | worker | stop | starving | leaving | beat | current | slots | … | seq of slot 0, 1, …]

When a worker dies, its place still says which items it had begun: those are the suspects, and nobody else.  It is a
file in the batch's folder, and not anonymous memory, so that the next supervisor can read it when this one has died
too.  Each cell is an aligned 64-bit integer with one writer; none of them needs a lock.
"""

from __future__ import annotations

import mmap
import os
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from batchq.engine.signs import Signs, Told

_CELL: Final = 8
_HEADER: Final = 16
_PLACE: Final = 12
_STOP_ALL, _PLACES, _SLOTS, _HOLD_UNTIL, _HALT_BY, _DISK_FULL, _WAIT = range(7)
_TIMEOUT_US, _ATTEMPTS, _PACE, _PACED, _WORKERS, _TRIED, _TRIED_AGAIN, _BRAKE_AT, _BUSY_UNTIL = range(7, 16)
_PID, _WORKER, _STOP, _STARVING, _LEAVING, _BEAT, _CURRENT, _ALLOWED, _OVERLOADS, _OBEYED = range(10)
_RETIRING, _FAILED = range(10, 12)
_SHOWN: Final = (_PID, _STARVING, _CURRENT, _OVERLOADS, _OBEYED, _RETIRING, _FAILED)
"""What a worker writes into its place, beside its beat and its slots."""


class Limits(NamedTuple):
    """The limits of a batch that its workers read from the board.

    Attributes:
        timeout_us: microseconds of one attempt; 0 for no limit.
        retry_attempts: attempts of an item.
        pace: a number that changes with the rate limits.
        paced: what they limit; see `pace.paced_by`.
        workers: workers side by side.
    """

    timeout_us: int
    retry_attempts: int
    pace: int
    paced: int
    workers: int


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

    def set_limits(self, limits: Limits) -> None:
        """Let the workers know the limits that hold from now on."""
        self._cells[_TIMEOUT_US : _WORKERS + 1] = memoryview(array("q", limits))

    def set_counts(self, attempts: int, retries: int) -> None:
        """Let the workers know how many attempts there were in the whole batch, and after how many another followed."""
        self._cells[_TRIED], self._cells[_TRIED_AGAIN] = attempts, retries

    @property
    def failed(self) -> int:
        """Items that have failed since this board was made, also those of which no outcome is committed yet."""
        return sum(cell[0] for cell in self._of_all(_FAILED))

    def brake_at(self, failed: int) -> None:
        """Let no worker begin an item once so many have failed; 0 for no such limit."""
        self._cells[_BRAKE_AT] = failed

    @property
    def held(self) -> bool:
        """Whether no worker may begin an item just now."""
        return self.place(0).held

    def tell(self, told: Told) -> None:
        """Tell the worker of the first place of this board, which is an image of another one, what that board tells it.

        The second place stands for all others.
        """
        self._cells[_WAIT] = told.wait
        self._cells[_BRAKE_AT] = told.brake_at
        self.set_limits(told.limits)
        self.set_counts(*told.counts)
        mine, others = self.place(0), self.place(1)
        others.starving = told.starving
        others._cells[_FAILED] = told.failed
        mine.allow(told.slots)
        if told.stop:
            mine.ask_to_stop()

    def wait(self, wait: bool) -> None:
        """Let no worker begin an item while `wait` holds: the machine is short of memory."""
        self._cells[_WAIT] = wait

    def hold(self, seconds: float) -> None:
        """Let no worker begin an item for so long."""
        self.place(0).hold(seconds)

    @property
    def disk_full(self) -> bool:
        """Whether a worker has found no room for what it has to write."""
        return bool(self._cells[_DISK_FULL])

    def go_on(self) -> None:
        """Take `stop_all` back: new workers may come."""
        self._cells[_STOP_ALL] = 0

    def place(self, index: int) -> Place:
        """The place of one worker."""
        start = _HEADER + index * (_PLACE + self.slots)
        own = self._cells[start : start + _PLACE + self.slots]
        starving = self._of_all(_STARVING)
        return Place(self._cells[:_HEADER], own, starving[:index] + starving[index + 1 :], self._of_all(_FAILED))

    def __iter__(self) -> Iterator[Place]:
        return (self.place(index) for index in range(self.places))

    def _of_all(self, cell: int) -> list[memoryview]:
        """That cell of each place."""
        starts = (_HEADER + index * (_PLACE + self.slots) + cell for index in range(self.places))
        return [self._cells[start : start + 1] for start in starts]


class Place:
    """One worker's part of the board."""

    def __init__(
        self, header: memoryview, cells: memoryview, starving: list[memoryview], failed: list[memoryview]
    ) -> None:
        self._header = header
        self._cells = cells
        self._others_starving = starving
        self._all_failed = failed
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

    def tell_disk_full(self) -> None:
        """There is no room for what this worker has to write; it leaves when what is in flight has ended."""
        self._header[_DISK_FULL] = 1

    def hold(self, seconds: float) -> None:
        """Let no worker begin an item for so long."""
        self._hold(_HOLD_UNTIL, seconds)

    def count_overload(self) -> None:
        """The server that items call is overloaded."""
        self._cells[_OVERLOADS] += 1

    @property
    def overload_seconds(self) -> float:
        """For so many seconds yet the server that items call is not to be called."""
        until: int = self._header[_BUSY_UNTIL]
        return max(0, until - time.monotonic_ns()) / 1e9 if until else 0.0

    def _hold(self, cell: int, seconds: float) -> None:
        until = time.monotonic_ns() + int(seconds * 1e9)
        # Two workers may write at once; either of their values does.
        self._header[cell] = max(self._header[cell], until)

    @property
    def held_until(self) -> tuple[int, int]:
        """When items may begin again, and when the server may be called (monotonic clock here, nanoseconds)."""
        return int(self._header[_HOLD_UNTIL]), int(self._header[_BUSY_UNTIL])

    def seconds_held(self) -> tuple[float, float]:
        """So many seconds are left of both."""
        now = time.monotonic_ns()
        holds, busy = self.held_until
        return max(0, holds - now) / 1e9, max(0, busy - now) / 1e9

    def hold_on(self, seconds: tuple[float, float]) -> None:
        """Let no worker begin an item for so long, nor what has begun call the server that items call for so long."""
        for cell, each in zip((_HOLD_UNTIL, _BUSY_UNTIL), seconds, strict=True):
            if each > 0:
                self._hold(cell, each)

    def told(self) -> Told:
        """What the worker of this place is told, where that cannot see the board."""
        return Told(
            self.stop,
            self.slots,
            self.limits,
            self.counts,
            bool(self._header[_WAIT]),
            int(self._header[_BRAKE_AT]),
            sum(cell[0] for cell in self._all_failed) - int(self._cells[_FAILED]),
            self.others_starve,
        )

    def signs(self, slots: int) -> Signs:
        """What this worker shows of itself, with the seq in each of its first `slots` slots."""
        cells = self._cells
        return Signs(
            self.beat, tuple(cells[cell] for cell in _SHOWN), int(self._header[_HALT_BY]), bytes(self.seen[:slots])
        )

    def show(self, signs: Signs) -> None:
        """Show on this board what the worker of this place shows elsewhere."""
        for cell, value in zip(_SHOWN, signs.cells, strict=True):
            self._cells[cell] = value
        if signs.halt_by:
            self.ask_to_halt(signs.halt_by)
        seen = memoryview(signs.seen).cast("q")
        self.seen[: len(seen)] = seen

    def show_begun(self, seqs: Sequence[int]) -> None:
        """Show that just these items were begun and have not ended."""
        self.seen[:] = memoryview(array("q", [*seqs, *[0] * (len(self.seen) - len(seqs))]))

    @property
    def held(self) -> bool:
        """Whether no item may begin just now."""
        header = self._header
        until: int = header[_HOLD_UNTIL]
        if header[_WAIT] or (until != 0 and time.monotonic_ns() < until):
            return True
        brake: int = header[_BRAKE_AT]
        return brake != 0 and sum(cell[0] for cell in self._all_failed) >= brake

    def count_failure(self) -> None:
        """An item has failed for good."""
        self._cells[_FAILED] += 1

    @property
    def limits(self) -> Limits:
        """The limits that hold now."""
        return Limits(*self._header[_TIMEOUT_US : _WORKERS + 1])

    @property
    def slots(self) -> int:
        """Items that this worker may have in flight."""
        return int(self._cells[_ALLOWED])

    def allow(self, slots: int) -> None:
        """Let this worker have so many items in flight."""
        self._cells[_ALLOWED] = slots

    @property
    def obeyed(self) -> int:
        """Items that this worker may have in flight until it has seen another number in `slots`."""
        return int(self._cells[_OBEYED])

    def obey(self, slots: int) -> None:
        """This worker has so many in flight at most from now on."""
        self._cells[_OBEYED] = slots

    @property
    def overloads(self) -> int:
        """How often this worker was told that the server which items call is overloaded."""
        return int(self._cells[_OVERLOADS])

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
        return any(cell[0] for cell in self._others_starving)

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
    def counts(self) -> tuple[int, int]:
        """Attempts of the whole batch, and those after which another followed, as the supervisor saw them last."""
        return self._header[_TRIED], self._header[_TRIED_AGAIN]

    @property
    def retiring(self) -> bool:
        """Whether the worker begins nothing more, by itself, and leaves when what is in flight has finished."""
        return bool(self._cells[_RETIRING])

    def retire(self) -> None:
        """Tell that this worker begins nothing more, so that another can have its share."""
        self._cells[_RETIRING] = 1

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
