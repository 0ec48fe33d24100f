"""What the addresses of ``--notify`` are to be told: owed from the transaction of the change on, until it is sent."""

from __future__ import annotations

import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from batchq.store import connection as db
from batchq.store.connection import SQL
from batchq.store.reserve import telling

FAILING: Final = "batch.failing"
"""The share of failed items was crossed; every other type of event follows from the batch's state."""


class Owed(NamedTuple):
    """An event that an address is still to be told.

    Attributes:
        number: of this row.
        event: id of the event, the same for each address and each attempt.
        type: ``batch.completed`` and the like.
        url: the address.
        at: when it happened, seconds since 1970.
        data: how the batch stood then, JSON text.
    """

    number: int
    event: str
    type: str
    url: str
    at: float
    data: str


def owe_state(connection: db.Connection, now: float) -> None:
    """Owe what the batch's new state means, where it means anything; in the transaction that has changed it."""
    _owe(connection, None, now)


def owe_failing(path: Path) -> bool:
    """Owe that too large a share has failed, unless that was told before; whether it was not."""
    with telling(path), closing(db.open_writer(path)) as connection, db.transaction(connection):
        if connection.execute(SQL["has_event"], (FAILING,)).fetchone()[0]:
            return False
        _owe(connection, FAILING, time.time())
    return True


def owed(path: Path) -> list[Owed]:
    """All that is owed, the oldest first."""
    with telling(path), closing(db.open_reader(path)) as connection:
        return [Owed(*row) for row in connection.execute(SQL["read_owed"]).fetchall()]


def settle(path: Path, number: int) -> None:
    """It was delivered."""
    with telling(path), closing(db.open_writer(path)) as connection, db.transaction(connection):
        connection.execute(SQL["settle"], (time.time(), number))


def _owe(connection: db.Connection, event_type: str | None, now: float) -> None:
    values = {"event": f"msg_{uuid.uuid4().hex}", "type": event_type, "now": now}
    connection.execute(SQL["owe"], values)
