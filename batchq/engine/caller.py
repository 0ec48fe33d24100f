"""Calls a handler for a slot: in the event loop, or in the slot's thread."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import Any

from batchq.engine.blocking import BlockingProbe
from batchq.engine.job import Job
from batchq.engine.pacing import Pacer
from batchq.engine.slot import Slot, Waits
from batchq.engine.threads import SlotThread, in_thread, run_coroutine
from batchq.handlers import Handler


class Caller:
    """Calls one handler.

    Args:
        handler: the user's function.
        pacer: where its attempts pay; None where nothing is counted.
    """

    def __init__(self, handler: Handler, pacer: Pacer | None) -> None:
        self._handler = handler
        self._pacer = pacer
        self.probe = BlockingProbe(handler)

    @property
    def is_plain(self) -> bool:
        """Whether to await the handler with its payload is all that there is to do."""
        handler, probe = self._handler, self.probe
        return handler.is_async and not handler.wants_context and not probe.blocks and not probe.wanted

    async def call(self, slot: Slot, job: Job, payload: Any) -> Any:
        """Call it for the item of `slot`, and see whether an async one ever gives way to others."""
        judged = self.probe.wanted
        if not judged and (self.probe.blocks or not self._handler.is_async):
            return await self._call(slot, job, payload)
        gave_way = self.probe.begin(asyncio.get_running_loop())
        started = time.monotonic()
        failed = True
        try:
            result = await self._call(slot, job, payload)
            failed = False
            return result
        finally:
            took = time.monotonic() - started
            kept_the_loop = self.probe.end(gave_way, took, failed) if judged else not gave_way
            if kept_the_loop and job.timeout and took > job.timeout:
                slot.expired = True  # no ticker could run meanwhile

    def loop_was_blocked(self) -> None:
        """Look again at what is called here: something has blocked the event loop."""
        self.probe.again()

    async def _call(self, slot: Slot, job: Job, payload: Any) -> Any:
        handler, item = self._handler, slot.item
        arguments: tuple[Any, ...] = (payload,)
        if handler.wants_context and item:
            slot.waits = Waits()
            till = self._pacer.till(slot.waits, item) if self._pacer else None
            arguments = (payload, job.context_of(item, payload, till))
        if handler.is_async and not self.probe.blocks:
            return await handler.function(*arguments)
        if slot.thread is None:
            slot.thread = SlotThread(asyncio.get_running_loop())
        function = run_coroutine(handler.function) if handler.is_async else handler.function
        slot.in_thread = True
        result, error = await slot.thread.call(lambda: in_thread(function, arguments, item))
        slot.in_thread = False
        if error is not None:
            raise error
        return await result if inspect.isawaitable(result) else result
