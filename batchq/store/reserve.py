"""Room on the disk: a file that can be given up when there is none left, and the words for what is missing.

full ──▶ a worker gives up most of it: what is in the buffers can be written
     ──▶ the supervisor gives up the rest: why the batch stops can be written
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from batchq.errors import DiskFull, FileDamaged, OutputFailed, StorageFailed, SystemRefused
from batchq.store.connection import DatabaseError
from batchq.store.descriptors import too_many_files, used_up

RESERVE_BYTES: Final = 8 * 1024 * 1024
"""As much as the buffers of all workers hold together."""
SHARE: Final = 8
"""On a small disk the reserve is no more than an eighth of it."""
LAST_BYTES: Final = 128 * 1024
"""Kept back for the supervisor's own words, which are a few pages."""
PROBE_BYTES: Final = 64 * 1024
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
LOST: Final = frozenset({errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ESTALE})
"""What a disk says that dies, that was taken away, or that may no longer be written."""
DAMAGED: Final = ("malformed", "not a database")
MB: Final = 1_000_000


def make_reserve(folder: Path) -> None:
    """Allocate the reserve of the batch in `folder`, where it is not there in full.

    Raises:
        DiskFull: there is no room for it, or hardly any beside it.
        OSError: it cannot be made for another reason.
    """
    size = _size(folder)
    limit = _file_limit()
    if limit is not None and limit <= size:
        return  # what is full then is a file, not the disk, and to give up another one is of no help
    path = folder / "reserve"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _allocate(descriptor, size)
        finally:
            os.close(descriptor)
        if free_bytes(folder) < size // 4:
            raise OSError(errno.ENOSPC, "hardly any room beside the reserve")
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno in NO_ROOM:
            raise no_room(folder) from error
        raise


def spend_reserve(folder: Path) -> None:
    """Give up the reserve, but for its last part, so that outcomes can be written."""
    try:
        if (folder / "reserve").stat().st_size > LAST_BYTES:
            os.truncate(folder / "reserve", LAST_BYTES)
    except OSError:
        return  # another worker was faster, or there is none


def leave_to_outcomes(folder: Path) -> None:
    """Refuse to write anything new once the reserve is given up: the room that this has made is for outcomes.

    Raises:
        DiskFull: it is given up.
    """
    with suppress(FileNotFoundError):  # there is none where a file may not become that large
        if (folder / "reserve").stat().st_size == LAST_BYTES:
            raise no_room(folder)


def drop_reserve(folder: Path) -> None:
    """Give up all of the reserve: the batch has ended, or its supervisor needs the room."""
    (folder / "reserve").unlink(missing_ok=True)


def storage_error(database: Path, error: Exception) -> StorageFailed | SystemRefused:
    """What an error of SQLite or the system means for the user: `DiskFull` where room is what is missing."""
    if isinstance(error, (SystemRefused, OutputFailed)):
        return error
    if used_up(error):
        return too_many_files()
    if is_full(database.parent, error):
        return no_room(database.parent)
    if any(word in str(error) for word in DAMAGED):
        return FileDamaged(str(database), database.parent.name, str(error))
    if isinstance(error, OSError) and error.errno not in LOST and not _is_within(database.parent, error):
        return SystemRefused(str(error))
    return StorageFailed(str(database), str(error))


@contextmanager
def telling(database: Path) -> Iterator[None]:
    """Raise what SQLite says in the block about a write to `database` as `storage_error`."""
    try:
        yield
    except (DatabaseError, OSError) as error:
        raise storage_error(database, error) from error


def is_full(folder: Path, error: BaseException) -> bool:
    """Whether `error`, raised by a write to the batch in `folder`, says that there is no room."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    if not isinstance(error, DatabaseError):
        return isinstance(error, DiskFull)
    # SQLite knows one way of being full: a quota, a limit of the file's size, no room for the index of its log are
    # all an I/O error, as is a disk that dies.
    text = str(error)
    return "disk is full" in text or ("disk I/O error" in text and _cannot_grow(folder))


def no_room(folder: Path) -> DiskFull:
    """The error for a batch in `folder` that finds no room."""
    limit = _file_limit()
    free = free_bytes(folder)
    # The log may have been emptied meanwhile: where the disk has room, it was the limit all the same.
    if limit is not None and (_largest(folder) + MB > limit or free > RESERVE_BYTES):
        return DiskFull(str(folder.parent), folder.name, 0, limit)
    return DiskFull(str(folder.parent), folder.name, free)


def free_bytes(folder: Path) -> int:
    """Room on the disk of `folder` for this user, bytes."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _is_within(folder: Path, error: OSError) -> bool:
    """Whether `error` is about a file of the batch, and not about starting a process, say."""
    return isinstance(error.filename, (str, os.PathLike)) and folder in Path(error.filename).parents


def _size(folder: Path) -> int:
    disk = os.statvfs(folder)
    total = disk.f_blocks * disk.f_frsize
    return min(RESERVE_BYTES, total // SHARE) if total else RESERVE_BYTES


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:
                raise
        else:
            return
    # Random: a file system that compresses would give zeros no room.
    for start in range(0, size, PROBE_BYTES):
        os.pwrite(descriptor, os.urandom(min(PROBE_BYTES, size - start)), start)
    os.fsync(descriptor)


def _cannot_grow(folder: Path) -> bool:
    limit = _file_limit()
    if limit is not None and _largest(folder) + MB > limit:
        return True
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            _allocate(probe.fileno(), PROBE_BYTES)
    except OSError as error:
        return error.errno in NO_ROOM
    return False


def _largest(folder: Path) -> int:
    return max((path.stat().st_size for path in folder.glob("batch.db*")), default=0)


def _file_limit() -> int | None:
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit
