"""What a runner is told: what to do with an item, and where to put what comes of it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from batchq.context import Context, Till
from batchq.engine.failures import describe
from batchq.engine.results import to_json
from batchq.engine.retry import RetryHandler
from batchq.handlers import Handler
from batchq.model import FailedAttempt, Item, Outcome, StageResult
from batchq.ready import Stage
from batchq.redaction import Redaction

_decode = json.JSONDecoder().raw_decode
_outcome = Outcome._make  # a tuple is made in half the time of a call by names


def from_json(text: str) -> Any:
    """The value of a payload; `json.loads` looks for space around it first, which takes as long again."""
    return _decode(text)[0]


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

    def overloaded(self, item: Item, seconds: float) -> None:
        """The server that items call is overloaded: nobody should begin one for so long."""

    def hold(self, item: Item, seconds: float) -> None:
        """The handler of `item` says that nobody should begin one for so long: a quota is used up, say."""

    def held(self) -> float:
        """For so many seconds yet that holds; called from whatever thread."""

    def halt(self, item: Item) -> None:
        """The handler of `item` asks to stop the whole batch."""

    def stage(self, item: Item, result: StageResult) -> None:
        """A stage of an item is done that is not its last one; the item goes on in the next one."""

    def stuck(self, item: Item) -> bool:
        """A thread is still busy with an item that has timed out: whether its slot goes on with another thread."""


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
        load: makes what the handler gets, anew for each attempt, of an item's payload.
        store: makes what the outcome keeps of the handler's result; what it raises fails the item.
        let_through: exceptions that end the slot rather than fail the item.
        tracebacks: tell the traceback of a failure, which takes long.
        redaction: fields of a payload whose values no error may tell; of payloads that are JSON text.
        stages: what items go through after `handler`.
    """

    handler: Handler
    retry: RetryHandler
    timeout: float | None
    batch_id: str = ""
    key_prefix: str = ""
    worker: int = 0
    resource: Any = None
    load: Callable[[Any], Any] = from_json
    store: Callable[[Any], Any] = to_json
    let_through: tuple[type[BaseException], ...] = (GeneratorExit,)
    tracebacks: bool = True
    redaction: Redaction | None = None
    stages: tuple[Stage, ...] = ()

    def context_of(self, item: Item, payload: Any, till: Till | None = None) -> Context:
        """What a handler is told about its next attempt at `item`: it gets `payload`, and pays at `till`."""
        key = f"{self.key_prefix}:{item.seq}" + (f":r{item.run}" if item.run > 1 else "")
        resource, stage = self.resource, item.stage
        if item.reached:
            key, resource, payload = f"{key}:{stage}", self.stages[stage - 2].resource, self.load(item.reached.payload)
        log = logging.LoggerAdapter(logging.getLogger("batchq.item"), {"item_id": item.item_id})
        return Context(self.batch_id, item.item_id, item.seq, item.tries + 1, key, resource, log, till, stage, payload)

    def success(self, item: Item, took: float, kept: Any) -> Outcome:
        """The outcome of an item whose attempt has succeeded after `took` seconds, of which `kept` is to be kept."""
        microseconds = item.spent_us + int(took * 1e6)
        return _outcome((item.seq, item.run, item.attempts + 1, microseconds, _now_ms(), self.worker, kept, None))

    def failed_attempt(self, item: Item, error: BaseException, took: float, delay: float | None) -> FailedAttempt:
        """An attempt of `item` that has failed after `took` seconds; the next one follows after `delay` seconds."""
        microseconds = int(took * 1e6)
        return FailedAttempt(
            item.seq,
            item.run,
            item.attempts + 1,
            _now_ms() - microseconds // 1000,
            microseconds,
            self.worker,
            None if delay is None else int(delay * 1000),
            describe(error, self.tracebacks, self.redaction.cleaner(*item.payloads) if self.redaction else None),
            item.stage,
        )

    def stage_result(self, item: Item, success: Outcome) -> StageResult:
        """What is kept of the stage that `item` is in, the `success` of which is no outcome yet."""
        took = success.duration_us - item.spent_us
        return StageResult(
            item.seq, item.stage, item.run, item.tries + 1, took, success.ended_ms, self.worker, success.result
        )

    def failure(self, item: Item, last: FailedAttempt) -> Outcome:
        """The outcome of an item whose `last` attempt has failed."""
        spent = item.spent_us + last.duration_us
        return Outcome(item.seq, item.run, last.number, spent, _now_ms(), self.worker, None, last.failure)


def _now_ms() -> int:
    return int(time.time() * 1000)
