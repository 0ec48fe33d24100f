"""A process that claims chunks, notes each item that it was given, and records an outcome for it.

python claimant.py DATABASE CLAIMANT LEDGER [LIMIT GATE]

When it was given LIMIT items it stops, with what it has claimed, until GATE exists.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from batchq.model import Outcome
from batchq.store.chunks import ChunkQueue
from batchq.store.connection import open_writer, transaction
from batchq.store.outcomes import OutcomeWriter

WANT = 7
"""No multiple of the messages' two items, so that every claim shortens one."""


def main(database: str, claimant: str, ledger: str, limit: str = "inf", gate: str = "") -> None:
    connection = open_writer(Path(database))
    queue = ChunkQueue(connection, claimant, epoch=1)
    writer = OutcomeWriter(connection)
    notes = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    outcomes: list[Outcome] = []
    finished: list[int] = []
    idle = count = 0
    while idle < 20:
        with transaction(connection):
            writer.record(outcomes)
            queue.ack_all(finished)
            claim = queue.claim(WANT, claimants=4, chunk_size=2)
        items = [item for _, given in claim.chunks for item in given]
        os.write(notes, "".join(f"{item.seq}\n" for item in items).encode())
        count += len(items)
        while count >= float(limit) and not os.path.exists(gate):
            time.sleep(0.01)
        outcomes = [Outcome(item.seq, item.run, 1, 10, 0, 1, item.payload, None) for item in items]
        finished = [chunk.message_id for chunk, _ in claim.chunks]
        idle = 0 if items else idle + 1
        # The work between two claims: SQLite's lock is not fair to those who find it taken whenever they look.
        time.sleep(0.001 if items else 0.01)


if __name__ == "__main__":
    main(*sys.argv[1:])
