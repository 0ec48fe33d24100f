"""A file that is there as a whole or not at all: written beside its place, and moved there at the end."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from batchq.errors import UsageError


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A stream whose bytes become the file at `path` when the block ends well; else that file stays as it was.

    What is no regular file (a pipe, ``/dev/stdout``) is written as it is.  A link is followed, the mode of a file that
    was there is kept.

    Raises:
        UsageError: nothing can be written there.
        OSError: writing failed later, for want of space, say.

    Example:
        with replaced(Path("report.html")) as stream:
            stream.write(page)
    """
    mode = _mode_of(path)
    if mode is not None and not stat.S_ISREG(mode):
        with _opened(path) as stream:
            yield stream
        return
    place = Path(os.path.realpath(path))
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{place.name[:100]}.", suffix=".part", dir=place.parent)
    except OSError as error:
        raise _refused(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fchmod(stream.fileno(), _usual_mode() if mode is None else stat.S_IMODE(mode))
            os.fsync(stream.fileno())
        os.replace(name, place)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _mode_of(path: Path) -> int | None:
    """Kind and mode of what is there; None of nothing."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(path, error) from error
    if stat.S_ISDIR(mode):
        raise UsageError(f"cannot write {path}: it is a folder", "Name a file in it.")
    return mode


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "wb")
    except OSError as error:
        raise _refused(path, error) from error


def _usual_mode() -> int:
    """What a new file gets; the umask can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def _refused(path: Path, error: OSError) -> UsageError:
    if isinstance(error, FileNotFoundError):
        return UsageError(f"cannot write {path}: there is no folder {path.parent}", "Make the folder first.")
    return UsageError(f"cannot write {path}: {error.strerror or error}", "Name another file.")
