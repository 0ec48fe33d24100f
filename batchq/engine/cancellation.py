"""Cancellations of a slot that were meant for an item: told apart, and taken back."""

from __future__ import annotations

import asyncio
import contextlib
import sys


def is_cancelled(task: asyncio.Task[None] | None) -> bool:
    """Whether a cancellation was asked for and not answered: Python 3.10 knows that only of one still to be thrown."""
    if sys.version_info >= (3, 11):
        return task is not None and task.cancelling() > 0
    return getattr(task, "_must_cancel", False)


async def forget_cancellation(task: asyncio.Task[None] | None) -> None:
    """Take back a cancellation of the calling slot that was for an item which has ended.

    A handler may cancel its own task and return; the next item of the slot must not be hit by it.
    """
    if getattr(task, "_must_cancel", False):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
    uncancel = getattr(task, "uncancel", None)
    while uncancel is not None and uncancel() > 0:
        pass


def is_own_exit(error: BaseException, task: asyncio.Task[None] | None) -> bool:
    """Whether a GeneratorExit is the handler's own, and does not come from the end of the event loop."""
    return isinstance(error, GeneratorExit) and asyncio.current_task() is task


def message_of(error: BaseException) -> str:
    """What a handler has said as it was cancelled; empty where it has said nothing.

    Example:
        >>> message_of(asyncio.CancelledError("waiting for the printer"))
        'waiting for the printer'
    """
    said = error.args[0] if isinstance(error, asyncio.CancelledError) and error.args else ""
    return said if isinstance(said, str) else ""
