"""Items: by pages, one with all that came of it; failures in groups; the log."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from batchq.app.groups import group_dict
from batchq.app.items import find_items
from batchq.app.listing import list_items
from batchq.app.render import SCHEMA, json_line
from batchq.app.report import GROUPS
from batchq.app.tail import page_of_lines
from batchq.server.api import params
from batchq.server.api.answers import folder_of, json_response, state_of, text_response
from batchq.store.home import BatchFolder
from batchq.store.listing import STATUSES
from batchq.store.reading import reading

PAGE: Final = 100
LONGEST_PAGE: Final = 500
MOST_GROUPS: Final = 1000
LOG_LINES: Final = 200
MOST_LOG_LINES: Final = 5000
MOST_LOG_BYTES: Final = 4 * 1024 * 1024
LAST_SEQ: Final = 2**63 - 1


async def items(request: Request) -> Response:
    """GET /api/v1/batches/{batch_id}/items?status=&error=&q=&limit=&cursor=: in the order of the input."""
    params.only(request, "status", "error", "q", "limit", "cursor")
    status = params.choice(request, "status", STATUSES)
    error, text = params.text(request, "error"), params.text(request, "q")
    after = params.number(request, "cursor", 0, 0, LAST_SEQ)
    limit = params.number(request, "limit", PAGE, 1, LONGEST_PAGE)
    folder = folder_of(request)
    page = await asyncio.to_thread(list_items, folder, status, error, text, after, limit)
    return json_response({"batch_id": folder.batch_id, "items": page.items, "next": page.next})


async def item(request: Request) -> Response:
    """GET /api/v1/batches/{batch_id}/items/{item}: those of that id, or the one at place `#N`, with every attempt."""
    params.only(request)
    folder, which = folder_of(request), request.path_params["item"]

    def body() -> str:
        shown = ", ".join(each.to_json() for each in find_items(folder, which))
        return f'{{"schema": {SCHEMA}, "batch_id": {json_line(folder.batch_id).rstrip()}, "items": [{shown}]}}\n'

    return text_response(await asyncio.to_thread(body))


async def failures(request: Request) -> Response:
    """GET /api/v1/batches/{batch_id}/failures?limit=: kinds of failure, the most frequent first."""
    params.only(request, "limit")
    limit = params.number(request, "limit", GROUPS, 1, MOST_GROUPS)
    folder = folder_of(request)

    def groups(folder: BatchFolder) -> list[dict[str, object]]:
        with reading(folder.database) as reader:
            found = reader.error_groups(limit)
            names = reader.names([seq for group in found for seq in group.examples])
        return [group_dict(group, names) for group in found]

    return json_response({"batch_id": folder.batch_id, "groups": await asyncio.to_thread(groups, folder)})


async def log(request: Request) -> Response:
    """GET /api/v1/batches/{batch_id}/log?lines=&after=: the last lines, or those behind `next` of the answer before.

    Also of a batch whose file is lost.
    """
    params.only(request, "lines", "after")
    lines = params.number(request, "lines", LOG_LINES, 0, MOST_LOG_LINES)
    folder = state_of(request).settings.home.find(request.path_params["batch_id"], whole=False)
    after = params.number(request, "after", 0, 0, LAST_SEQ) if "after" in request.query_params else None
    page = await asyncio.to_thread(page_of_lines, folder.log, MOST_LOG_BYTES, lines, after)
    said = [line.rstrip("\n") for line in page.lines]
    return json_response({"batch_id": folder.batch_id, "lines": said, "next": page.next, "whole": page.is_whole})
