"""For who looks after the server: is it alive, is it ready, what is it."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from batchq import __version__
from batchq.server.api.answers import json_response, state_of
from batchq.server.running.catalog import summary


async def healthz(request: Request) -> Response:
    """GET /healthz: 200 while the server does its work."""
    trouble = state_of(request).daemon.trouble
    return json_response({"status": trouble or "ok"}, 503 if trouble else 200)


async def readyz(request: Request) -> Response:
    """GET /readyz: 200 once every batch has been read, until the server stops."""
    daemon = state_of(request).daemon
    ready = daemon.is_ready and not daemon.is_stopping
    return json_response({"status": "ready" if ready else "not ready"}, 200 if ready else 503)


async def server_info(request: Request) -> Response:
    """GET /api/v1/server."""
    state = state_of(request)
    settings = state.settings
    return json_response(
        {
            "version": __version__,
            "home": str(settings.home.path),
            "max_batches": settings.max_batches,
            "allow": list(settings.allow),
            "roots": [str(root) for root in settings.roots],
            "max_upload": settings.max_upload,
            "max_items": settings.max_items,
            "states": summary(state.catalog.entries()),
            "uptime_seconds": round(time.monotonic() - state.daemon.began, 1),
        }
    )
