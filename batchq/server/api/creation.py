"""New batches: from items in the call, from a file that is uploaded, or from one in a folder that is open."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from batchq.app.request import StartRequest
from batchq.errors import InputError
from batchq.inputs import FORMATS, detect_format
from batchq.server.api import checks
from batchq.server.api.answers import ServerState, body_of, entry_response, state_of, text_response
from batchq.server.api.idempotency import REPLAYED, Memo, Once
from batchq.server.api.receiving import check_announced, digest_of, save
from batchq.server.problems import Problem, problem_of, problem_told
from batchq.server.processes.child import ChildFailed, ask
from batchq.server.running.drafts import Draft
from batchq.server.security.allowed import check_path, check_target

OWNERS: Final[Mapping[str, str]] = {
    "on_finish": "it runs a command on the server",
    "out": "it writes a file on the server",
    "overwrite": "it replaces a file on the server",
    "notify": "it lets the server call an address",
    "notify_at": "it lets the server call an address",
    "cache": "it writes to a folder on the server",
    "reuse": "it reads the results of other batches",
    "reuse_changed": "it reads the results of other batches",
    "work": "it lets the server run a command or call an address",
    "engine": "it lets the server start processes elsewhere",
    "scheduler": "it lets the server call an address",
}
"""Fields of a request that only the owner of a server may say, and why."""
SAID_OTHERWISE: Final = frozenset({"input", "func", "batch_id"})
OPTIONS: Final = frozenset(each.name for each in fields(StartRequest)) - SAID_OTHERWISE - set(OWNERS)
LONGEST_NAME: Final = 100


async def create(request: Request) -> Response:
    """POST /api/v1/batches: from items in the call, or from a file in a folder that is open."""
    state = state_of(request)
    checks.query_of(request, "create")
    raw = await body_of(request)
    refuse_owners({name for name, value in raw.items() if value})
    for name in OWNERS:
        raw.pop(name, None)  # said, and said to be nothing
    asked = await asyncio.to_thread(checks.body, raw, "create")
    _check_targets(state, asked)
    most = state.settings.max_items
    if len(asked.get("items", ())) > most:
        raise Problem(422, f"items may be {most:,} at most, not {len(asked['items']):,}", "Upload a file instead.")
    path = None
    if "path" in asked:
        path = await asyncio.to_thread(check_path, asked["path"], state.settings.roots)
    async with state.keys.hold(request, asked) as once:
        memo = await once.earlier()
        if memo is not None:
            return await _replayed(request, once, memo)
        async with _draft(state, asked, once) as draft:
            if path is None:
                inline = draft.input / "items.jsonl"
                await asyncio.to_thread(_write_items, inline, asked["items"])
                await _make(state, {**asked, "input_format": "jsonl"}, draft, inline, inline.name)
            else:
                await _make(state, asked, draft, path, None)
        return await _made(request, once, draft.batch_id)


async def upload(request: Request) -> Response:
    """POST /api/v1/batches/upload?func=…&name=…: the body is the file."""
    state = state_of(request)
    refuse_owners(request.query_params)
    asked = checks.query_of(request, "upload")
    _check_targets(state, asked)
    name = file_name(asked)
    most = state.settings.max_upload
    check_announced(request, most)
    async with state.workshop.upload(), state.keys.hold(request, asked) as once:
        memo = await once.earlier()
        if memo is not None:
            once.check_digest(memo, await digest_of(request, most))
            return await _replayed(request, once, memo)
        async with _draft(state, asked, once) as draft:
            path = draft.input / stored_name(name)
            await once.received(await save(request, path, most))
            await _make(state, asked, draft, path, name)
        return await _made(request, once, draft.batch_id)


def refuse_owners(given: Collection[str]) -> None:
    """Raise `Problem` 403 where a caller says what only the owner may."""
    for name, reason in OWNERS.items():
        if name in given:
            raise Problem(403, f"{name} is for the owner of the server to say: {reason}", f"Leave {name} out.")


def file_name(asked: Mapping[str, Any]) -> str:
    """The name of an uploaded file, without folders; raises `Problem` 422 where its format is not known."""
    if "name" not in asked and "input_format" not in asked:
        raise Problem(422, "the format of the file is not known", "Say name=ideas.csv, or input_format=csv.")
    last = re.split(r"[/\\]", asked.get("name", ""))[-1]
    name = "".join(each if each.isprintable() else "_" for each in last) or "upload"
    try:
        detect_format(name, asked.get("input_format"))
    except InputError as error:
        problem = problem_of(error)
        if "input_format" not in asked:
            problem.hint = f"Say input_format={'|'.join(FORMATS)}."
        raise problem from None
    return name


def stored_name(name: str) -> str:
    """A file's name as it is on the disk: it keeps what tells the format.

    Example:
        >>> stored_name("my ideas.csv.gz")
        'my_ideas.csv.gz'
    """
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[-LONGEST_NAME:].lstrip(".-") or "upload"


def _check_targets(state: ServerState, asked: Mapping[str, Any]) -> None:
    for name in ("func", "setup"):
        if name in asked:
            check_target(asked[name], state.settings.allow)
    for target in asked.get("then", ()):
        check_target(target, state.settings.allow)


@asynccontextmanager
async def _draft(state: ServerState, asked: Mapping[str, Any], once: Once) -> AsyncIterator[Draft]:
    """The folder of the batch; nothing of it is left where no batch comes of it."""
    draft = await asyncio.to_thread(Draft.claim, state.settings.home, asked.get("batch_id"), asked.get("shard"))
    try:
        await once.claimed(draft.batch_id)
        yield draft
    finally:
        await draft.drop()


def _write_items(path: Path, items: list[Any]) -> None:
    try:
        with path.open("x", encoding="ascii") as file:
            file.writelines(json.dumps(item) + "\n" for item in items)
            file.flush()
            os.fsync(file.fileno())
    except RecursionError:
        raise Problem(400, "an item is nested too deeply") from None


async def _make(state: ServerState, asked: Mapping[str, Any], draft: Draft, path: Path, name: str | None) -> None:
    """Let a child make the batch; raises `Problem` where it cannot."""
    settings = state.settings
    options = {key: value for key, value in asked.items() if key in OPTIONS}
    options |= {"notify": list(settings.notify), "notify_at": settings.notify_at}
    question = {
        "home": str(settings.home.path),
        "folder": str(draft.folder.path),
        "lock": draft.lock.descriptor,
        "priority": asked.get("priority", 0),
        "name": name,
        "allow": settings.allow,
        "roots": [str(root) for root in settings.roots],
        "request": {**options, "input": str(path), "func": asked["func"], "batch_id": draft.batch_id},
    }
    try:
        async with state.workshop.child():
            answer = await ask(
                "batchq.server.processes.make",
                question,
                settings.make_seconds,
                [draft.lock.descriptor],
                draft.pass_on,
            )
    except ChildFailed as error:
        if error.is_fault:
            raise Problem(500, f"the batch could not be made: {error}") from None
        if error.timed_out:
            raise Problem(504, f"the module of {asked['func']!r} could not be loaded {error}") from None
        raise Problem(422, f"the module of {asked['func']!r} ended the process that loaded it: {error}") from None
    if "error" in answer:
        raise problem_told({"error": answer["error"], "detail": answer["detail"], "hint": answer["hint"]})


async def _made(request: Request, once: Once, batch_id: str, memo: Memo | None = None) -> Response:
    response = await entry_response(request, batch_id, 201)
    response.headers["Location"] = f"/api/v1/batches/{batch_id}"
    await once.answered(bytes(response.body), memo)
    return response


async def _replayed(request: Request, once: Once, memo: Memo) -> Response:
    """The answer to the earlier call; of one that was never answered, as it would be now."""
    if memo.answer is None:
        response = await _made(request, once, memo.batch_id, memo)
    else:
        response = text_response(memo.answer, 201)
        response.headers["Location"] = f"/api/v1/batches/{memo.batch_id}"
    response.headers.update(REPLAYED)
    return response
