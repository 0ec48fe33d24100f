"""Errors as problem details (RFC 9457): one shape for everything that can go wrong with a call."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import Scope

from batchq import errors
from batchq.app.render import json_line
from batchq.errors import (
    BatchBusy,
    BatchExists,
    BatchNotFound,
    BatchqError,
    HomeError,
    ItemNotFound,
    NotAllowed,
    SealBroken,
    StorageFailed,
    StoreError,
    SystemRefused,
    UsageError,
)
from batchq.server.told import Told, told

STATUS_OF: Final[tuple[tuple[type[BatchqError], int], ...]] = (
    (NotAllowed, 403),
    (BatchNotFound, 404),
    (ItemNotFound, 404),
    (BatchExists, 409),
    (BatchBusy, 409),
    (SealBroken, 409),
    (StoreError, 500),
    (HomeError, 507),
    (UsageError, 422),
    (StorageFailed, 507),
    (SystemRefused, 503),
)

log = logging.getLogger(__name__)


class Problem(Exception):
    """A call that cannot be answered as it was made.

    Args:
        status: of HTTP.
        detail: what is wrong with it.
        hint: what to do next.
        headers: more headers of the answer.
        more: further members of the answer.
    """

    def __init__(
        self, status: int, detail: str, hint: str = "", headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.hint = hint
        self.headers = headers or {}
        self.more = more

    def response(self) -> Response:
        """The answer."""
        body = {"type": "about:blank", "title": HTTPStatus(self.status).phrase, "status": self.status}
        body |= {"detail": self.detail, **({"hint": self.hint} if self.hint else {}), **self.more}
        return Response(
            json_line(body).encode("utf-8", "backslashreplace"),
            self.status,
            self.headers,
            media_type="application/problem+json",
        )


def problem_of(error: BatchqError, status: int | None = None) -> Problem:
    """An error of batchq as the answer to a call; `status`: where it is another than is usual for it."""
    return problem_told(told(error), status)


def problem_told(said: Told, status: int | None = None) -> Problem:
    """The same of an error that a child has told of."""
    kind = getattr(errors, said["error"], BatchqError)
    usual = next((code for each, code in STATUS_OF if issubclass(kind, each)), 500)
    return Problem(status or usual, said["detail"], said["hint"], error=said["error"])


async def answer_problem(request: Request, error: Exception) -> Response:
    """What is raised while a call is answered, as its answer."""
    if isinstance(error, BatchqError):
        return problem_of(error).response()
    if isinstance(error, HTTPException):
        return _of_http(request, error).response()
    if isinstance(error, OSError):
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return Problem(507, f"the server cannot do that now: {error.strerror or error}").response()
    assert isinstance(error, Problem)
    return error.response()


def _of_http(request: Request, error: HTTPException) -> Problem:
    """What the web library raises: there is no such path, or not with that method."""
    path = request.url.path
    if error.status_code == 404:
        return Problem(404, f"there is no {path}", "GET /api/v1/openapi.json describes what there is.")
    if error.status_code == 405:
        scope = {**request.scope, "root_path": request.scope.get("app_root_path", "")}
        methods = sorted(_methods(request.app.routes, scope))
        return Problem(405, f"{path} takes {', '.join(methods)} only", headers={"Allow": ", ".join(methods)})
    return Problem(error.status_code, error.detail, headers=dict(error.headers or {}))


def _methods(routes: Iterable[BaseRoute], scope: Scope) -> set[str]:
    found: set[str] = set()
    for route in routes:
        match, more = route.matches(scope)
        if match is not Match.NONE and isinstance(route, Mount):
            found |= _methods(route.routes, {**scope, **more})
        elif match is not Match.NONE and isinstance(route, Route):
            found |= route.methods or set()
    return found
