"""Lets failed items run again, in a process of its own: the caller's regular expression may take for ever.

server ── {"home", "batch_id", "error", "items", "from_stage", "moved", "seconds"} ──▶ this ── {"retried"}
                                                                 or {"error", "detail", "hint"} ──▶ server

`moved` is a file in which the number stands that was reached, for when this is ended half-way.  A server that dies does
not end this, so that all of the items run again that were asked for; `seconds`, if there are any, end it all the same.
"""

from __future__ import annotations

import math
import os
import signal
from typing import Final

from batchq.app.verbs import retry
from batchq.errors import BatchqError
from batchq.server.processes.child import Json, answering
from batchq.server.told import told
from batchq.store.home import Home

CHOICE: Final = ("error", "items", "from_stage")
LATER_SECONDS: Final = 5
"""The server ends what takes too long, and says so; only where there is none any more, it ends here, so much later."""


def again(asked: Json) -> Json:
    """How many items run again, or why none can."""

    def note(count: int) -> None:
        os.pwrite(asked["moved"], str(count).encode(), 0)

    if asked["seconds"] is not None:
        signal.alarm(math.ceil(asked["seconds"]) + LATER_SECONDS)  # a kill: no handler runs within an expression
    choice = {name: asked[name] for name in CHOICE}
    try:
        return {"retried": retry(Home.at(asked["home"]), asked["batch_id"], moved=note, served=True, **choice)}
    except BatchqError as error:
        return {**told(error)}


if __name__ == "__main__":
    answering(again)
