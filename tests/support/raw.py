"""HTTP by hand: requests that no client would send, over a socket."""

from __future__ import annotations

import socket
from contextlib import closing
from http.client import HTTPMessage, HTTPResponse
from typing import NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: of HTTP.
        headers: of the answer.
        body: its bytes, without their framing.
    """

    status: int
    headers: HTTPMessage
    body: bytes


def connect(url: str, seconds: float = 20.0) -> socket.socket:
    """A connection to a server."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), seconds)


def read_answer(connection: socket.socket, method: str = "GET") -> Answer:
    """The next answer on a connection."""
    with closing(HTTPResponse(connection, method=method)) as response:
        response.begin()
        return Answer(response.status, response.headers, response.read())


def ask(url: str, request: bytes, method: str = "GET") -> Answer:
    """Send these bytes, and read an answer."""
    with closing(connect(url)) as connection:
        connection.sendall(request)
        return read_answer(connection, method)


def is_ended(connection: socket.socket) -> bool:
    """Whether the other side has ended a connection, of which nothing more is read."""
    connection.setblocking(False)
    try:
        while data := connection.recv(65536):
            assert data
        return True
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
