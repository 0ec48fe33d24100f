"""The processes of the WAL stress, each made of the product's own classes; `wal_stress.py` starts them.

    python stress_roles.py writer     DATABASE NOTES SEED CLAIMANT EPOCH CLAIMANTS
    python stress_roles.py reader     DATABASE NOTES SEED
    python stress_roles.py checkpoint DATABASE NOTES SEED

Each appends to NOTES, a file of its own, lines that no kill can tear:

    given SEQ     the item was handed to this writer
    back SEQ      it is about to put the item back, unrun
    commits N W   so many commits so far, the longest of them W seconds from the wish to the end
    seen N DIGEST a reader has read the outcomes up to number N; the digest chains all of them
    checkpoints N
"""

from __future__ import annotations

import hashlib
import os
import queue
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from batchq.model import Chunk, Item, Outcome
from batchq.store import clerk
from batchq.store.batch import BatchStore
from batchq.store.chunks import Claim
from batchq.store.connection import open_reader
from batchq.store.reading import BatchReader
from batchq.store.recorder import Recorder, RecorderSettings

WANTS: Final = (1, 7, 20, 60)
"""Items asked for at a time: parts of messages, whole ones, several."""
GROUPS: Final = (1, 1, 1, 8, 40)
"""Outcomes uncommitted at most: many small commits, and some large ones."""
WORK_SECONDS: Final = 0.03
"""The longest that an item takes; keeps an hour's file below a gigabyte."""
CHECKPOINT_SECONDS: Final = 0.2
"""The longest pause between two checkpoints: a thousand times as many as in production."""
PAGE: Final = 500
OUTCOMES: Final = "SELECT n, seq, run, worker, ended_ms, result FROM outcomes WHERE n > ? ORDER BY n LIMIT ?"


class Notes:
    """A file of one process, one write a line."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, *lines: str) -> None:
        """Append `lines` with a single write."""
        if lines:
            os.write(self._descriptor, "".join(f"{line}\n" for line in lines).encode())


class Writer:
    """Claims, works, records, and sometimes puts back, until the batch is closed to it."""

    def __init__(self, database: Path, notes: Notes, seed: int, claimant: str, epoch: int, claimants: int) -> None:
        self._notes = notes
        self._rng = random.Random(seed)
        self._worker = int(claimant)
        self._claims: queue.SimpleQueue[Claim] = queue.SimpleQueue()
        self._room = threading.Event()
        self._began = self._worst = 0.0
        self._commits = 0
        settings = RecorderSettings(
            database, "normal", claimant, epoch, claimants, chunk_size=20, max_uncommitted=self._rng.choice(GROUPS)
        )
        self._recorder = Recorder(settings, self._claims.put, self._room.set, _fail)
        # The points at which tests may wait or die are used here as a stop-watch.
        clerk.reach = self._measure  # type: ignore[attr-defined]

    def run(self) -> None:
        """Work until no more can be claimed; everything is committed then."""
        self._recorder.start()
        while True:
            self._recorder.want(self._rng.choice(WANTS))
            claim = self._claims.get()
            if not claim.open:
                break
            for chunk, items in claim.chunks:
                self._notes.write(*(f"given {item.seq}" for item in items))
                self._work(chunk, items)
        self._recorder.close()
        self._recorder.join()
        self._note_commits()

    def _work(self, chunk: Chunk, items: Sequence[Item]) -> None:
        stop = self._rng.randrange(2 * len(items) + 1)
        for index, item in enumerate(items):
            if index == stop:
                left = [other.seq for other in items[index:]]
                self._notes.write(*(f"back {seq}" for seq in left))
                self._recorder.put_back(chunk.message_id, left)
                return
            time.sleep(self._rng.random() * WORK_SECONDS)
            self._record(item)
        self._recorder.finish(chunk.message_id)

    def _record(self, item: Item) -> None:
        now = int(time.time() * 1000)
        self._recorder.record(Outcome(item.seq, item.run, 1, 1000, now, self._worker, item.payload, None))
        while self._recorder.full:
            self._room.wait(1.0)
            self._room.clear()

    def _measure(self, point: str) -> None:
        now = time.monotonic()
        if point == "before-commit":
            self._began = now
        elif point == "committed":
            self._commits += 1
            self._worst = max(self._worst, now - self._began)
            if self._commits % 20 == 0:
                self._note_commits()

    def _note_commits(self) -> None:
        self._notes.write(f"commits {self._commits} {self._worst:.6f}")


def _fail(error: Exception) -> None:
    sys.stderr.write(f"a writer could not write: {error!r}\n")
    os._exit(1)


def chain(database: Path, number: int, digest: bytes, upto: int | None = None) -> tuple[int, bytes]:
    """Read on behind outcome `number`, a page at a time, to `upto` or to the end; the last number, and the digest."""
    with closing(open_reader(database)) as connection:
        while rows := connection.execute(OUTCOMES, (number, PAGE)).fetchall():
            for row in rows:
                if upto is not None and row[0] > upto:
                    return number, digest
                number, digest = row[0], hashlib.blake2b(digest + repr(row).encode(), digest_size=16).digest()
    return number, digest


def read(database: Path, notes: Notes, seed: int, is_over: Callable[[], bool]) -> None:
    """What followers of a batch do: read new outcomes, progress, pages of results."""
    rng = random.Random(seed)
    number, digest = 0, b""
    while not is_over():
        number, digest = chain(database, number, digest)
        notes.write(f"seen {number} {digest.hex()}")
        with closing(BatchReader.open(database)) as reader:
            tally = reader.progress().tally
            if tally.done < number:
                raise AssertionError(f"{number} outcomes were read, and the tally then knew of {tally.done}")
        time.sleep(rng.random() * 0.1)


def checkpoint(database: Path, notes: Notes, seed: int, is_over: Callable[[], bool]) -> None:
    """What the supervisor does every 16 MB, at random and much more often."""
    rng = random.Random(seed)
    count = 0
    with closing(BatchStore(database)) as store:
        while not is_over():
            time.sleep(rng.random() * CHECKPOINT_SECONDS)
            store.checkpoint()
            count += 1
            notes.write(f"checkpoints {count}")


def main(role: str, database: str, notes: str, seed: str, *more: str) -> None:
    """One process."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: over.set())
    path, file, number = Path(database), Notes(Path(notes)), int(seed)
    if role == "writer":
        Writer(path, file, number, more[0], int(more[1]), int(more[2])).run()
    else:
        {"reader": read, "checkpoint": checkpoint}[role](path, file, number, over.is_set)


if __name__ == "__main__":
    main(*sys.argv[1:])
