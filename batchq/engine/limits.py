"""The limits of a batch: how its workers are told of them, and how they are shared out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from batchq.config import RetryConfig
from batchq.spec import BatchSpec


def shares(concurrency: int, workers: int) -> list[int]:
    """Slots of each worker: together exactly `concurrency`, and none without a slot.

    Example:
        >>> shares(5, 2)
        [3, 2]
        >>> shares(2, 4)
        [1, 1]
    """
    workers = min(workers, concurrency)
    base, rest = divmod(concurrency, workers)
    return [base + (index < rest) for index in range(workers)]


class Seat(Protocol):
    """Where a worker reads how many items it may have in flight."""

    def allow(self, slots: int) -> None:
        """Let it have so many."""


@dataclass
class Stake:
    """What one worker that lives has of the concurrency, and what it should have.

    Attributes:
        seat: where it is told.
        target: slots that it should have.
        allowed: slots that it was told to have.
        obeyed: slots that it works with until it has read what it was told.
        busy: items that it has in flight.
        entered: it is there to use them.
    """

    seat: Seat
    target: int
    allowed: int
    obeyed: int
    busy: int
    entered: bool

    @property
    def held(self) -> int:
        """What it may have in flight just now."""
        return max(self.allowed, self.obeyed, self.busy)


def settle(stakes: Sequence[Stake], concurrency: int) -> bool:
    """Bring each worker as near to its target as the concurrency of all allows just now; whether all are there.

    A worker gives up slots only when another is there to use them; it gets more only when nobody can use them any more.

    Example:
        >>> class Seat:
        ...     def allow(self, slots): print(slots)
        >>> old = Stake(Seat(), target=4, allowed=8, obeyed=8, busy=8, entered=True)
        >>> new = Stake(Seat(), target=4, allowed=0, obeyed=0, busy=0, entered=True)
        >>> settle([old, new], 8)
        4
        False
        >>> old.obeyed, old.busy = 4, 6
        >>> settle([old, new], 8)
        2
        False
    """
    free = concurrency - sum(stake.held for stake in stakes)
    for stake, wanted in zip(stakes, _wanted(stakes, concurrency), strict=True):
        more = wanted - stake.allowed
        if more > 0:
            within = stake.held - stake.allowed
            more = min(more, within + max(free, 0))
            free -= max(0, more - within)
        if more:
            stake.allowed += more
            stake.seat.allow(stake.allowed)
    return all(stake.allowed == stake.target and stake.busy <= stake.target for stake in stakes)


def _wanted(stakes: Sequence[Stake], concurrency: int) -> list[int]:
    """What each worker should be told to have just now."""
    there = [stake.entered or stake.allowed > 0 for stake in stakes]
    spare = concurrency - sum(stake.target for stake, is_there in zip(stakes, there, strict=True) if is_there)
    wanted = []
    for stake, is_there in zip(stakes, there, strict=True):
        keep = max(0, min(stake.allowed - stake.target, spare)) if is_there else 0
        spare -= keep
        wanted.append(stake.target + keep)
    # What somebody has in flight beyond its share, the others do without until it ends: first those that have slots
    # free, then those that would else begin another item for each one that they end.
    busy = [stake.busy for stake in stakes]
    for least in (busy, [0] * len(stakes)):
        for number in range(len(stakes)):
            in_use = sum(map(max, wanted, busy)) - max(0, busy[number] - wanted[number])
            wanted[number] -= max(0, min(in_use - concurrency, wanted[number] - least[number]))
    return wanted


def share_of(uncommitted: int, workers: int) -> int:
    """Outcomes that one of so many workers may hold uncommitted.

    Example:
        >>> share_of(1000, 3)
        334
    """
    return -(-uncommitted // max(workers, 1))


def retry_config(spec: BatchSpec) -> RetryConfig:
    """The retry settings of a batch."""
    return RetryConfig(
        spec.retry_attempts,
        spec.retry_backoff,
        spec.retry_delay,
        spec.retry_max_delay,
        spec.retry_jitter,
        spec.no_retry,
        spec.retry_on,
        spec.retry_budget,
    )
