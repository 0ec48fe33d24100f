"""Whether batches can live on a file system: a lock and a batch's file are tried, with a second process.

tries(folder)                            python -m batchq.store.trial FOLDER
  takes the lock, makes a batch.db  ──▶  is the lock refused to it? does it read what is in the log?
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from batchq.errors import StoreError
from batchq.store.connection import DatabaseError, create, is_batch_file
from batchq.store.home import BatchFolder

CHILD_SECONDS: Final = 60.0
"""A Python that is not up after that is a fault of its own."""


class Seen(NamedTuple):
    """What a second process found.

    Attributes:
        locked: the lock that this process holds was refused to it.
        readable: it could read what this process had written into the log.
        reason: why there is nothing to read, where that is known.
    """

    locked: bool
    readable: bool
    reason: str = ""


def tries(folder: Path) -> Seen:
    """Lock and write in an empty `folder`, and let a second process look.

    Raises:
        OSError: the folder cannot be written, or locks are not known there.

    Example:
        with tempfile.TemporaryDirectory(dir=home) as folder:
            assert tries(Path(folder)).locked
    """
    batch = BatchFolder(folder)
    lock = batch.lock
    if not lock.acquire():
        return Seen(False, False, "a lock that nobody holds was refused")
    try:
        with closing(create(batch.database, "normal")):
            return look(folder)
    except (StoreError, DatabaseError) as error:
        return look(folder)._replace(readable=False, reason=str(error))
    finally:
        lock.release()


def look(folder: Path) -> Seen:
    """What a second process finds in `folder` now."""
    command = [sys.executable, "-m", "batchq.store.trial", str(folder)]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_SECONDS)
    except subprocess.TimeoutExpired:
        return Seen(False, False, "a second process did not answer")
    if said.returncode:
        lines = said.stderr.strip().splitlines() or [f"exit code {said.returncode}"]
        return Seen(False, False, f"a second process failed: {lines[-1]}")
    locked, readable = json.loads(said.stdout)
    return Seen(locked, readable)


def main(folder: Path) -> None:
    """The second process: print what it finds."""
    batch = BatchFolder(folder)
    print(json.dumps([batch.lock.is_held(), is_batch_file(batch.database)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
