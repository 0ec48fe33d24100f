"""Stands before every call: by which name it came, whose page made it, and who calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from batchq.server.problems import Problem
from batchq.server.security.access import Access
from batchq.server.security.origins import Authority, host_name, is_own_fetch, is_own_origin, known_names

OPEN: Final = frozenset({"/healthz", "/readyz", "/login"})
"""What anybody may call who reaches the server; `/static/` too, which is the same in every installation."""
MAX_HEADERS: Final = 32 * 1024
"""Bytes; a browser sends the cookies of all servers on this host, whatever their port."""
CLOSE: Final = {"Connection": "close"}
MACHINES: Final = ("/api/", "/metrics")
"""What is asked for by programs, which are told in JSON that they need a token."""


class Guard:
    """Lets through what may be answered.

    Args:
        app: what answers.
        access: who may call.
        hosts: names under which the server may be called, without port.
    """

    def __init__(self, app: ASGIApp, access: Access, hosts: Iterable[str]) -> None:
        self._app = app
        self._access = access
        self._hosts = known_names(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call, or refuse it."""
        request = Request(scope)
        refusal = self._foreign(request) or self._stranger(request)
        await (refusal or self._app)(scope, receive, send)

    def _foreign(self, request: Request) -> Response | None:
        """The answer to a call that was not meant for this server, or that a page of another one has made."""
        # The path of the scope is the one that is routed by; request.url is made with the Host header, which may lie.
        if not request.scope["path"].startswith("/"):
            return Problem(400, "a path begins with /").response()
        if sum(len(name) + len(value) for name, value in request.headers.raw) > MAX_HEADERS:
            return Problem(431, f"the headers may have {MAX_HEADERS:,} bytes at most", headers=CLOSE).response()
        if "transfer-encoding" in request.headers and "content-length" in request.headers:
            # Two servers in a row could disagree on where the body ends, and the second take the rest for a request.
            return Problem(400, "a body has one length", headers=CLOSE).response()
        host = Authority.of(request.headers.get("host", ""))
        if host is None or not self._is_known(host, request):
            hint = "`batchq serve --allow-host NAME` adds one."
            return Problem(421, "this server is not known by that name", hint).response()
        origin = request.headers.get("origin")
        if origin is not None and not is_own_origin(origin, request.scope["scheme"], host):
            hint = "A proxy has to pass Host on, and with https X-Forwarded-Proto: see `batchq serve --proxy`."
            return Problem(403, "a page of another origin may not do that", hint).response()
        if not is_own_fetch(request.method, request.headers):
            return Problem(403, "a page of another site may not do that").response()
        return None

    def _is_known(self, host: Authority, request: Request) -> bool:
        server = request.scope.get("server")
        # An address, unlike a name, cannot come to mean another host: the one that was really called is ours.
        return host.name in self._hosts or (server is not None and host.name == host_name(server[0]))

    def _stranger(self, request: Request) -> Response | None:
        """The answer to a call that shows neither the token nor a cookie for it."""
        path = request.scope["path"]
        if path in OPEN or path.startswith("/static/"):
            return None
        given = bearer_of(request)
        if given is None:
            if self._access.is_cookie(request.cookies.get(self._access.cookie_name, "")):
                return None
            if _is_page(request):
                there = "" if path == "/" else "?next=" + quote(path, safe="/")
                return RedirectResponse(f"/login{there}", 303)
        elif self._access.is_token(given):
            return None
        elif seconds := self._access.failed.note(address_of(request), "a wrong token"):
            return too_many(seconds).response()
        return Problem(
            401,
            "that is not the token of this server" if given is not None else "a token is needed",
            "Send `Authorization: Bearer TOKEN`, or open the link that `batchq serve --link` prints.",
            {"WWW-Authenticate": 'Bearer realm="batchq"'},
        ).response()


def bearer_of(request: Request) -> str | None:
    """The token that a call shows; None where it shows none."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else None


def still_known(request: Request, access: Access) -> Callable[[], bool]:
    """What tells, as often as it is asked, whether what a call has shown still counts: a cookie may be logged out."""
    if bearer_of(request) is not None:
        return lambda: True
    cookie = request.cookies.get(access.cookie_name, "")
    return lambda: access.is_cookie(cookie)


def address_of(request: Request) -> str:
    """Whence a call comes: by the connection, or as a proxy says that the owner trusts."""
    return request.client.host if request.client is not None else "unknown"


def too_many(seconds: int) -> Problem:
    """The answer to an address that has failed too often."""
    return Problem(429, f"too many failed logins; the next one in {seconds} s", headers={"Retry-After": str(seconds)})


def _is_page(request: Request) -> bool:
    wants_page = "text/html" in request.headers.get("accept", "")
    return request.method == "GET" and wants_page and not request.scope["path"].startswith(MACHINES)
