"""Which SQLite this Python has, and whether it has the fault that batchq has to work around."""

from __future__ import annotations

import sqlite3
from typing import Final

from batchq.store.connection import OLDEST_SQLITE

Version = tuple[int, int, int]

FIXED: Final[tuple[Version, ...]] = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
"""Where the fault was mended: in two older branches, and for good."""
BEGAN: Final[Version] = (3, 7, 0)
"""The first SQLite with a write-ahead log."""


def version() -> Version:
    """The version of the SQLite library in use."""
    major, minor, patch = sqlite3.sqlite_version_info[:3]
    return major, minor, patch


def is_too_old(version: Version) -> bool:
    """Whether batchq cannot work with that version at all."""
    return version < OLDEST_SQLITE


def has_reset_fault(version: Version) -> bool:
    """Whether a commit that resets the write-ahead log, beside a checkpoint, can damage the file.

    By the version alone: a distribution may have mended it without changing the number.

    Example:
        >>> has_reset_fault((3, 40, 1)), has_reset_fault((3, 50, 7)), has_reset_fault((3, 51, 0))
        (True, False, True)
    """
    if version < BEGAN or version >= FIXED[-1]:
        return False
    return not any(version[:2] == fixed[:2] and version >= fixed for fixed in FIXED)
