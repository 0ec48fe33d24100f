"""A way to a server on which connections break at chosen moments."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

PIECE = 64 * 1024
METHODS = (b"GET ", b"POST ", b"PATCH ", b"DELETE ")


class Severed:
    """Hands on what a client and a server say, but for some answers.

    Attributes:
        url: to be used instead of the server's.
        cuts: how often the connection still breaks, when the answer begins to a request that starts so.
        cut: how many did.
    """

    def __init__(self, url: str) -> None:
        self._port = urlsplit(url).port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.cuts: dict[bytes, int] = {}
        self.cut = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._port or 0))
                asked: list[bytes] = []
                threading.Thread(target=self._ask, args=(client, server, asked), daemon=True).start()
                threading.Thread(target=self._answer, args=(client, server, asked), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, asked: list[bytes]) -> None:
        with suppress(OSError):
            while piece := client.recv(PIECE):
                if piece.startswith(METHODS):
                    asked[:] = [piece]
                server.sendall(piece)
            server.shutdown(socket.SHUT_WR)

    def _answer(self, client: socket.socket, server: socket.socket, asked: list[bytes]) -> None:
        with client, server, suppress(OSError):
            while piece := server.recv(PIECE):
                for start, left in self.cuts.items():
                    if left and asked[0].startswith(start):
                        self.cuts[start] -= 1
                        self.cut += 1
                        client.shutdown(socket.SHUT_RDWR)
                        return
                client.sendall(piece)


@contextmanager
def severed(url: str) -> Iterator[Severed]:
    """A way to the server at `url` for a block."""
    way = Severed(url)
    try:
        yield way
    finally:
        way.close()
