"""The server's own log: begun anew at a size, and opened again when somebody else has moved it away."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from batchq.errors import HomeError

KEPT: Final = 4
"""Older logs: server.log.1 is the latest of them."""


class ServerLog(RotatingFileHandler):
    """Writes lines to the log; those for which the disk has no room are dropped.

    Args:
        path: the log.
        most: bytes at which it is begun anew.
    """

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(path, maxBytes=most, backupCount=KEPT, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def reopen(self) -> None:
        """Go on in a new file, where somebody has moved the old one."""
        self.acquire()
        try:
            if self.stream is not None:
                self.stream.close()
                self.stream = None  # the next line opens it
        finally:
            self.release()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Drop a line that cannot be written."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


@contextmanager
def logging_to(path: Path, most: int) -> Iterator[ServerLog]:
    """All that this process logs goes there during the block: batchq's INFO, the warnings of others.

    Raises:
        HomeError: the log cannot be written.
    """
    try:
        handler = ServerLog(path, most)
    except OSError as error:
        raise HomeError.because_of(str(path), error) from error
    root, own = logging.getLogger(), logging.getLogger("batchq")
    root.addHandler(handler)
    before = own.level
    own.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        own.setLevel(before)
        root.removeHandler(handler)
        handler.close()
