"""Threads for sync handlers."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any

from batchq.model import Item

_here = threading.local()


def in_thread(function: Callable[..., Any], arguments: tuple[Any, ...], item: Item | None) -> Any:
    """Call `function` on behalf of `item`, so that log lines can name it."""
    _here.item = item
    return function(*arguments)


def item_of_thread() -> Item | None:
    """The item on whose behalf the calling thread runs a handler."""
    return getattr(_here, "item", None)


def run_coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    """A sync function that runs an async one to its end, in an event loop that the calling thread keeps."""

    def call(*arguments: Any) -> Any:
        loop = getattr(_here, "loop", None)
        if loop is None:
            loop = _here.loop = asyncio.new_event_loop()
        return loop.run_until_complete(function(*arguments))

    return call


class SlotThread:
    """A daemon thread that runs sync handlers for one slot.

    Not asyncio's pool: that has few threads, so that items would wait, and time out, without having run; and the
    interpreter waits for it at exit.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="batchq-slot", daemon=True).start()

    def call(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run `function` in the thread, with the caller's context variables."""
        future: asyncio.Future[Any] = self._loop.create_future()
        context = contextvars.copy_context()
        self._calls.put((lambda: context.run(function), future))
        return future

    def end(self) -> None:
        """Let the thread end when its call returns."""
        self._calls.put(None)

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            loop = getattr(_here, "loop", None)
            if loop is not None:
                loop.close()

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            try:
                value, error = function(), None
            except BaseException as raised:  # carried to the slot, where it is recorded
                value, error = None, raised
            try:
                self._loop.call_soon_threadsafe(_settle, future, value, error)
            except RuntimeError:
                return  # The loop has ended without waiting for this thread.
            del call, function, future, value, error


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    # A future refuses StopIteration, and asyncio treats some others as its own: the slot raises it instead.
    future.set_result((value, error))
