"""Commands that have outlived the worker which ran them: found by what they have in their environment, and ended.

A worker's commands lead sessions of their own, so that each can be ended with all that it has started.  Killed with
SIGKILL, a worker ends none of them; whoever finds it dead does, before their items run again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Collection, Iterator
from typing import Final

KEY: Final = "BATCHQ_IDEMPOTENCY_KEY"
"""The variable by which a command is known: the batch's UUID, the item's seq, and which run of it."""
MOST_SECONDS: Final = 2.0
"""A process that lives on for so long after SIGKILL is held by the kernel, and cannot be ended."""
LOOK_SECONDS: Final = 0.01

log = logging.getLogger(__name__)


def end_commands(uuid: str, seqs: Collection[int]) -> None:
    """End the commands of these items, and all that they have started and that bears their mark.

    Not found are processes of other users, and those whose environment was emptied and that have left the command's
    process group as well.

    Args:
        uuid: of the batch.
        seqs: of items whose worker is dead.
    """
    deadline = time.monotonic() + MOST_SECONDS
    ended: set[int] = set()
    while seqs and (found := dict(_commands(uuid, seqs))):  # again: it may have been starting another one
        for pid, seq in found.items():
            if pid not in ended:
                log.warning("ending process %d, which item #%d had begun in a worker that is dead", pid, seq)
            ended.add(pid)
            _signal(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            log.warning("%d processes cannot be ended", len(found))
            return
        time.sleep(LOOK_SECONDS)


def signal_commands(uuid: str, seqs: Collection[int], number: int) -> None:
    """Send a signal to the commands of these items: to each process group of them.

    Args:
        uuid: of the batch.
        seqs: of the items.
        number: of the signal.
    """
    for pid in dict(_commands(uuid, seqs)):
        _signal(pid, number)


def _commands(uuid: str, seqs: Collection[int]) -> Iterator[tuple[int, int]]:
    """Each process of these items, with its item."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            batch, _, rest = process.environ().get(KEY, "").partition(":")
            if batch == uuid and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                seq = int(rest.partition(":")[0])
                if seq in seqs:
                    yield process.pid, seq


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        group = os.getpgid(pid)
        if group != os.getpgrp():
            os.killpg(group, number)
        os.kill(pid, number)
