"""What a worker needs of the place where it runs, which may be a process of its own or somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from batchq.engine.ahead import AHEAD_SECONDS
from batchq.model import FailedAttempt, Item, Outcome, StageResult
from batchq.ready import Work
from batchq.store.chunks import Claim


class Ledger(Protocol):
    """Where a worker's claims come from, and where what it records goes: a `Recorder`, or the way to one.

    None of its methods waits, but `join`.
    """

    full: bool

    def start(self) -> None:
        """Begin."""

    def record(self, outcome: Outcome, last: FailedAttempt | None = None) -> None:
        """Take an outcome, together with the failed attempt that was its last."""

    def record_attempt(self, attempt: FailedAttempt) -> None:
        """Take a failed attempt."""

    def record_stage(self, result: StageResult) -> None:
        """Take what a stage has given that is not the last."""

    def finish(self, message_id: int) -> None:
        """Each item of this chunk has its outcome, or was given back."""

    def give_back(self, message_id: int, start: int) -> None:
        """Give the items of a chunk from `start` on to others; none of them was begun."""

    def put_back(self, message_id: int, unfinished: Sequence[int]) -> None:
        """Give these items of a chunk back to all, begun or not; none of them is in flight."""

    def enter(
        self,
        write: Callable[[Any], Any],
        answer: Callable[[Any], None] = ...,
        failed: Callable[[Exception], None] = ...,
    ) -> None:
        """Do something with the rate limits and budgets at once."""

    def share(self, max_uncommitted: int, claimants: int) -> None:
        """Hold that many outcomes uncommitted at most from now on."""

    def want(self, items: int) -> None:
        """Ask for up to `items` items."""

    def stop_wanting(self) -> None:
        """Withdraw the wish for more items."""

    def hurry(self) -> None:
        """Commit what is there now."""

    def close(self) -> None:
        """Commit the rest and end; `join` waits for it."""

    def join(self, seconds: float | None = None) -> bool:
        """Wait up to `seconds` for the end; whether it came."""


class LedgerOf(Protocol):
    """Makes the ledger of a worker."""

    def __call__(
        self,
        *,
        deliver: Callable[[Claim, Mapping[int, str]], None],
        room: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> Ledger:
        """As for a `Recorder`, from any thread; `deliver` gets with each claim what `Reuse.known` says of it."""


@dataclass(frozen=True)
class Surroundings:
    """What differs between a worker that has a process to itself and one that is a guest in somebody else's.

    Attributes:
        open_ledger: makes its ledger.
        load: loads what the batch runs; what it raises ends the worker.
        settled: called when all that is needed is loaded, before the first item.
        name_items: lets the log name the item on whose behalf a line is written.
        clean_lines: lets all lines go through a function.
        ahead_seconds: items are fetched ahead of the slots for so long.
    """

    open_ledger: LedgerOf
    load: Callable[[], Work]
    settled: Callable[[], None]
    name_items: Callable[[Callable[[], Item | None]], None]
    clean_lines: Callable[[Callable[[str], str]], None]
    ahead_seconds: float = AHEAD_SECONDS
