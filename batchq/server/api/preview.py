"""The first items of a file that somebody thinks of uploading, as a batch would read them."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from batchq.app.render import SCHEMA, json_line
from batchq.server.api import checks
from batchq.server.api.answers import bytes_of, state_of, text_response
from batchq.server.api.creation import file_name, refuse_owners, stored_name
from batchq.server.problems import Problem, problem_told
from batchq.server.processes.child import ChildFailed, Json, ask

HEAD_BYTES: Final = 1024 * 1024
"""Of a file: enough for ten items, and little for who has to send it."""
SECONDS: Final = 20.0
NOT_APPLIED: Final = frozenset({"name", "size", "sample", "shuffle", "seed", "strict"})


async def preview(request: Request) -> Response:
    """POST /api/v1/preview?name=…: the body is the beginning of a file."""
    state = state_of(request)
    refuse_owners(request.query_params)
    asked = checks.query_of(request, "preview")
    name = file_name(asked)
    head = await bytes_of(request, HEAD_BYTES, f"Send the first {HEAD_BYTES:,} bytes of the file.")
    size = asked.get("size", 0 if len(head) < HEAD_BYTES else HEAD_BYTES + 1)
    question = {
        "name": name,
        "cut": size > len(head),
        "options": {key: value for key, value in asked.items() if key not in NOT_APPLIED},
    }
    folder = await asyncio.to_thread(_written, state.settings.folder, stored_name(name), head)
    with folder:
        question["path"] = os.path.join(folder.name, stored_name(name))
        try:
            async with state.workshop.child():
                answer = await ask("batchq.server.processes.peek", question, SECONDS)
        except ChildFailed as error:
            if error.is_fault:
                raise Problem(500, f"the file could not be read: {error}") from None
            raise Problem(422, f"the file could not be read: {error}") from None
    if "error" in answer:
        raise problem_told({"error": answer["error"], "detail": answer["detail"], "hint": answer["hint"]})
    return text_response(_text(answer))


def _text(answer: Json) -> str:
    """The answer of the child with the items in it, whose texts are JSON already."""
    rows = []
    for each in answer.pop("items"):
        payload = each.pop("payload")
        rows.append(f'{json_line(each).rstrip()[:-1]}, "item": {payload}}}')
    head = json_line({"schema": SCHEMA, **answer}).rstrip()
    return f'{head[:-1]}, "items": [{", ".join(rows)}]}}\n'


def _written(folder: Path, name: str, head: bytes) -> tempfile.TemporaryDirectory[str]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = tempfile.TemporaryDirectory(prefix="preview-", dir=folder, ignore_cleanup_errors=True)
    Path(made.name, name).write_bytes(head)
    return made
