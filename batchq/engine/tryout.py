"""A few items in the foreground, one after another, in the caller's process; nothing of it is stored.

What runs them is what runs all items, so that a trial behaves as the batch will.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from batchq.context import Context
from batchq.engine.job import Job
from batchq.engine.limits import retry_config
from batchq.engine.memory import MemoryBatch
from batchq.engine.results import storing
from batchq.engine.retry import RetryHandler
from batchq.engine.work import load_work, opened
from batchq.errors import Halt
from batchq.handlers import Handler
from batchq.model import FailedAttempt, Item, Outcome, StageResult
from batchq.pace import Book, budgets_of, rates_of
from batchq.ready import Work
from batchq.redaction import Redaction
from batchq.spec import BatchSpec

BATCH_ID: Final = "try"
"""What handlers find as ``ctx.batch_id``."""


class _Given(MemoryBatch):
    """Runs items that somebody has made, rather than ideas."""

    def _item(self, idea: Any) -> Item:
        self.drawn += 1
        item: Item = idea
        return item


async def try_out(
    spec: BatchSpec,
    items: Iterable[Item],
    ended: Callable[[Item, Outcome], None],
    failed: Callable[[Item, FailedAttempt], None],
    advanced: Callable[[Item, StageResult], None],
) -> tuple[dict[str, float], str | None]:
    """Run `items` one after another, each with its attempts, as a worker of a batch would.

    Args:
        spec: what the batch would be.
        items: drawn one by one, each when the one before has its outcome.
        ended: gets each item with its outcome.
        failed: gets each failed attempt, the last one too.
        advanced: gets what each stage has given that is not the last one.

    Returns:
        What the handler has spent, by unit, and why it would have stopped the batch; None where it would not.

    Raises:
        SetupFailed: the resource that --setup names could not be entered.
        TargetError: the function cannot be used.
    """
    work = load_work(spec)
    book = Book(rates_of(spec.rates), budgets_of(spec.budgets))
    async with opened(work) as (resource, stages):
        job = Job(
            _told_before(work),
            RetryHandler(retry_config(spec)),
            spec.timeout,
            BATCH_ID,
            f"{BATCH_ID}-{uuid.uuid4()}",  # never the key of an item that a batch runs
            resource=resource,
            store=storing(spec.fail_empty),
            let_through=(GeneratorExit, KeyboardInterrupt),
            redaction=Redaction(spec.redact),
            stages=stages,
        )
        try:
            batch = _Given(job, 1, items, ended, failed, in_order=True, book=book, note_stage=advanced)
            await batch.run()
        except Halt as halt:
            return dict(book.spent), str(halt)
    return dict(book.spent), None


def _told_before(work: Work) -> Handler:
    """The handler, which prints what it is about to do before its first attempt at each item."""
    handler, preview = work.handler, work.preview
    if preview is None:
        return handler

    async def told(item: Any, ctx: Context) -> Any:
        if ctx.attempt == 1:
            print(preview(item, ctx))
        return await handler.function(item, ctx)

    return replace(handler, function=told)
