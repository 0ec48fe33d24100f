"""GET /metrics: the server and what runs on it, in the text format of Prometheus.

Written by hand: the format is a line a number, and all of them are known here already, while the usual library keeps
counters of its own in a registry of the process.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import psutil
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchq import __version__
from batchq.server.api import params
from batchq.server.api.answers import ServerState, state_of
from batchq.server.running.catalog import Entry, summary

MEDIA: Final = "text/plain; version=0.0.4; charset=utf-8"
RECENT_SECONDS: Final = 3600.0
"""A batch has numbers of its own while it runs, and for an hour after its end: names of old ones would heap up."""
MOST_BATCHES: Final = 100
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"})
"""Counted by their names; any other word may stand for a method in a call, and each would be kept for ever."""

Sample = tuple[Mapping[str, str], float]


class Counted:
    """Counts requests by method, route and status.

    Args:
        app: what answers.
        requests: the counts.
        routes: the path of each endpoint, as it is written in the routes, by its `id`.
    """

    def __init__(self, app: ASGIApp, requests: Counter[tuple[str, str, int]], routes: Mapping[int, str]) -> None:
        self._app = app
        self._requests = requests
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call, and count it as soon as its status is known."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                # What no route knows, or the guard refuses, may have any path.
                route = self._routes.get(id(scope.get("endpoint")), "other")
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._requests[method if route != "other" else "any", route, message["status"]] += 1
            await send(message)

        await self._app(scope, receive, counting)


async def metrics(request: Request) -> Response:
    """GET /metrics."""
    params.only(request)
    return Response("".join(_lines(state_of(request))), media_type=MEDIA)


def _lines(state: ServerState) -> Iterator[str]:
    entries, load, daemon = state.catalog.entries(), state.load, state.daemon
    yield from _family("batchq_build_info", "gauge", "What runs.", [({"version": __version__}, 1)])
    states = [({"state": name}, float(count)) for name, count in sorted(summary(entries).items())]
    yield from _family("batchq_batches", "gauge", "Batches by state.", states)
    unreadable = float(len(state.catalog.errors()))
    yield from _family("batchq_batches_unreadable", "gauge", "Batches that cannot be read.", _one(unreadable))
    yield from _of_batches(entries)
    requests = [
        ({"method": method, "route": route, "status": str(status)}, float(count))
        for (method, route, status), count in sorted(load.requests.items())
    ]
    yield from _family("batchq_http_requests_total", "counter", "Calls by route and status.", requests)
    for name, slots in (("event_streams", load.streams), ("downloads", load.downloads)):
        yield from _family(f"batchq_{name}", "gauge", "That are open now.", _one(slots.taken))
        refused = _one(slots.refused)
        yield from _family(f"batchq_{name}_refused_total", "counter", "For which there was no room.", refused)
    restarts = _one(daemon.restarts)
    yield from _family("batchq_supervisor_restarts_total", "counter", "Supervisors that died and began anew.", restarts)
    scan = _one(daemon.scan_seconds)
    yield from _family("batchq_scan_seconds", "gauge", "That the last look at all batches took.", scan)
    yield from _of_process()


def _of_batches(entries: Iterable[Entry]) -> Iterator[str]:
    shown = [entry for entry in entries if _is_shown(entry)][:MOST_BATCHES]
    items: list[Sample] = []
    for entry in shown:
        tally = entry.status.tally
        counts = {"success": tally.success, "failed": tally.failed, "pending": tally.items - tally.done}
        items += [({"batch_id": entry.status.batch_id, "status": name}, float(n)) for name, n in counts.items()]
    yield from _family("batchq_items", "gauge", "Items by what has come of them, of batches that run.", items)
    attempts = [(_name(entry), float(entry.status.tally.attempts)) for entry in shown]
    yield from _family("batchq_attempts_total", "counter", "Attempts that ended.", attempts)
    retries = [(_name(entry), float(entry.status.tally.retries)) for entry in shown]
    yield from _family("batchq_retries_total", "counter", "Failed attempts that were followed by another.", retries)
    flying = [(_name(entry), float(entry.in_flight)) for entry in shown]
    yield from _family("batchq_in_flight", "gauge", "Items that run now.", flying)


def _is_shown(entry: Entry) -> bool:
    ended = entry.status.ended_at
    return entry.status.holder is not None or (ended is not None and time.time() - ended < RECENT_SECONDS)


def _name(entry: Entry) -> Mapping[str, str]:
    return {"batch_id": entry.status.batch_id}


def _of_process() -> Iterator[str]:
    process = psutil.Process(os.getpid())
    with process.oneshot():
        times, memory = process.cpu_times(), process.memory_info()
        values = {
            ("process_cpu_seconds_total", "counter", "CPU time of the server."): times.user + times.system,
            ("process_resident_memory_bytes", "gauge", "Memory of the server."): float(memory.rss),
            ("process_start_time_seconds", "gauge", "When the server began, since 1970."): process.create_time(),
            ("process_open_fds", "gauge", "Open files of the server."): float(process.num_fds()),
        }
    for (name, kind, explained), value in values.items():
        yield from _family(name, kind, explained, _one(value))


def _family(name: str, kind: str, explained: str, samples: Iterable[Sample]) -> Iterator[str]:
    """The lines of one metric.

    Example:
        >>> print("".join(_family("up", "gauge", "Is it?", [({"job": "a"}, 1.0)])), end="")
        # HELP up Is it?
        # TYPE up gauge
        up{job="a"} 1.0
    """
    yield f"# HELP {name} {explained}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{'{' + inner + '}' if inner else ''} {value!r}\n"


def _one(value: float) -> list[Sample]:
    """The sample of a metric that has no labels."""
    return [({}, float(value))]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
