"""Notices that the supervisor has died, from the first moment of a worker process on."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from typing import Final

ORPHAN_SECONDS: Final = 5.0
"""What is in flight has so long to finish after the supervisor has died."""


class Parent:
    """The supervisor, seen from a worker.

    Args:
        pipe: read end of a pipe that the supervisor alone can write to; it closes when the supervisor dies.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._tell: Callable[[], None] | None = None
        self._abandon: Callable[[], None] = lambda: None
        # A thread of its own: a loop that is blocked must not keep a dead supervisor's worker alive.
        threading.Thread(target=self._watch, name="batchq-watch", daemon=True).start()

    def when_gone(self, tell: Callable[[], None]) -> None:
        """Call `tell`, from a thread, when the supervisor is gone; until this is said, the process simply ends then."""
        self._tell = tell

    def before_end(self, abandon: Callable[[], None]) -> None:
        """Call `abandon`, from a thread, where this process has to be ended in the middle of something."""
        self._abandon = abandon

    def _watch(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            self._pipe.recv_bytes()
        # Work that was never begun may lie in a queue of the executor, on which this process would wait for ever.
        if self._tell is not None:
            self._tell()
            time.sleep(ORPHAN_SECONDS)
        self._abandon()
        os._exit(1)
