"""A batch in the making: its folder is claimed and locked from the first byte of its input until it is made.

    claim id, take lock ─▶ input/ ─▶ the lock goes over to the child that makes batch.db ─▶ released with its end

A server that dies on the way leaves a folder with an ``input/`` and no ``batch.db`` whose lock nobody holds, which is
how the next one knows it (see `leftovers`).
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path

from batchq.errors import BatchExists, BatchqError, StorageFailed
from batchq.shards import Shard
from batchq.store.home import UNFINISHED, BatchFolder, FileLock, Home


class Draft:
    """A folder that will be that of a batch.

    Args:
        folder: claimed.
        lock: taken.

    Example:
        draft = await asyncio.to_thread(Draft.claim, home, None)
        try:
            write(draft.input / "ideas.csv")
        finally:
            await draft.drop()
    """

    def __init__(self, folder: BatchFolder, lock: FileLock) -> None:
        self.folder = folder
        self.lock = lock

    @classmethod
    def claim(cls, home: Home, batch_id: str | None, shard: str | None = None) -> Draft:
        """The folder of a new batch; raises as `Home.claim` and `BatchFolder.supervise`."""
        try:
            folder = home.claim(batch_id, Shard.of(shard).suffix)
        except BatchExists as taken:
            if not clear(BatchFolder(home.path / taken.batch_id)):
                raise
            folder = home.claim(batch_id)
        lock = folder.supervise()
        try:
            (folder.path / "input").mkdir(mode=0o700)
        except OSError as error:
            lock.release()
            raise StorageFailed(str(folder.path), error.strerror or str(error)) from error
        return cls(folder, lock)

    @property
    def batch_id(self) -> str:
        """Its id, which nobody else gets."""
        return self.folder.batch_id

    @property
    def input(self) -> Path:
        """The folder for what is uploaded."""
        return self.folder.path / "input"

    def pass_on(self) -> None:
        """Let go of the lock: the child that makes the batch has it now, and the daemon may begin at once after it."""
        self.lock.release()

    async def drop(self) -> None:
        """Leave it to whoever runs the batch; without a batch nothing of it is left."""
        self.lock.release()
        await asyncio.to_thread(self._drop)

    def _drop(self) -> None:
        if not clear(self.folder):
            with contextlib.suppress(OSError):
                self.input.rmdir()  # where nothing was uploaded


def clear(folder: BatchFolder) -> bool:
    """Delete what is left of a batch in the making that nobody makes any more; False where it is no such thing."""
    try:
        names = {path.name for path in folder.path.iterdir()}
        if "input" not in names or not names <= UNFINISHED:
            return False
        lock = folder.supervise()
    except (OSError, BatchqError):
        return False
    try:
        if folder.database.exists():
            return False
        shutil.rmtree(folder.path, ignore_errors=True)
        return True
    finally:
        lock.release()


def leftovers(home: Home) -> list[BatchFolder]:
    """Folders that `clear` may have to do with."""
    try:
        inputs = sorted(home.path.glob("*/input"))
    except OSError:
        return []
    folders = [BatchFolder(path.parent) for path in inputs]
    return [folder for folder in folders if not folder.database.exists()]
