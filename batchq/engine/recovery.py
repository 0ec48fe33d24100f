"""What an earlier supervisor left behind: orphans to wait for, and the claims of the dead to take over."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Final

from batchq.engine.board import Board
from batchq.engine.quarantine import Verdict
from batchq.errors import BatchBusy
from batchq.leftovers import end_commands
from batchq.store.batch import BatchStore
from batchq.store.chunks import LANE_ALL, LANE_ALONE
from batchq.store.home import BatchFolder, FileLock

ORPHAN_SECONDS: Final = 7.0
"""Orphans leave by themselves 5 s after their supervisor has died; then they are killed."""
POLL_SECONDS: Final = 0.02
INTERRUPTIONS: Final = 3
"""An item that was in flight in so many crashes of everything is a suspect."""
HOW: Final = "killed together with its supervisor"

log = logging.getLogger(__name__)


def recover(
    folder: BatchFolder,
    store: BatchStore,
    judge: Callable[[Sequence[int], int, str], Verdict],
    note: Callable[[str], None],
) -> None:
    """Take over everything that workers of an earlier supervisor still hold.

    Args:
        folder: the batch, whose lock the caller holds.
        store: its file, in a new epoch, so that no orphan can claim any more.
        judge: what follows for suspects, from their items, their lane and how their worker died.
        note: told what there is to wait for.
    """
    _wait_for_orphans(folder, note)
    begun = _read_board(folder)
    row = store.row()
    for claimant in store.queue.claimants():
        claims = store.queue.claims_of(claimant)
        mine = begun.get(claimant)
        if mine is None:
            # No board to tell what was begun: then it may have been any of them.
            mine = [seq for _, first, last, _ in claims for seq in range(first, last + 1)]
        mine = store.without_outcome(mine)
        if row.spec.has_commands:
            end_commands(row.uuid, set(mine))
        alone = any(lane == LANE_ALONE for _, _, _, lane in claims)
        suspects = mine if alone else store.often_interrupted(mine, INTERRUPTIONS - 1)
        verdict = judge(suspects, LANE_ALONE if alone else LANE_ALL, HOW)
        store.take_over(claimant, mine, verdict.lanes, verdict.killers, verdict.failed)
        log.warning("took over what worker %s held; %d items had been begun", claimant, len(mine))
    store.close_book()


def _wait_for_orphans(folder: BatchFolder, note: Callable[[str], None]) -> None:
    locks = [FileLock(path) for path in folder.path.glob("worker-*.lock")]
    orphans = [lock for lock in locks if _is_alive(lock)]
    if orphans:
        workers = "a worker" if len(orphans) == 1 else f"{len(orphans)} workers"
        note(f"waiting for {workers} of the run before to finish")
    deadline = time.monotonic() + ORPHAN_SECONDS
    while orphans and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        orphans = [lock for lock in orphans if _is_alive(lock)]
    for lock in orphans:
        holder = lock.holder()
        if holder is not None and holder.is_alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(holder.pid, signal.SIGKILL)
            deadline = time.monotonic() + ORPHAN_SECONDS
            while holder.is_alive():
                if time.monotonic() > deadline:
                    raise BatchBusy(folder.batch_id, f"a worker of the run before cannot be ended: {holder}")
                time.sleep(POLL_SECONDS)
    for lock in locks:
        lock.path.unlink(missing_ok=True)


def _is_alive(lock: FileLock) -> bool:
    # A handler's forked child may keep a dead worker's lock: the holder must live as well.
    if not lock.is_held():
        return False
    holder = lock.holder()
    return holder is not None and holder.is_alive()


def _read_board(folder: BatchFolder) -> dict[str, list[int]]:
    """By claimant, the items that each worker had begun; empty where the board cannot be read."""
    try:
        board = Board(folder.board)
    except (OSError, ValueError):
        return {}
    return {str(place.worker): place.begun for place in board if place.worker}
