"""A line in the log for each call that was answered."""

from __future__ import annotations

import logging
import time
from typing import Final
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROBES: Final = frozenset({"/healthz", "/readyz"})
"""Asked every few seconds for months; only what is wrong then is of interest."""

log = logging.getLogger(__name__)


class Calls:
    """Logs method, path, status and milliseconds of each call; never what stands behind the path, which may be secret.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call be answered, and say how it was."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        status = 0

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            path = quote(scope["path"])
            level = logging.DEBUG if path in PROBES and status == 200 else logging.INFO
            milliseconds = (time.monotonic() - begun) * 1000
            log.log(level, "%s %s %s %.0f ms", quote(scope["method"]), path, status or "-", milliseconds)
