"""HTTP by the byte: answers that are cut off, not read, or broken off look here like what they are."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from served import Served

SECONDS = 30.0


class Wire:
    """One call on a connection of its own.

    Args:
        server: the server.
        path: below ``/api/v1/``.
        headers: of the call; an empty one is left out.
        buffer: bytes that the system keeps for this client; None for as many as it likes.

    Attributes:
        status: of the answer.
        headers: of the answer, in small letters.
    """

    def __init__(self, server: Served, path: str, buffer: int | None = None, **headers: str) -> None:
        address = urlsplit(server.url)
        self._socket = socket.socket()
        self._socket.settimeout(SECONDS)
        if buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.connect((address.hostname, address.port))
        said = {"Host": address.netloc, "Authorization": f"Bearer {server.token}"}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"GET /api/v1/{path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items() if value)]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._raw = self._socket.makefile("rb", buffering=buffer or -1)
        self.status = int(self._raw.readline().split()[1])
        self.headers = dict(iter(self._header, ("", "")))

    def _header(self) -> tuple[str, str]:
        name, _, value = self._raw.readline().decode().strip().partition(": ")
        return name.lower(), value

    def chunks(self) -> Iterator[bytes]:
        """The answer as it comes; raises ConnectionError where it breaks off."""
        return iter(self._chunk, b"")

    def _chunk(self) -> bytes:
        size = self._raw.readline()
        if not size:
            raise ConnectionError("broken off")
        chunk = self._raw.read(int(size, 16) + 2)
        if len(chunk) < int(size, 16) + 2:
            raise ConnectionError("broken off")
        return chunk[:-2]

    def close(self) -> None:
        """Cut it off."""
        self._raw.close()
        self._socket.close()


class Event(dict[str, Any]):
    """The data of an event, with its kind and its id."""

    kind = ""
    number = ""


class Stream(Wire):
    """A client of events as a browser is one: it reads, notes the last id, and may be cut off anywhere.

    Args:
        server: the server.
        path: of the events.
        last: id of the last event that it has got.
        headers: of the call.
    """

    def __init__(self, server: Served, path: str, last: str = "", **headers: str) -> None:
        self.last = last
        super().__init__(server, path, Last_Event_ID=last, **headers)
        self._events = self._parse()

    def events(self) -> Iterator[Event]:
        """Each event that comes, until the stream ends as it should; raises ConnectionError where it breaks off."""
        return self._events

    def until(self, kind: str, **values: Any) -> Event:
        """The first event of that kind with these values."""
        deadline = time.monotonic() + SECONDS
        for event in self.events():
            assert time.monotonic() < deadline, f"no {kind} {values}"
            if event.kind == kind and values.items() <= event.items():
                return event
        raise AssertionError(f"ended without {kind} {values}")

    def _parse(self) -> Iterator[Event]:
        event, data = Event(), ""
        for line in self._lines():
            name, _, value = line.partition(": ")
            if name == "id":
                self.last = value
            elif name == "event":
                event.kind = value
            elif name == "data":
                data += value
            elif not line:
                if data:
                    event.update(json.loads(data, parse_constant=lambda name: pytest.fail(name)))
                    event.number = self.last
                    yield event
                event, data = Event(), ""

    def _lines(self) -> Iterator[str]:
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode() for line in lines)
