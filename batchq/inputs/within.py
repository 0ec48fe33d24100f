"""Opens a file that has to lie in a folder, whatever somebody puts in its place meanwhile."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from batchq.errors import InputError, NotAllowed


def open_within(path: str, root: str, name: str) -> int:
    """A descriptor of a file that is reached from `root` without symbolic links.

    Each folder on the way is opened by its name in the one before, so that none can be replaced by a link between a
    look and the next.  (A hard link cannot be told from the file: whoever may make one may read the file.)

    Args:
        path: absolute, without ``..``.
        root: absolute.
        name: the file, for messages.

    Raises:
        NotAllowed: it is not in there, or lies behind a symbolic link.
        InputError: there is no such file, or it is none that can be read.
    """
    if not Path(path).is_relative_to(root):
        raise NotAllowed(f"{name!r} is not in {root}")
    *folders, last = Path(path).relative_to(root).parts or (".",)
    opened: list[int] = []
    try:
        opened.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY))
        for folder in folders:
            _refuse_link(folder, opened[-1], name)
            opened.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[-1]))
        _refuse_link(last, opened[-1], name)
        # Looked at before it is opened: opening a device can do something.
        _refuse_others(os.stat(last, dir_fd=opened[-1], follow_symlinks=False), name)
        found = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=opened[-1])
        try:
            _refuse_others(os.fstat(found), name)
        except InputError:
            os.close(found)
            raise
        return found
    except (OSError, ValueError) as error:  # a name with a null byte, or with half a surrogate pair
        raise InputError(name, getattr(error, "strerror", None) or "it is no name of a file") from None
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _refuse_link(part: str, folder: int, name: str) -> None:
    if stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode):
        raise NotAllowed(f"{name!r} is, or lies behind, a symbolic link")


def _refuse_others(found: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise InputError(name, "it is not a file")
