"""Writing a whole file so that whoever reads it finds the old one or the new one, and never a part of either."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from batchq.errors import OutputError, OutputFailed

NEW_MODE: Final = 0o666
"""Of a new file, less the user's umask."""


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A file to write; at the end of the block it takes the place of the one at `path`, whose mode it keeps.

    Where the block raises, or nothing more can be written, the old file stays as it was.  A link keeps pointing to
    where it did; what is no regular file (``/dev/null``, a named pipe) is written as it stands.

    Args:
        path: the file.

    Raises:
        OutputError: no file can be made there.
        OutputFailed: it could not be written to its end.

    Example:
        with replaced(Path("titles.jsonl")) as file:
            file.write(b"{}\\n")
    """
    target = Path(os.path.realpath(path))
    try:
        old = target.stat()
    except FileNotFoundError:
        old = None
    except OSError as error:
        raise OutputError(str(path), error.strerror or str(error)) from error
    if old is not None and stat.S_ISDIR(old.st_mode):
        raise OutputError(str(path), "is a folder")
    if old is not None and not stat.S_ISREG(old.st_mode):
        with path.open("wb") as file:
            yield file
        return
    unfinished = target.with_name(f".batchq-{secrets.token_hex(6)}.tmp")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, NEW_MODE)
    except OSError as error:
        reason = "its folder does not exist" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise OutputError(str(path), reason) from error
    try:
        with open(descriptor, "wb") as file:
            if old is not None:
                os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(unfinished, target)
        _keep_name(target.parent)
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) not in (unfinished, target):
            raise  # about something that the block has read
        raise OutputFailed(str(path), error.strerror or str(error)) from error
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()


def _keep_name(folder: Path) -> None:
    """Let the new name survive a power cut; not every file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
