"""File descriptors of this process: whether they are used up, and the error that says so."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
from contextlib import ExitStack
from typing import Final

from batchq.errors import TooManyFiles

NONE_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE})
FOR_A_FILE: Final = 4
"""What it takes to open a batch's file: the file, its log, its index, and the file of turns."""


def soft_limit() -> int | None:
    """Descriptors that this process may have; None for no limit."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def in_use() -> int:
    """Descriptors that this process has now; the usual three where that cannot be told."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder)) - 1  # one was needed to look
        except OSError:
            continue
    return 3


def used_up(error: BaseException) -> bool:
    """Whether `error` came because this process, or the machine, can open no more files."""
    if isinstance(error, OSError):
        return error.errno in NONE_LEFT
    # SQLite has one sentence for a file that is absent, one that is forbidden, and one for which no descriptor is left.
    return isinstance(error, sqlite3.DatabaseError) and "unable to open" in str(error) and not _is_room()


def too_many_files() -> TooManyFiles:
    """The error for this process, which can open no more files."""
    return TooManyFiles(soft_limit())


def _is_room() -> bool:
    with ExitStack() as opened:
        try:
            for _ in range(FOR_A_FILE):
                opened.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            return error.errno not in NONE_LEFT
    return True
