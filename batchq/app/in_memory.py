"""PARALLEL and SEQUENTIAL: a batch in the caller's event loop, its outcomes in memory.

ideas ─▶ MemoryBatch (slots) ─▶ Collected ─▶ BatchReport
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterable, Iterable, Sequence, Sized
from typing import Any

from batchq.app.collected import Collected
from batchq.app.report import BatchReport, BatchResult, carry
from batchq.app.watcher import Watcher
from batchq.config import EMPTY_FAIL, BatchConfig, Limit, ProcessingMode
from batchq.engine.copies import own_copy
from batchq.engine.failures import describe
from batchq.engine.halting import RunningRules
from batchq.engine.job import Job
from batchq.engine.memory import MemoryBatch
from batchq.engine.results import keeping
from batchq.engine.retry import RetryHandler
from batchq.engine.sieve import Sieve
from batchq.errors import BatchHalted, Halt
from batchq.handlers import Handler
from batchq.model import CANCELLED, COMPLETED, FAILED, HALTED, RUNNING, SUCCESS, Item, Outcome
from batchq.pace import Book, budgets_of, rates_of
from batchq.ready import Stage
from batchq.store.rows import Progress


class InMemory:
    """Runs one batch in memory.

    Args:
        config: a copy that nobody changes.
        retry: what is tried again, and after how long.
        handlers: the caller's function, and those of the stages after it.
        watcher: whom to tell.
    """

    def __init__(self, config: BatchConfig, retry: RetryHandler, handlers: Sequence[Handler], watcher: Watcher) -> None:
        self._config = config
        self._retry = retry
        self._handler, *later = handlers
        self._stages = tuple(Stage(handler, None) for handler in later)
        self._watcher = watcher
        self._book = Book(rates_of(config.rates), budgets_of(config.budgets))
        self._sieve = Sieve(config.where)

    async def run(self, ideas: Iterable[Any] | AsyncIterable[Any], batch_id: str) -> BatchReport:
        """Run the batch; what ends it early carries the report on what was done."""
        watcher = self._watcher
        # Whoever takes results one by one has them: to keep them here as well would fill the memory.
        collected = Collected(self._config, batch_id, keep_results=watcher.flow is None)
        watcher.begun(batch_id, collected.started)
        ideas = self._sieve.out_of(ideas)
        self._known = self._config.part.size(len(ideas)) if isinstance(ideas, Sized) else None
        batch = self._batch(ideas, batch_id, collected)
        self._show(batch, collected)
        try:
            try:
                await batch.run()
            except Halt as halt:
                raise BatchHalted(batch_id, str(halt)) from halt
        except BaseException as error:
            carry(error, self._report(collected, batch, *_state_after(error)))
            raise
        finally:
            self._show(batch, collected)
        for setting, field in self._sieve.unseen:
            watcher.display.note(f"no idea has the field {field} that {setting} names")
        return self._report(collected, batch)

    def _report(
        self, collected: Collected, batch: MemoryBatch, state: str = COMPLETED, reason: str | None = None
    ) -> BatchReport:
        report = collected.report(batch.drawn, state, reason, self._sieve.skipped)
        report.spent = self._book.spent
        return report

    def _batch(self, ideas: Iterable[Any] | AsyncIterable[Any], batch_id: str, collected: Collected) -> MemoryBatch:
        config = self._config
        watcher = self._watcher
        flow = watcher.flow
        sequential = config.mode is ProcessingMode.SEQUENTIAL
        job = Job(
            self._handler,
            self._retry,
            config.timeout_per_item or None,
            batch_id,
            str(uuid.uuid4()),
            load=own_copy,
            store=keeping(config.empty_result == EMPTY_FAIL),
            let_through=(GeneratorExit, KeyboardInterrupt),
            tracebacks=collected.wants_tracebacks,
            stages=self._stages,
        )

        rules = RunningRules(Limit.of(config.halt), config.breaker) if config.halt or config.breaker else None

        def keep(item: Item, outcome: Outcome) -> None:
            collected.keep(item, outcome)
            if watcher.on_result is not None:
                watcher.on_result(batch_result(item, outcome))
            if rules and (reason := rules.reason(outcome, collected.tally(batch.drawn))):
                raise Halt(reason)

        batch = MemoryBatch(
            job,
            1 if sequential else config.max_concurrent,
            ideas,
            keep,
            collected.note_attempt,
            in_order=sequential,
            is_full=None if flow is None else flow.is_full,
            on_tick=lambda: self._show(batch, collected),
            book=self._book,
            shard=config.part,
        )
        if flow is not None:
            flow.room = batch.room
        return batch

    def _show(self, batch: MemoryBatch, collected: Collected) -> None:
        # The number of items in a list is known before they are drawn.
        tally = collected.tally(max(batch.drawn, self._known or 0))
        self._watcher.note(tally)
        all_known = batch.all_drawn or self._known is not None
        self._watcher.display.show(Progress(RUNNING, None, all_known, tally, spent=self._book.spent))


def batch_result(item: Item, outcome: Outcome) -> BatchResult:
    """What callbacks and streams are told of an item."""
    failure = outcome.failure
    return BatchResult(
        item.item_id,
        SUCCESS if failure is None else FAILED,
        outcome.result,
        outcome.duration_us / 1e6,
        outcome.attempts,
        failure.error if failure else None,
        failure.error_type if failure else None,
        outcome.seq,
    )


def _state_after(error: BaseException) -> tuple[str, str]:
    """State of a batch in memory that `error` has ended, and the reason."""
    if isinstance(error, asyncio.CancelledError):
        return CANCELLED, "its task was cancelled"
    failure = describe(error)
    return HALTED, f"{failure.error_type}: {failure.error}"
