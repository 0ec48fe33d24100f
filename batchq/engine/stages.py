"""Batches of several stages: which function an item is given to, and where it goes after it.

    item ──▶ slot: its stage's function ──┬─ not the last ─▶ sink.stage() ─▶ backlog, in front, in its next stage
                                          └─ the last ─────▶ sink.outcome()

An item between two stages is one that may begin: rate limits, a pause and the end of a worker's life hold for it too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batchq.engine.caller import Caller
from batchq.engine.job import Job, Sink
from batchq.engine.pacing import Pacer
from batchq.engine.slot import NO_WAITS, Slot
from batchq.model import Item, Outcome


class StagedCaller(Caller):
    """Calls the handler of the stage that an item is in; each has a probe of its own.

    Args:
        job: whose stages.
        pacer: as of a `Caller`.
    """

    is_plain = False

    def __init__(self, job: Job, pacer: Pacer | None) -> None:
        super().__init__(job.handler, pacer)
        self._callers = [Caller(handler, pacer) for handler in (job.handler, *(stage.handler for stage in job.stages))]

    async def call(self, slot: Slot, job: Job, payload: Any) -> Any:
        """Call it for the item of `slot`."""
        assert slot.item is not None
        slot.waits = NO_WAITS  # those of the stage before, where this one takes no context
        return await self._callers[slot.item.stage - 1].call(slot, job, payload)

    def loop_was_blocked(self) -> None:
        """Look again at all of them."""
        for caller in self._callers:
            caller.loop_was_blocked()


def caller_of(job: Job, pacer: Pacer | None) -> Caller:
    """What calls the handlers of `job`."""
    return StagedCaller(job, pacer) if job.stages else Caller(job.handler, pacer)


def succeeding(job: Job, sink: Sink, go_on: Callable[[Item], None]) -> Callable[[Item, Outcome], None]:
    """What is to be done with an item whose attempt has succeeded.

    Args:
        job: what is done with items.
        sink: where outcomes go.
        go_on: gets an item that is to run in its next stage.
    """
    last = len(job.stages) + 1
    if last == 1:
        return sink.outcome

    def succeeded(item: Item, success: Outcome) -> None:
        if item.stage == last:
            sink.outcome(item, success)
            return
        sink.stage(item, job.stage_result(item, success))
        go_on(item.after_stage(success.result, success.duration_us))

    return succeeded
