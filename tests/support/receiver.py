"""A server that takes webhooks: it notes what it is sent, and answers what the test says."""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Taken(NamedTuple):
    """A request that came.

    Attributes:
        headers: by their names in small letters.
        body: as it came.
    """

    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """What it tells."""
        event: dict[str, Any] = json.loads(self.body)
        return event


Answer = tuple[int, dict[str, str]]
"""Status and headers; status 0 never comes."""


class Receiver:
    """Takes requests on a port of its own."""

    def __init__(self) -> None:
        self._taken: dict[str, list[Taken]] = defaultdict(list)
        self._answers: dict[str, deque[Answer]] = {}
        self._ends = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @classmethod
    @contextmanager
    def listening(cls) -> Iterator[Receiver]:
        """One that listens during the block."""
        receiver = cls()
        threading.Thread(target=receiver._server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield receiver
        finally:
            receiver._ends.set()
            receiver._server.shutdown()
            receiver._server.server_close()

    def at(self, path: str, *answers: int | Answer, user: str = "") -> str:
        """The address of `path`, which answers these one after the other, the last one ever after; 200 without any."""
        whole = [(each, {}) if isinstance(each, int) else each for each in answers]
        self._answers[path] = deque(whole or [(200, {})])
        return f"http://{user}127.0.0.1:{self._server.server_port}{path}"

    def taken(self, path: str) -> list[Taken]:
        """What came at `path` so far."""
        return list(self._taken[path])

    def types(self, path: str) -> list[str]:
        """The types of the events that came there."""
        return [each.event["type"] for each in self.taken(path)]

    def told(self, path: str) -> list[dict[str, Any]]:
        """The events that came there, each once: one whose answer is late is sent again."""
        return list({each.headers["webhook-id"]: each.event for each in self.taken(path)}.values())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                path = self.path.partition("?")[0]
                answers = receiver._answers[path]
                status, more = answers.popleft() if len(answers) > 1 else answers[0]
                receiver._taken[path].append(Taken(headers, body))
                if not status:
                    receiver._ends.wait()
                    return
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Says nothing."""

        return Handler
