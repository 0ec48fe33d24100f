"""Kills workers that hang, from a thread of its own.

The supervisor itself may wait for the batch's file, and a worker that hangs in the middle of a transaction has it: who
waits for it cannot end it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from batchq.engine.board import Board
from batchq.engine.hang import HANG_SECONDS, Beats
from batchq.engine.local import WorkerHandle

LOOK_SECONDS: Final = 0.1
ABANDONED: Final = 0.0
"""A worker that was killed because its supervisor was told twice to stop, not because it hung."""

log = logging.getLogger(__name__)


class Watchdog:
    """Looks at the beat of each worker.

    Args:
        board: where the workers' loops beat.
        living: the workers that live, by their places.
        timeout: seconds of one attempt, just now; None for no limit.
        gives_up: whether everything is to be abandoned.
    """

    def __init__(
        self,
        board: Board,
        living: Callable[[], Sequence[tuple[int, WorkerHandle]]],
        timeout: Callable[[], float | None],
        gives_up: Callable[[], bool],
    ) -> None:
        self._board = board
        self._living = living
        self._timeout = timeout
        self._gives_up = gives_up
        self._beats = Beats()
        self._over = threading.Event()
        self._killed: dict[int, float] = {}
        threading.Thread(target=self._watch, name="batchq-watchdog", daemon=True).start()

    def close(self) -> None:
        """Kill nobody any more."""
        self._over.set()

    def verdict(self, worker: WorkerHandle) -> float | None:
        """Of a worker that is dead: the seconds for which it hung, or `ABANDONED`; None where it died by itself."""
        return self._killed.pop(worker.spec.worker, None)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self._beats.look()
            for index, worker in self._living():
                still = self._seconds_to_kill(index, worker)
                if still is not None:
                    self._killed.setdefault(worker.spec.worker, still)
                    worker.kill()

    def _seconds_to_kill(self, index: int, worker: WorkerHandle) -> float | None:
        if worker.is_done() or self._over.is_set():
            return None
        if self._gives_up():
            return ABANDONED
        still = self._beats.stands_still(index, self._board.place(index).beat)
        timeout = self._timeout()
        return still if timeout and still > timeout + HANG_SECONDS else None
