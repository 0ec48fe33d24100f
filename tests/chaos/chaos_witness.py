"""What really happened in a schedule, seen from outside batchq: the handlers' ledgers, and outcomes as they appear."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from batchq.errors import StoreError
from batchq.store.connection import DatabaseError, open_reader

LOOK_SECONDS: Final = 0.04
SEEN: Final = "SELECT n, seq FROM outcomes WHERE n > ? ORDER BY n"


LOG_HEADER: Final = 32
FRAME_HEADER: Final = 24


class Attempt(NamedTuple):
    """A line of a ledger: ``start`` or ``end``, which item, and when on the machine's clock."""

    word: str
    n: int
    number: int
    seconds: float


def attempts(folder: Path) -> Iterator[Attempt]:
    """All that the handlers noted."""
    for path in folder.glob("*.ledger"):
        for line in path.read_text().splitlines():
            word, n, number, seconds = line.split()
            yield Attempt(word, int(n), int(number), float(seconds))


def starts(folder: Path) -> int:
    """Attempts that have begun so far."""
    return sum(path.read_bytes().count(b"start") for path in folder.glob("*.ledger"))


def used_log(database: Path) -> int:
    """Bytes of the write-ahead log up to the last commit that is visible, whatever the size of its file.

    The shared index names the last frame; a commit moves it after its log was synced, where it is to be.
    """
    # By another process: whoever closes a file drops all locks that his process has on it, SQLite's own included.
    read = [sys.executable, "-c", "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read(64))"]
    index = subprocess.run([*read, f"{database}-shm"], capture_output=True, check=True).stdout
    page, frames = struct.unpack_from("=HI", index, 14)
    return LOG_HEADER + int(frames) * (FRAME_HEADER + int(page))


class Observer:
    """Follows a batch from a thread: by what time, at the latest, each outcome was in the file.

    Args:
        database: the batch's file, which need not exist yet.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._over = threading.Event()
        self._last = 0
        self.seen: dict[int, float] = {}
        """By seq, when its outcome had been read by another process than the one that wrote it."""
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look a last time, and end."""
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        if not self._database.exists():
            return
        try:
            with closing(open_reader(self._database)) as connection:
                rows = connection.execute(SEEN, (self._last,)).fetchall()
        except (StoreError, DatabaseError):
            return  # the next look tells
        now = time.monotonic()
        for number, seq in rows:
            self._last = number
            self.seen.setdefault(seq, now)
