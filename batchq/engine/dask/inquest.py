"""What has become of a guest that answers no more: asked of its machine, in another process there.

    agent ── ask ──▶ nanny of the Dask worker, or another one on that machine ── inquest(marks) ──▶ process, board file

A guest notes in a file what it has begun.  Whether that is to blame for anything depends on how its process has ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final, NamedTuple

from batchq.engine.board import Board, Place
from batchq.leftovers import end_commands
from batchq.store.home import Holder

DIED: Final = "died"
"""Its process has died by itself, and what had begun is suspect."""
LEFT: Final = "left"
"""Its process was ended in order, as by whoever runs the cluster: nothing is to blame."""
LIVES: Final = "lives"
"""Its process lives, or did so until now: the way to it was cut, or it was stopped."""
HANGS: Final = "hangs"
"""So it does, and nothing turns in it: an item holds Python's lock."""

LOOK_SECONDS: Final = 1.0
"""A loop that has not turned in that time, of the ten turns that it makes, hangs."""
END_SECONDS: Final = 5.0


class Marks(NamedTuple):
    """What tells a guest from others, also after its end.

    Attributes:
        host: the process in which it is.
        board: the file in which it notes what it has begun.
        uuid: of a batch whose items are commands, which may outlive the process; None of others.
    """

    host: Holder
    board: str
    uuid: str | None


class Found(NamedTuple):
    """What an inquest has found.

    Attributes:
        state: `DIED`, `LEFT`, `LIVES` or `HANGS`.
        begun: what had begun and not ended.
        current: of these the one that keeps the loop; 0 where nobody knows.
    """

    state: str
    begun: list[int]
    current: int = 0


def inquest(marks: Marks, spare: bool) -> Found:
    """What has become of a guest; its process has ended afterwards, unless it is to be spared.

    Args:
        marks: of that guest.
        spare: leave a process alone that lives.
    """
    place = _place(marks)
    if not marks.host.is_alive():
        state = LEFT if place is None or place.leaving else DIED  # without a board it had left, with everything told
    else:
        state = HANGS if _hangs(marks, place) else LIVES
    if not spare:
        _end(marks)
    found = Found(state, place.begun, place.current) if place is not None else Found(state, [])
    if not spare:
        if marks.uuid is not None:
            end_commands(marks.uuid, found.begun)
        Path(marks.board).unlink(missing_ok=True)
    return found


def _place(marks: Marks) -> Place | None:
    try:
        return Board(Path(marks.board)).place(0)
    except (OSError, ValueError):
        return None


def _hangs(marks: Marks, place: Place | None) -> bool:
    import psutil

    if place is None or not place.beat:
        return False
    beat = place.beat
    time.sleep(LOOK_SECONDS)
    try:
        return place.beat == beat and psutil.Process(marks.host.pid).status() != psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def _end(marks: Marks) -> None:
    deadline = time.monotonic() + END_SECONDS
    while marks.host.is_alive() and time.monotonic() < deadline:
        with contextlib.suppress(ProcessLookupError):
            os.kill(marks.host.pid, signal.SIGKILL)
        time.sleep(0.05)
