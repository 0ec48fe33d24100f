"""The batches that lie in a home, and whether the files of one have changed since they were read.

Made for thousands of them: the home is listed when something has come or gone; a look at one is two calls of `stat`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar

from batchq.app.watching import Watch
from batchq.errors import BatchqError
from batchq.store.home import BATCH_ID, BatchFolder, Home

LIST_SECONDS: Final = 5.0
"""The home is listed that often although it seems to be as it was."""
GRAIN_SECONDS: Final = 0.1
"""Times of files are no finer than the kernel's ticks: what was written so short a time ago may be written again."""

T = TypeVar("T")


class Batch(Generic[T]):
    """What is known of one batch.

    Attributes:
        folder: the batch.
        lock: held by the thread that reads it.
        value: what was read; None before, and where it cannot be read.
        error: why it cannot be read.
        watch: of one that runs.
        read_at: when it was begun to be read, monotonic seconds; 0 before the first time.
        made_at: of its folder, seconds since 1970.
        is_settled: nobody runs it, so that it stays as it is while its files do.
        is_over: it has ended, too.
    """

    def __init__(self, folder: BatchFolder) -> None:
        self.folder = folder
        self.batch_id = folder.batch_id
        self.lock = threading.Lock()
        self.value: T | None = None
        self.error: BatchqError | None = None
        self.watch: Watch | None = None
        self.read_at = 0.0
        self.is_settled = False
        self.is_over = False
        self._paths = (str(folder.database), f"{folder.database}-wal")
        self._files: tuple[int, ...] = ()
        try:
            self.made_at = os.stat(folder.path).st_mtime
        except OSError:
            self.made_at = 0.0

    @property
    def is_read(self) -> bool:
        """Whether somebody has tried to."""
        return self.read_at > 0

    def begin(self) -> None:
        """It is read now."""
        self.read_at = time.monotonic()
        self._files = self._look()

    def has_changed(self) -> bool:
        """Whether its files are others than when it was read, or cannot be told to be the same."""
        return self._look() != self._files

    def is_quiet(self) -> bool:
        """Whether its files have stood still for long enough that their times tell of every change."""
        newest = max(self._files[1::3], default=0) / 1e9
        return not self.has_changed() and abs(time.time() - newest) > GRAIN_SECONDS

    def _look(self) -> tuple[int, ...]:
        found: tuple[int, ...] = ()
        for path in self._paths:
            try:
                now = os.stat(path)
            except OSError:
                continue
            if now.st_size:  # whoever reads makes an empty log, and takes it away
                found += (now.st_ino, now.st_mtime_ns, now.st_size)
        return found


class Shelf(Generic[T]):
    """The batches of a home, by their ids; safe to ask from any thread.

    Args:
        home: the folder of batches.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._batches: dict[str, Batch[T]] = {}
        self._lively: dict[str, Batch[T]] = {}
        self._moving = threading.Lock()
        self._unmade: set[str] = set()
        self._changes = 0
        self._sorted: tuple[list[Batch[T]] | None, int] = (None, 0)
        self._listed_at = 0.0
        self._listed_mtime = -1

    def __iter__(self) -> Iterator[Batch[T]]:
        return iter(list(self._batches.values()))

    def get(self, batch_id: str) -> Batch[T] | None:
        """What is known of a batch; None of one that nobody has seen yet."""
        return self._batches.get(batch_id)

    def add(self, folder: BatchFolder) -> Batch[T]:
        """The batch in that folder, from now on."""
        batch = self._batches.setdefault(folder.batch_id, Batch(folder))
        self._lively[batch.batch_id] = batch
        return batch

    def lively(self) -> list[Batch[T]]:
        """All but those that `moved` has told to be over."""
        return list(self._lively.values())

    def moved(self) -> list[Batch[T]]:
        """The same; of those that are over each only once, so that whoever asks misses no end."""
        with self._moving:
            found = self.lively()
            for batch in found:
                if batch.is_over:
                    del self._lively[batch.batch_id]
        return found

    def some_over(self, share: int, number: int) -> list[Batch[T]]:
        """Of those that are over one in so many: with each next number others."""
        return [batch for batch in list(self._batches.values())[number % share :: share] if batch.is_over]

    def put(self, batch: Batch[T], value: T, is_settled: bool, has_ended: bool) -> None:
        """Keep what was read of a batch."""
        batch.is_settled = is_settled and batch.is_quiet()
        batch.is_over = batch.is_settled and has_ended
        self._keep(batch, value, None)

    def fail(self, batch: Batch[T], error: BatchqError) -> None:
        """Keep why a batch cannot be read."""
        batch.is_settled = batch.is_over = False
        self._keep(batch, None, error)

    def _keep(self, batch: Batch[T], value: T | None, error: BatchqError | None) -> None:
        is_other = (value is None) != (batch.value is None)
        batch.value, batch.error = value, error
        if is_other:
            self._changed()
        with self._moving:
            if not batch.is_over and self._batches.get(batch.batch_id) is batch:
                self._lively[batch.batch_id] = batch

    def forget(self, batch_id: str) -> None:
        """It is no longer there."""
        self._batches.pop(batch_id, None)
        with self._moving:
            self._lively.pop(batch_id, None)
        self._listed_mtime = -1
        self._changed()

    def sorted(self, key: Callable[[Batch[T]], Any]) -> list[Batch[T]]:
        """All that can be read, in an order that does not change as long as they are the same."""
        kept, count = self._sorted
        if kept is None:
            kept = sorted((batch for batch in self if batch.value is not None), key=key)
            if count == self._changes:
                self._sorted = (kept, count)
        return kept

    def look(self) -> None:
        """Take note of what has come and gone."""
        try:
            mtime = os.stat(self._home.path).st_mtime_ns
        except OSError:
            mtime = 0
        now = time.monotonic()
        is_quiet = abs(time.time() - mtime / 1e9) > GRAIN_SECONDS
        if mtime != self._listed_mtime or now - self._listed_at >= LIST_SECONDS:
            self._listed_at, self._listed_mtime = now, mtime if is_quiet else -1
            self._list()
        for batch_id in list(self._unmade):
            folder = BatchFolder(self._home.path / batch_id)
            if folder.database.is_file() or folder.has_lost_its_file:
                self._unmade.discard(batch_id)
                self.add(folder)

    def _changed(self) -> None:
        self._changes += 1
        self._sorted = (None, self._changes)

    def _list(self) -> None:
        try:
            with os.scandir(self._home.path) as entries:
                names = {entry.name for entry in entries if BATCH_ID.fullmatch(entry.name) and entry.is_dir()}
        except (FileNotFoundError, NotADirectoryError):
            names = set()
        for batch_id in self._batches.keys() - names:
            self.forget(batch_id)
        self._unmade = names - self._batches.keys()
