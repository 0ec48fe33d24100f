"""Lets failed items run again, in a process of its own: the caller's regular expression may take for ever.

server ── {"home", "batch_id", "error", "items", "from_stage", "moved"} ──▶ this ── {"retried"}
                                                      or {"error", "detail", "hint"} ──▶ server

`moved` is a file in which the number stands that was reached, for when this is ended half-way.
"""

from __future__ import annotations

import os
from typing import Final

from batchq.app.verbs import retry
from batchq.errors import BatchqError
from batchq.server.processes.child import Json, answering
from batchq.server.told import told
from batchq.store.home import Home

CHOICE: Final = ("error", "items", "from_stage")


def again(asked: Json) -> Json:
    """How many items run again, or why none can."""

    def note(count: int) -> None:
        os.pwrite(asked["moved"], str(count).encode(), 0)

    choice = {name: asked[name] for name in CHOICE}
    try:
        return {"retried": retry(Home.at(asked["home"]), asked["batch_id"], moved=note, served=True, **choice)}
    except BatchqError as error:
        return {**told(error)}


if __name__ == "__main__":
    answering(again)
