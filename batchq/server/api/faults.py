"""What nobody has foreseen: told in the log with all that is known, and to the caller by a number only."""

from __future__ import annotations

import logging
import secrets

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchq.server.problems import Problem

log = logging.getLogger(__name__)


class Faults:
    """Answers 500 for what `app` raises.

    An answer that has begun is broken off, so that nobody takes it for a whole one: the connection is closed by the
    server below, since the answer has no end.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        has_begun = False

        async def send_noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except ClientDisconnect:
            return
        except Exception:
            number = secrets.token_hex(4)
            log.exception("fault %s: %s %s", number, scope["method"], scope["path"])
            if not has_begun:
                hint = f"server.log tells what, under {number}."
                problem = Problem(500, "something went wrong in the server", hint, fault=number)
                await problem.response()(scope, receive, send)
