"""Makes one batch in a process of its own: the user's module is loaded here, and never in the server.

server ── {"home", "priority", "name", "request", "folder", "lock", …} ──▶ this ── {"batch_id"}
                                                                        or {"error", "detail", "hint"} ──▶ server
"""

from __future__ import annotations

import os
from pathlib import Path

from batchq.app.enqueue import enqueue
from batchq.app.request import StartRequest
from batchq.errors import BatchqError
from batchq.loading import split_target
from batchq.server.processes.child import Json, answering
from batchq.server.security.allowed import check_loaded, check_path
from batchq.server.told import told
from batchq.store.home import FileLock, Home


def make(asked: Json) -> Json:
    """Make a batch in a folder whose lock the server has taken, of what is allowed; its id, or why that cannot be."""
    request: Json = {key: tuple(value) if isinstance(value, list) else value for key, value in asked["request"].items()}
    os.set_inheritable(asked["lock"], False)
    lock = FileLock.of(Path(asked["folder"]) / "lock", asked["lock"])
    try:
        within = _check(asked)
        wanted = StartRequest(**request)
        folder = enqueue(Home.at(asked["home"]), wanted, asked["priority"], asked["name"], lock, within=within)
    except BatchqError as error:
        return {**told(error)}
    return {"batch_id": folder.batch_id}


def _check(asked: Json) -> str | None:
    """Look once more at what the server has allowed by its name, where it is used.

    Returns:
        The open folder in which the input lies; None where it was uploaded.
    """
    request = asked["request"]
    for target in filter(None, (request["func"], request.get("setup"), *request.get("then", ()))):
        stored, folder = split_target(target, Path.cwd())
        check_loaded(stored, asked["allow"], folder)
    if asked["name"] is not None:
        return None
    roots = [Path(root) for root in asked["roots"]]
    path = check_path(request["input"], roots)
    return str(next(root for root in roots if path.is_relative_to(root)))


if __name__ == "__main__":
    answering(make)
