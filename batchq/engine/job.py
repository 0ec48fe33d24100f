"""What a runner is told: what to do with an item, and where to put what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from batchq.engine.retry import RetryHandler
from batchq.handlers import Handler
from batchq.model import FailedAttempt, Item, Outcome


class Sink(Protocol):
    """Where a runner puts what comes of its items; called in the event loop, and none of it may wait."""

    @property
    def full(self) -> bool:
        """True while no item may be begun, because too much is uncommitted."""

    def outcome(self, item: Item, outcome: Outcome) -> None:
        """An item has its outcome."""

    def attempt(self, item: Item, attempt: FailedAttempt) -> None:
        """An attempt failed, and another will follow unless the item's outcome comes with it."""

    def low(self, want: int) -> None:
        """Up to `want` items could be begun soon; answer with `Runner.offer`, at any time."""

    def idle(self) -> None:
        """No slot has anything to do."""

    def tick(self) -> None:
        """About ten times a second."""

    def broken(self, error: BaseException) -> None:
        """A slot has ended by a fault of batchq; none of what it held has an outcome."""

    def stuck(self, item: Item) -> None:
        """A thread is still busy with an item that has timed out; its slot is lost."""


@dataclass(frozen=True)
class Job:
    """What a runner does with each item.

    Attributes:
        handler: the user's function.
        retry: what follows a failure.
        timeout: seconds per attempt; None for no limit.
        batch_id: for the handler's context.
        key_prefix: the batch's UUID, of which idempotency keys are made.
        worker: number of this process in outcomes.
        resource: value of --setup.
    """

    handler: Handler
    retry: RetryHandler
    timeout: float | None
    batch_id: str = ""
    key_prefix: str = ""
    worker: int = 0
    resource: Any = None
