"""A change of a batch's state, and in the same transaction what somebody is to be told of it."""

from __future__ import annotations

import time

from batchq.model import move
from batchq.store import connection as db
from batchq.store.connection import SQL
from batchq.store.outbox import owe_state


def happen(connection: db.Connection, event: str, reason: str | None = None) -> tuple[str, str | None]:
    """Let `event` happen to the batch, in the transaction that the caller has open.

    Args:
        connection: to the batch's file.
        event: see `model.MOVES`.
        reason: why, for people.

    Returns:
        The state before, and the new one; None where the former does not allow it.
    """
    before: str = connection.execute(SQL["read_gate"]).fetchone()[1]
    state = move(before, event)
    if state is not None:
        now = time.time()
        connection.execute(SQL["set_state"], {"state": state, "before": before, "reason": reason, "now": now})
        owe_state(connection, now)
    return before, state
