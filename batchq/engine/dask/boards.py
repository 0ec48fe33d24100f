"""The file in which a guest notes what it has begun: it outlives the guest's process, for an inquest, and no longer.

Nobody asks where the supervisor or the scheduler is gone, too, and so nobody deletes it: the next guest on that machine
does.  Whose process lives is told by a lock, which the kernel takes back, and not by the number of a process, which is
another one in each container; how long it has been dead by the time of the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from pathlib import Path
from typing import Final

TOUCH_SECONDS: Final = 60.0
STALE_SECONDS: Final = 3600.0
"""After its process has died a file is there for so long: whoever wants to know asks within minutes."""
_BEGIN: Final = "batchq-"
_END: Final = ".board"


class BoardFile:
    """The file of one guest, in the folder of temporary files.

    Args:
        name: what tells it from those of others.

    Example:
        file = BoardFile("5b1c-3")
        board = Board(file.path, 2, slots)
        file.hold()
    """

    def __init__(self, name: str) -> None:
        self.path = Path(tempfile.gettempdir(), f"{_BEGIN}{name}{_END}")
        self._held: int | None = None
        self._touched = time.monotonic()

    def hold(self) -> None:
        """It is there, and in use until this process ends."""
        self._held = os.open(self.path, os.O_RDONLY)
        with contextlib.suppress(OSError):  # a file system without locks: there the time of the file has to do
            fcntl.flock(self._held, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def touch(self) -> None:
        """Now and then: it is still in use. What is written to mapped memory does not show in the time of a file."""
        if self._held is not None and time.monotonic() - self._touched >= TOUCH_SECONDS:
            self._touched = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(self._held)

    def remove(self) -> None:
        """Nobody needs it any more."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """The guest has left."""
        self.remove()
        if self._held is not None:
            os.close(self._held)
            self._held = None


def sweep() -> None:
    """Delete the files of guests whose processes have died long ago."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as found:
        for entry in found:
            if entry.name.startswith(_BEGIN) and entry.name.endswith(_END):
                with contextlib.suppress(OSError):  # somebody else's, or gone meanwhile
                    _sweep(entry.path)


def _sweep(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        about = os.fstat(descriptor)
        if about.st_uid == os.geteuid() and time.time() - about.st_mtime > STALE_SECONDS:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    finally:
        os.close(descriptor)
