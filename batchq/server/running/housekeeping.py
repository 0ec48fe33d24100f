"""Deletes what a server has stored of uploads as soon as nobody needs it any more."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from batchq.app.status import BatchStatus
from batchq.errors import BatchqError
from batchq.model import COMPLETED, ENDED
from batchq.server.running.catalog import Entry
from batchq.server.running.drafts import clear, leftovers
from batchq.server.settings import ServerSettings
from batchq.store.home import BatchFolder

log = logging.getLogger(__name__)


class Housekeeping:
    """What the daemon has done at each of its looks.

    Args:
        settings: of the server.

    Example:
        housekeeping = Housekeeping(settings)
        housekeeping.tick(catalog.entries())
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._home = settings.home
        self._own = settings.folder
        self._began = time.time()
        self._seen: dict[str, int] = {}
        self._has_cleared = False

    def tick(self, entries: Iterable[Entry]) -> None:
        """Delete what can go, of batches that have changed since the last time; first of all, what another server has
        left of batches in the making."""
        if not self._has_cleared:
            self._has_cleared = True
            self._clear()
        seen = {}
        for entry in entries:
            batch_id = entry.status.batch_id
            seen[batch_id] = entry.version
            is_due = self._seen.get(batch_id) != entry.version and is_read(entry.status)
            if is_due and not self._delete_input(batch_id, Path(entry.status.spec.source.path)):
                del seen[batch_id]
        self._seen = seen

    def _clear(self) -> None:
        for folder in leftovers(self._home):
            if clear(folder):
                log.info("%s: was not made to its end; its upload is deleted", folder.batch_id)
        for path in self._own.glob("preview-*"):
            if path.stat().st_mtime < self._began:
                shutil.rmtree(path, ignore_errors=True)

    def _delete_input(self, batch_id: str, read: Path) -> bool:
        """Whether it need not be looked at again."""
        folder = BatchFolder(self._home.path / batch_id)
        stored = folder.path / "input"
        if read.parent != stored or not stored.is_dir():
            return True
        try:
            lock = folder.supervise()  # somebody may just begin to retry it
        except BatchqError:
            return False
        try:
            shutil.rmtree(stored, ignore_errors=True)
            log.info("%s: its input is stored to its end; the uploaded file is deleted", batch_id)
        finally:
            lock.release()
        return True


def is_read(status: BatchStatus) -> bool:
    """Whether nobody will read the input of a batch any more: all of it is stored, or what is not never will be."""
    if status.state not in ENDED or status.holder is not None:
        return False
    return status.state != COMPLETED or (status.input_done and status.spec.source.limit is None)
