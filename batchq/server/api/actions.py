"""What is done to a batch: pause, resume, cancel, retry, other limits.

As on the command line, what a batch is already is no error: pausing one that has ended leaves it as it is.  What its
state does not allow is a conflict, with the reason.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from batchq.app import verbs
from batchq.app.limits import Changes, change_limits
from batchq.app.status import status
from batchq.errors import SealBroken, UsageError
from batchq.model import ACTIVE, CANCELLED, ENDED, EXPIRED, PAUSING
from batchq.server.api import checks
from batchq.server.api.answers import ServerState, body_of, entry_response, state_of
from batchq.server.problems import Problem, problem_of, problem_told
from batchq.server.processes.child import ChildFailed, ask
from batchq.store.batch import steer
from batchq.store.home import Home
from batchq.store.turns import serve, set_priority

MOST_CHANGES: Final = 256 * 1024
TIMED_OUT: Final = "^ItemTimeout: "
LITERAL: Final = re.compile(r"(?:[^\\^$.*+?()\[\]{}|]|\\[^A-Za-z0-9])*")
"""An expression that stands for one text: it takes no longer than that text is long."""


async def pause(request: Request) -> Response:
    """POST /api/v1/batches/{batch_id}/pause: begin nothing new."""
    return await _do(request, "pause", verbs.pause)


async def cancel(request: Request) -> Response:
    """POST /api/v1/batches/{batch_id}/cancel: the same for good."""
    return await _do(request, "cancel", verbs.cancel)


async def resume(request: Request) -> Response:
    """POST /api/v1/batches/{batch_id}/resume: let the server go on with it when its turn comes."""
    return await _do(request, "resume", go_on)


async def retry(request: Request) -> Response:
    """POST /api/v1/batches/{batch_id}/retry {error, items, timed_out, from_stage}: run failed items again."""
    checks.query_of(request, "retry")
    raw = await body_of(request)
    asked = await asyncio.to_thread(checks.body, raw, "retry")
    state, batch_id = state_of(request), request.path_params["batch_id"]
    error = asked.get("error")
    if asked.get("timed_out"):
        if error is not None:
            raise Problem(422, "say either error or timed_out")
        error = TIMED_OUT
    await asyncio.to_thread(_check_can_retry, state.settings.home, batch_id)
    question = {
        "home": str(state.settings.home.path),
        "batch_id": batch_id,
        "error": error,
        "items": [str(item) for item in asked.get("items", ())],
        "from_stage": asked.get("from_stage"),
    }
    # An expression can be such that it takes for ever; all else takes as long as there are items.
    is_endless = error not in (None, TIMED_OUT) and not LITERAL.fullmatch(error)
    retried = await _again(state, question, state.settings.retry_seconds if is_endless else None)
    return await entry_response(request, batch_id, retried=retried)


async def _again(state: ServerState, question: dict[str, Any], seconds: float | None) -> int:
    """How many items run again.

    Whatever stops this, or this server, the batch goes on with those that do by then: its file says so with the first
    of them, and the process that looks for the others does not end with the server.
    """
    with tempfile.TemporaryFile() as note:
        file = note.fileno()
        try:
            async with state.workshop.child():
                asked = {**question, "moved": file}
                answer = await ask("batchq.server.processes.again", asked, seconds, [file])
        except ChildFailed as failed:
            moved = _moved(file)
            so_far = f"; {moved:,} items run again already" if moved else ""
            if failed.timed_out:
                detail = f"error takes too long to look for: {failed}{so_far}"
                raise Problem(422, detail, "Name a simpler expression.") from None
            raise Problem(500, f"the items could not be retried: {failed}{so_far}") from None
    if "error" in answer:
        raise problem_told({"error": answer["error"], "detail": answer["detail"], "hint": answer["hint"]})
    return int(answer["retried"])


def _moved(file: int) -> int:
    return int(os.pread(file, 20, 0) or 0)


async def change(request: Request) -> Response:
    """PATCH /api/v1/batches/{batch_id} {concurrency, rate, …, priority}: other limits."""
    raw = await body_of(request, MOST_CHANGES, "")
    asked = await asyncio.to_thread(checks.body, raw, "change")
    priority = asked.pop("priority", None)
    changes = Changes(**asked)
    changes.check()

    def apply(home: Home, batch_id: str) -> None:
        _check_not_cancelled(home, batch_id)
        if changes != Changes():
            change_limits(home, batch_id, changes)
        if priority is not None:
            set_priority(home.find(batch_id).database, priority)

    return await _do(request, "change", apply)


def go_on(home: Home, batch_id: str) -> None:
    """Let the server run a batch from now on; one that has ended stays so.

    Raises:
        Problem: 409: its own rest of the input, or what shows that its function may be run, is not here.
    """
    now = status(home, batch_id)
    if now.state in ENDED:
        return
    folder = home.find(batch_id)
    if now.state == PAUSING and steer(folder.database, "resume") in ACTIVE and folder.lock.is_held():
        return
    _check_can_go_on(home, batch_id)
    serve(folder.database)
    steer(folder.database, "enqueue")


def _check_can_go_on(home: Home, batch_id: str) -> None:
    try:
        verbs.check_can_go_on(home, batch_id)
    except SealBroken:
        raise
    except UsageError as error:
        raise problem_of(error, 409) from None


def _check_can_retry(home: Home, batch_id: str) -> None:
    _check_not_cancelled(home, batch_id)
    if status(home, batch_id).holder is None:  # else the process that runs it goes on with them
        _check_can_go_on(home, batch_id)


def _check_not_cancelled(home: Home, batch_id: str) -> None:
    state = status(home, batch_id).state
    if state in (CANCELLED, EXPIRED):
        raise Problem(409, f"{batch_id} is {state}, which is for good", "Start another batch.")


async def _do(request: Request, name: str, verb: Callable[[Home, str], Any]) -> Response:
    checks.query_of(request, name)
    home, batch_id = state_of(request).settings.home, request.path_params["batch_id"]
    await asyncio.to_thread(verb, home, batch_id)
    return await entry_response(request, batch_id)
