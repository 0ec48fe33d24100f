"""A sink that keeps what a runner says, so that slots can be tested without processes or files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from batchq.config import RetryConfig
from batchq.engine.job import Job
from batchq.engine.retry import RetryHandler
from batchq.engine.runner import Runner
from batchq.handlers import Handler
from batchq.model import FailedAttempt, Item, Outcome, StageResult
from batchq.ready import Stage


class KeepingSink:
    """Feeds a runner from a list and keeps outcomes and failed attempts."""

    full = False

    def __init__(self, payloads: Iterable[Any]) -> None:
        self.left = [Item(seq, f"i{seq}", json.dumps(p), 1, 0) for seq, p in enumerate(payloads, 1)]
        self.total = len(self.left)
        self.outcomes: dict[int, Outcome] = {}
        self.attempts: list[FailedAttempt] = []
        self.stages: list[StageResult] = []
        self.stuck_items: list[int] = []
        self.runner: Runner | None = None

    def outcome(self, item: Item, outcome: Outcome) -> None:
        assert item.seq not in self.outcomes, "two outcomes"
        self.outcomes[item.seq] = outcome
        if len(self.outcomes) == self.total and self.runner:
            self.runner.stop()

    def attempt(self, item: Item, attempt: FailedAttempt) -> None:
        self.attempts.append(attempt)

    def stage(self, item: Item, result: StageResult) -> None:
        self.stages.append(result)

    def low(self, want: int) -> None:
        if self.left and self.runner:
            given, self.left = self.left[:want], self.left[want:]
            self.runner.offer(given)

    def idle(self) -> None:
        pass

    def tick(self) -> None:
        pass

    def broken(self, error: BaseException) -> None:
        raise error

    def overloaded(self, item: Item, seconds: float) -> None:
        pass

    def hold(self, item: Item, seconds: float) -> None:
        pass

    def held(self) -> float:
        return 0.0

    def halt(self, item: Item) -> None:
        pass

    def stuck(self, item: Item) -> bool:
        self.stuck_items.append(item.seq)
        if self.runner:
            self.runner.stop()
        return False


async def run_items(
    handler: Callable[..., Any],
    payloads: Iterable[Any],
    slots: int = 4,
    timeout: float | None = None,
    retry: RetryConfig | None = None,
    resource: Any = None,
    then: Sequence[Callable[..., Any]] = (),
) -> KeepingSink:
    """Run a handler over payloads, and return what came of it."""
    sink = KeepingSink(payloads)
    job = Job(
        Handler.of(handler),
        RetryHandler(retry or RetryConfig(max_attempts=1)),
        timeout,
        "b",
        "u",
        7,
        resource,
        stages=tuple(Stage(Handler.of(stage), resource) for stage in then),
    )
    sink.runner = Runner(job, slots, sink)
    sink.runner.start()
    while not sink.runner.stopping:
        await asyncio.sleep(0.002)
    await sink.runner.drained()
    return sink
