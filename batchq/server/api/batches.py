"""Batches: list them, look at one, delete it."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from batchq.app import upkeep
from batchq.app.render import SCHEMA, json_line
from batchq.server.api import checks
from batchq.server.api.answers import state_of, text_response
from batchq.server.problems import Problem
from batchq.server.running.catalog import Entry, summary

PAGE: Final = 50
_CURSOR: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)~([A-Za-z0-9._-]{1,100})", re.ASCII)


async def list_batches(request: Request) -> Response:
    """GET /api/v1/batches?state=&q=&limit=&cursor=: the newest first."""
    asked = checks.query_of(request, "list_batches")
    catalog = state_of(request).catalog
    entries = catalog.entries()
    states, text = asked.get("state", ()), asked.get("q", "").lower()
    found = [entry for entry in entries if (not states or entry.status.state in states) and text in _named(entry)]
    left = found
    if "cursor" in asked:
        behind = _place(asked["cursor"])
        left = [entry for entry in found if _key(entry) > behind]
    limit = asked.get("limit", PAGE)
    page = left[:limit]
    more = _cursor(page[-1]) if len(left) > limit else None
    errors = {batch_id: str(error) for batch_id, error in sorted(catalog.errors().items())}
    head = json_line(
        {"schema": SCHEMA, "total": len(found), "states": summary(entries), "next": more, "errors": errors}
    )
    rows = ",".join(entry.body.rstrip("\n") for entry in page)
    return text_response(f'{head.rstrip()[:-1]}, "batches": [{rows}]}}\n')


async def get_batch(request: Request) -> Response:
    """GET /api/v1/batches/{batch_id}."""
    state = state_of(request)
    entry = await state.catalog.current(request.path_params["batch_id"])
    return text_response(entry.body)


async def delete_batch(request: Request) -> Response:
    """DELETE /api/v1/batches/{batch_id}: with all that it has recorded; one that runs is refused."""
    state = state_of(request)
    batch_id = request.path_params["batch_id"]
    await asyncio.to_thread(upkeep.remove, state.settings.home, batch_id)
    state.catalog.forget(batch_id)
    return Response(status_code=204)


def _named(entry: Entry) -> str:
    spec = entry.status.spec
    return f"{entry.status.batch_id}\n{spec.target}\n{spec.source.name}".lower()


def _key(entry: Entry) -> tuple[float, str]:
    """By what they are sorted: it stays as it is while others come and go, so no page repeats or misses one."""
    return -entry.status.created_at, entry.status.batch_id


def _cursor(entry: Entry) -> str:
    return f"{entry.status.created_at:.9f}~{entry.status.batch_id}"


def _place(cursor: str) -> tuple[float, str]:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise Problem(422, "cursor must be the `next` of the page before", "Leave it out for the first page.")
    return -float(found[1]), found[2]
