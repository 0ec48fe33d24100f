"""Puts the calls together: which path is answered by what, behind the guard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.staticfiles import StaticFiles

from batchq.errors import BatchqError
from batchq.server.api import (
    actions,
    batches,
    creation,
    downloads,
    events,
    handlers,
    history,
    items,
    login,
    metrics,
    openapi,
    operation,
    preview,
)
from batchq.server.api.answers import ServerState
from batchq.server.api.calls import Calls
from batchq.server.api.faults import Faults
from batchq.server.api.metrics import Counted
from batchq.server.api.quick import QuickStatus
from batchq.server.problems import Problem, answer_problem
from batchq.server.security.guard import Guard
from batchq.server.security.headers import SafeHeaders

API: Final = "/api/v1"
BATCH: Final = "/batches/{batch_id}"
HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})


async def dashboard(_: Request) -> Response:
    """GET /: the dashboard."""
    return FileResponse(login.STATIC / "index.html")


def routes() -> list[BaseRoute]:
    """Every path that is answered."""
    return [
        Route("/", dashboard),
        Route("/login", login.login_page),
        Route("/login", login.login, methods=["POST"]),
        Route("/logout", login.logout, methods=["POST"]),
        Route("/healthz", operation.healthz),
        Route("/readyz", operation.readyz),
        Route("/metrics", metrics.metrics),
        Mount("/static", StaticFiles(directory=login.STATIC)),
        Mount(
            API,
            routes=[
                Route("/server", operation.server_info),
                Route("/openapi.json", openapi.get_openapi),
                Route("/handlers", handlers.list_handlers),
                Route("/preview", preview.preview, methods=["POST"]),
                Route("/login-links", login.make_link, methods=["POST"]),
                Route("/events", events.home_events),
                Route("/batches", batches.list_batches),
                Route("/batches", creation.create, methods=["POST"]),
                Route("/batches/upload", creation.upload, methods=["POST"]),
                Route(BATCH, batches.get_batch),
                Route(BATCH, batches.delete_batch, methods=["DELETE"]),
                Route(BATCH, actions.change, methods=["PATCH"]),
                Route(f"{BATCH}/events", events.batch_events),
                Route(f"{BATCH}/items", items.items),
                Route(f"{BATCH}/items/{{item:path}}", items.item),
                Route(f"{BATCH}/failures", items.failures),
                Route(f"{BATCH}/log", items.log),
                Route(f"{BATCH}/history", history.batch_history),
                Route(f"{BATCH}/results", downloads.results),
                Route(f"{BATCH}/report", downloads.report),
                Route(f"{BATCH}/pause", actions.pause, methods=["POST"]),
                Route(f"{BATCH}/resume", actions.resume, methods=["POST"]),
                Route(f"{BATCH}/cancel", actions.cancel, methods=["POST"]),
                Route(f"{BATCH}/retry", actions.retry, methods=["POST"]),
            ],
        ),
    ]


def paths(routes: Iterable[BaseRoute], before: str = "") -> dict[int, str]:
    """The path of each endpoint, as it is written in the routes, by the endpoint's `id`."""
    found: dict[int, str] = {}
    for route in routes:
        if isinstance(route, Mount) and route.routes:
            found |= paths(route.routes, before + route.path)
        elif isinstance(route, Mount):
            found[id(route.app)] = f"{before}{route.path}/{{path}}"
        elif isinstance(route, Route):
            found[id(route.endpoint)] = before + route.path
    return found


def make_app(state: ServerState) -> Starlette:
    """The application of a server."""
    hosts = HOSTS | {state.settings.host} | set(state.settings.hosts)
    answered = routes()
    app = Starlette(
        routes=answered,
        middleware=[
            Middleware(Counted, requests=state.load.requests, routes=paths(answered)),
            Middleware(SafeHeaders),
            Middleware(Calls),
            Middleware(Faults),
            Middleware(Guard, access=state.access, hosts=hosts),
            Middleware(QuickStatus, catalog=state.catalog),
        ],
        exception_handlers=dict.fromkeys((Problem, BatchqError, HTTPException, OSError), answer_problem),
    )
    for router in (app.router, *(route.app for route in app.routes if isinstance(route, Mount))):
        if isinstance(router, Router):
            router.redirect_slashes = False  # a path is right or wrong
    app.state.server = state
    return app
