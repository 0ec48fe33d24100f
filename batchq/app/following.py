"""Following a batch that another process runs, until it has ended or nobody runs it any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from batchq.app.progress import Display
from batchq.app.serving import server_lock
from batchq.app.status import BatchStatus, status_of
from batchq.model import COMPLETED
from batchq.store.home import BatchFolder, Home
from batchq.store.reading import reading

POLL_SECONDS: Final = 0.1


def follow(home: Home, batch_id: str, display: Display, sleep: Callable[[float], None] = time.sleep) -> BatchStatus:
    """Show how far a batch is until no process runs it, nor a server will as soon as it can; how it stands then.

    Args:
        home: where it is.
        batch_id: the batch.
        display: where to show it.
        sleep: waits so many seconds between two looks.
    """
    folder = home.find(batch_id)
    while (status := status_of(folder)).holder is not None or (status.is_wanted and server_lock(home).is_held()):
        with reading(folder.database) as reader:
            display.show(reader.progress())
        sleep(POLL_SECONDS)
    with reading(folder.database) as reader:
        display.show(reader.progress())
    return status


def wait_for_state(folder: BatchFolder, left: frozenset[str], sleep: Callable[[float], None] = time.sleep) -> str:
    """Wait until a batch has left these states; its state then."""
    while (state := status_of(folder).state) in left:
        sleep(POLL_SECONDS)
    return state


def exit_code(status: BatchStatus) -> int:
    """What a command exits with that has followed a batch: 0, 1 with failures, 3 where it is not finished."""
    if status.state != COMPLETED:
        return status.exit_code or 3
    return 1 if status.tally.failed else 0
