"""What the calls have in common: what the server knows, the body of a call, a batch as an answer."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from batchq.app.render import SCHEMA, json_line
from batchq.server.api.idempotency import Keys
from batchq.server.problems import Problem
from batchq.server.processes.workshop import Workshop
from batchq.server.running.catalog import Catalog
from batchq.server.running.daemon import Daemon
from batchq.server.security.access import Access
from batchq.server.settings import ServerSettings
from batchq.server.streaming.load import Load
from batchq.store.home import BatchFolder

MAX_BODY: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class ServerState:
    """All that a call may need."""

    settings: ServerSettings
    catalog: Catalog
    daemon: Daemon
    access: Access
    workshop: Workshop = field(default_factory=Workshop)
    load: Load = field(default_factory=Load)
    keys: Keys = field(init=False)

    def __post_init__(self) -> None:
        keys = Keys(self.settings.folder / "keys", self.settings.home)
        object.__setattr__(self, "keys", keys)  # the one way for a frozen class to make what it keeps


def state_of(request: Request) -> ServerState:
    """What the server knows."""
    state: ServerState = request.app.state.server
    return state


def folder_of(request: Request) -> BatchFolder:
    """The batch that the path names; raises `BatchNotFound`."""
    return state_of(request).settings.home.find(request.path_params["batch_id"])


async def body_of(request: Request, most: int = MAX_BODY, hint: str = "Upload a file instead.") -> dict[str, Any]:
    """The JSON object in the body, of `most` bytes at most; raises `Problem` where there is none."""
    raw = await bytes_of(request, most, hint)
    return await asyncio.to_thread(_object, raw)


async def bytes_of(request: Request, most: int, hint: str) -> bytes:
    """The body; raises `Problem` 413 where it has more than `most` bytes, before it is read where it says so."""
    too_large = Problem(413, f"a body may have {most:,} bytes at most here", hint)
    if announced(request) > most:
        raise too_large
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise too_large
        pieces.append(piece)
    return b"".join(pieces)


def announced(request: Request) -> int:
    """How many bytes a body will have by its Content-Length; 0 where it does not say."""
    text = request.headers.get("content-length", "")
    return int(text[:18]) if text.isascii() and text.isdecimal() else 0


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw or b"{}", parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise Problem(400, "the body is nested too deeply") from None
    except ValueError as error:
        raise Problem(400, f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Problem(400, "the body must be a JSON object")
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number in it is too large")
    return number


def json_response(value: dict[str, Any], status: int = 200) -> Response:
    """A JSON object, with the version of batchq's JSON in front."""
    return text_response(json_line({"schema": SCHEMA, **value}), status)


def text_response(text: str, status: int = 200) -> Response:
    """JSON that is text already."""
    return Response(text.encode("utf-8", "backslashreplace"), status, media_type="application/json")


async def entry_response(request: Request, batch_id: str, status: int = 200, **more: Any) -> Response:
    """How a batch stands now, after something was done to it; with further members."""
    entry = await asyncio.to_thread(state_of(request).catalog.entry, batch_id, True)
    first = json_line(more).rstrip()[:-1] + ", " if more else "{"
    return text_response(first + entry.body[1:], status)
