"""How a browser gets its cookie: by a one-time link, or by the token in a form."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from batchq.server.api.answers import body_of, json_response, state_of
from batchq.server.problems import Problem
from batchq.server.security.guard import address_of, too_many
from batchq.server.security.logouts import COOKIE_SECONDS

STATIC: Final = Path(__file__).parents[1] / "static"
MAX_FORM: Final = 4096
"""Bytes that somebody may send who is not known yet."""


async def login_page(request: Request) -> Response:
    """GET /login: a form; with ?code=…, the way in by a one-time link.

    This is the only GET that changes something.  So whatever looks at a link before somebody opens it must not use it
    up: HEAD is answered by the form, and a browser that fetches pages ahead is sent away.
    """
    code = request.query_params.get("code")
    if code is None or request.method == "HEAD":
        return FileResponse(STATIC / "login.html")
    if "prefetch" in request.headers.get("sec-purpose", request.headers.get("purpose", "")):
        raise Problem(503, "a link that can be opened once is not fetched ahead")
    access = state_of(request).access
    if access.use_link(code):
        return _let_in(request, RedirectResponse("/", 303))
    seconds = access.failed.note(address_of(request), "a wrong or old link")
    status, headers = (429, {"Retry-After": str(seconds)}) if seconds else (401, {})
    return FileResponse(STATIC / "login.html", status, headers)


async def login(request: Request) -> Response:
    """POST /login {"token": …}; after too many failures the right token has to wait, too."""
    access, address = state_of(request).access, address_of(request)
    asked = await body_of(request, MAX_FORM, "")
    if seconds := access.failed.wait(address):
        raise too_many(seconds)
    given = asked.get("token")
    if not isinstance(given, str) or not access.is_token(given.strip()):
        access.failed.note(address, "a wrong token in the form")
        raise Problem(401, "that is not the token of this server", "It is in the server's home: .server/token")
    return _let_in(request, Response(status_code=204))


async def logout(request: Request) -> Response:
    """POST /logout: the cookie counts no longer."""
    access = state_of(request).access
    await asyncio.to_thread(access.log_out, request.cookies.get(access.cookie_name, ""))
    response = Response(status_code=204)
    response.delete_cookie(access.cookie_name, path="/", httponly=True, samesite="strict")
    return response


async def make_link(request: Request) -> Response:
    """POST /api/v1/login-links: a link that logs a browser in once."""
    code = state_of(request).access.make_link()
    return json_response({"url": f"{request.base_url}login?code={code}"}, 201)


def _let_in(request: Request, response: Response) -> Response:
    access = state_of(request).access
    response.set_cookie(
        access.cookie_name,
        access.cookie(),
        max_age=COOKIE_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.scope["scheme"] == "https",
        path="/",
    )
    return response
