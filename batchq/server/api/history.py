"""How a batch went over time, for charts."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from batchq.app.history import history
from batchq.server.api import params
from batchq.server.api.answers import folder_of, json_response


async def batch_history(request: Request) -> Response:
    """GET /api/v1/batches/{batch_id}/history: outcomes and retries over time, latency, attempts."""
    params.only(request)
    folder = folder_of(request)
    return json_response({"batch_id": folder.batch_id, **await asyncio.to_thread(history, folder)})
