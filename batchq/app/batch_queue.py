"""The `queue_manager` of a processor in QUEUE mode: a window on the batch that runs, and its pause button."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from batchq.app.queue_manager import QueueManager
from batchq.config import QueueConfig, QueueStatus
from batchq.model import ACTIVE, Tally


class BatchQueue(QueueManager):
    """Shows how far a batch in QUEUE mode is, and pauses it.

    While it is paused `process_batch` waits for `resume`.  The counts are those of the last look, ten times a second.

    Example:
        >>> BatchQueue().is_complete()
        True
    """

    def __init__(self, config: QueueConfig | None = None) -> None:
        super().__init__(config)
        self._tally: Tally | None = None
        self._pause: Callable[[], object] = _nothing
        self._resume: Callable[[], str | None] = _nothing
        self.has_paused = False
        """Whether the batch was paused here, so that it goes on when `resume` is called, or has been."""

    def begin(self, pause: Callable[[], object], resume: Callable[[], str | None]) -> None:
        """A batch has begun.

        Args:
            pause: pauses it.
            resume: un-pauses it, as long as something of it is still in flight; its state then.
        """
        self._pause, self._resume = pause, resume
        if self.status is QueueStatus.PAUSED:
            self.pause()  # before it began
        else:
            self.status = QueueStatus.RUNNING

    def show(self, tally: Tally) -> None:
        """Take note of how far it is."""
        self._tally = tally
        self.total_items = tally.items
        self.processed_count = tally.done

    def end(self, failed: bool) -> None:
        """The batch has ended."""
        self._pause = self._resume = _nothing
        self.has_paused = False
        self.status = QueueStatus.FAILED if failed else QueueStatus.COMPLETED

    def pause(self) -> None:
        """Begin nothing new until `resume`; what is in flight finishes."""
        super().pause()
        self.has_paused = True
        self._pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        super().resume()
        if self._resume() in ACTIVE:
            self.has_paused = False

    def get_progress(self) -> dict[str, Any]:
        """How far the batch is, as `QueueManager.get_progress` tells it."""
        progress = super().get_progress()
        if self._tally is not None:
            progress["remaining_count"] = self._tally.items - self._tally.done
        return progress

    def is_complete(self) -> bool:
        """Whether nothing of the batch is left, as before the first."""
        return super().is_complete() and (self._tally is None or self._tally.done == self._tally.items)

    async def until_resumed(self) -> None:
        """Wait for the end of the pause; at once where it is over."""
        loop = asyncio.get_running_loop()
        resumed = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(resumed.set)

        self._wakers.append(wake)
        try:
            while self.status is QueueStatus.PAUSED:
                resumed.clear()
                await resumed.wait()
        finally:
            self._wakers.remove(wake)
        self.has_paused = False


def _nothing() -> None:
    pass
