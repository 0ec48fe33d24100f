"""What items that fail need: imported beside the first items rather than before them, or at the first failure."""

from __future__ import annotations

import os
import threading
from typing import Final

from batchq.store.descriptors import used_up

KEPT: Final = 4
"""Descriptors: an import needs one or two at a time."""


class NeededByFailures:
    """Imports it once, whoever asks first.

    Descriptors are kept for it: the first failure may be that a handler has used up all others.

    Example:
        needed = NeededByFailures()
        threading.Thread(target=needed.load_aside).start()
        needed.load()
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_there = False
        self._kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(KEPT)]

    def load_aside(self) -> None:
        """Beside handlers: where these have used up all descriptors it is left to `load`."""
        with self._lock:
            self._has_imported()

    def load(self) -> None:
        """While no handler of this thread runs that could use up what is kept; raises `OSError` where it has gone."""
        with self._lock:
            if not self._has_imported():
                self._release()
                self._import()

    def _has_imported(self) -> bool:
        """Whether there were descriptors for it."""
        try:
            self._import()
        except OSError as error:
            if not used_up(error):
                raise
            return False
        return True

    def _import(self) -> None:
        if self._is_there:
            return
        import decimal  # noqa: F401 - of results that are no JSON
        import email.utils  # noqa: F401
        import uuid  # noqa: F401

        import batchq.engine.strategies  # noqa: F401
        from batchq.engine.failures import libraries
        from batchq.engine.fingerprint import patterns

        libraries()
        patterns()
        self._is_there = True
        self._release()

    def _release(self) -> None:
        while self._kept:
            os.close(self._kept.pop())
