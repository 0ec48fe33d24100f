"""How uvicorn is set up: it believes nobody, tells nothing of itself, and has an end to its patience."""

from __future__ import annotations

import uvicorn
from starlette.types import ASGIApp

from batchq.server.security.slow_clients import Patience, most_connections, protocol
from batchq.server.settings import ServerSettings


def uvicorn_config(
    app: ASGIApp, settings: ServerSettings, stop_seconds: int, patience: Patience | None = None
) -> uvicorn.Config:
    """The configuration of the web server.

    Args:
        app: what answers.
        settings: whose proxies are believed.
        stop_seconds: calls that are being answered have so long when it stops.
        patience: with clients; None for as much as this process can afford.
    """
    patience = patience or Patience(connections=most_connections())
    return uvicorn.Config(
        app,
        http=protocol(patience),
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=patience.idle_seconds,
        timeout_graceful_shutdown=stop_seconds,
        # By default uvicorn would believe every process of this machine, and the environment, whom it calls for.
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
    )
