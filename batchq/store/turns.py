"""A batch's place in the queue of a server: whether it runs there, how soon, and how its last supervisor left."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from batchq.model import QUEUED
from batchq.store import connection as db
from batchq.store.connection import SQL
from batchq.store.moves import happen
from batchq.store.reserve import telling

ADOPTED: Final = 1
"""Begun elsewhere and seen by a server, which goes on with it when its supervisor has died."""
OWN: Final = 2
"""A server runs it: when its turn comes, and again whenever nobody runs it any more."""


class Turn(NamedTuple):
    """What a server has to know of a batch to run it.

    Attributes:
        state: the stored one.
        priority: higher ones run first.
        created_at: seconds since 1970; of the same priority the older one runs first.
        served: what a server does for it: 0 nothing, else `ADOPTED` or `OWN`.
        left: its last supervisor left of itself, and did not die; also where there was none.
        old: an earlier batchq has written the file, and none has written to it since.
        pid: of its last supervisor; None where there was none.
    """

    state: str
    priority: int = 0
    created_at: float = 0.0
    served: int = 0
    left: bool = True
    old: bool = False
    pid: int | None = None


def read_turn(connection: db.Connection) -> Turn:
    """The turn of a batch whose file is of this version."""
    state, priority, created_at, served, left, pid = connection.execute(SQL["read_turn"]).fetchone()
    return Turn(state, priority, created_at, served, bool(left), pid=pid)


def serve(path: Path, served: int = OWN) -> None:
    """From now on a server does that much for the batch, or more where it did more already."""
    with telling(path), closing(db.open_writer(path)) as connection, db.transaction(connection):
        connection.execute(SQL["serve_batch"], (served,))


def hand_over(connection: db.Connection) -> None:
    """A server runs the batch from now on, also where it was paused or halted; in the caller's transaction."""
    connection.execute(SQL["serve_batch"], (OWN,))
    for event in ("enqueue", "resume"):
        happen(connection, event)


def disown(path: Path) -> None:
    """Somebody runs the batch himself: a server goes on with it only when his process has died."""
    with telling(path), closing(db.open_writer(path)) as connection, db.transaction(connection):
        connection.execute(SQL["disown_batch"])


def tell_why_not(path: Path, reason: str) -> None:
    """Say why a batch that waits for its turn has not begun; forgotten when it begins."""
    with telling(path), closing(db.open_writer(path)) as connection, db.transaction(connection):
        connection.execute(SQL["tell_why_not"], (reason, QUEUED))


def set_priority(path: Path, priority: int) -> None:
    """Run the batch sooner, or later, than others that wait."""
    with telling(path), closing(db.open_writer(path)) as connection, db.transaction(connection):
        connection.execute(SQL["set_priority"], (priority, time.time()))
