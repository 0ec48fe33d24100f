"""Calls to one server: connections that are kept, time limits, and GETs that are asked again when one breaks."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from batchq.errors import BatchqError, ServerFailed, ServerUnreachable
from batchq.remote.address import Address
from batchq.remote.problems import no_sense, refusal, unreachable

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 150.0
"""Making a batch loads the function's module first, for which a server leaves two minutes."""
LONG_SECONDS: Final = 3600.0
"""For what takes as long as there are items, millions perhaps."""
PIECE: Final = 64 * 1024
LONGEST_REFUSAL: Final = 1 << 20
API: Final = "/api/v1"

T = TypeVar("T")
Query = Mapping[str, Any]
Opened = tuple[http.client.HTTPConnection, http.client.HTTPResponse]


class Told(dict[str, Any]):
    """An object in an answer: what it lacks, something else than `batchq serve` has left out."""

    url = ""

    def __missing__(self, name: str) -> Any:
        raise no_sense(self.url)


class Client:
    """Speaks with a server; of use to one thread at a time.

    Args:
        address: where it is.
        token: shown with each call.
        sleep: waits so many seconds before a call is made again.

    Example:
        client = Client(address_of("http://127.0.0.1:8765"), token)
        print(client.get("/server")["version"])
    """

    def __init__(self, address: Address, token: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self.address = address
        self._headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity", "User-Agent": "batchq"}
        self._sleep = sleep
        self._kept: http.client.HTTPConnection | None = None

    @property
    def url(self) -> str:
        """Of the server, for messages."""
        return self.address.url

    def get(self, path: str, patient: bool = False, **query: Any) -> dict[str, Any]:
        """The JSON object at `path`.

        Args:
            path: below ``/api/v1``.
            patient: for about a minute, wait for a server that does not answer: it may be starting again.
            query: parameters; None leaves one out.

        Raises:
            ServerUnreachable: it does not answer.
            BatchqError: what the server refuses, as the same command would raise it here.
        """
        return self._json(self.get_text(path, patient, **query))

    def get_text(self, path: str, patient: bool = False, **query: Any) -> str:
        """The text at `path`; as `get`."""

        def ask() -> str:
            return self._whole(*self._open("GET", path, query))

        return self._repeated(ask, patient)

    def stream(self, path: str, **query: Any) -> Iterator[bytes]:
        """What stands at `path`, in pieces, however large; refusals come at once, not with the first piece."""
        return self._pieces(*self._repeated(lambda: self._open("GET", path, query), patient=False))

    def lines(self, path: str, headers: Mapping[str, str], silence: float, **query: Any) -> Iterator[bytes]:
        """The lines of an answer that goes on and on; ends where the server ends it.

        Args:
            path: as in `get`.
            headers: more of them.
            silence: seconds without a line after which the connection counts as broken.
            query: parameters.
        """
        opened = self._saying(lambda: self._open("GET", path, query, headers=headers, seconds=silence))
        connection, response = opened
        with contextlib.closing(connection), contextlib.closing(response):
            while line := self._saying(response.readline):
                yield line

    def change(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, seconds: float = ANSWER_SECONDS
    ) -> dict[str, Any]:
        """Do something, once: whether a call was heard that broke off, nobody knows.

        Args:
            method: of HTTP.
            path: as in `get`.
            body: the JSON object to send.
            seconds: without an answer after which the connection counts as broken.
        """
        data = None if body is None else json.dumps(body).encode()

        def ask() -> str:
            self.close()  # the server may have closed it by now, and this is not asked twice
            headers = {"Content-Type": "application/json"}
            return self._whole(*self._open(method, path, {}, data, headers, seconds))

        return self._json(self._saying(ask))

    def send(self, path: str, query: Query, headers: Mapping[str, str], body: Iterable[bytes]) -> dict[str, Any]:
        """POST what is large, in pieces as they come; raises as `get`."""

        def ask() -> str:
            self.close()
            return self._whole(*self._open("POST", path, query, body, headers))

        return self._json(self._saying(ask))

    def _repeated(self, ask: Callable[[], T], patient: bool) -> T:
        """Ask until there is an answer, or no hope of one."""
        failed: BatchqError
        for attempt in count(1):
            try:
                return ask()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                lost = unreachable(self.url, error)
                lost.__cause__ = error
                hopeful, failed = patient or lost.was_lost, lost
            except (ServerFailed, ServerUnreachable) as error:  # it may be starting again, behind a proxy perhaps
                hopeful, failed = patient, error
            delay = _delay(failed, attempt, patient) if hopeful else None
            if delay is None:
                raise failed
            self._sleep(delay)
        raise AssertionError("it counts without end")

    def _saying(self, ask: Callable[[], T]) -> T:
        """Ask once."""
        try:
            return ask()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise unreachable(self.url, error) from error

    def _open(
        self,
        method: str,
        path: str,
        query: Query,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> Opened:
        """The beginning of an answer; raises what the server refuses."""
        connection = self._kept or self._new()
        self._kept = None
        try:
            if connection.sock is None:
                self._connect(connection)
            connection.sock.settimeout(seconds)
            try:
                connection.request(method, self._target(path, query), body, {**self._headers, **(headers or {})})
            except (BrokenPipeError, ConnectionResetError):
                if body is None or isinstance(body, bytes):
                    raise
                # It would not hear the rest: it has refused already.
            response = connection.getresponse()
            if response.status >= 300:
                said = response.read(LONGEST_REFUSAL)
                raise no_sense(self.url) if response.status < 400 else refusal(self.url, response.status, said)
        except BaseException:
            connection.close()
            raise
        return connection, response

    def _whole(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> str:
        """The text of an answer, whose connection is kept."""
        text = response.read().decode("utf-8", "replace")
        self._kept = connection
        return text

    def _pieces(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> Iterator[bytes]:
        with contextlib.closing(connection), contextlib.closing(response):
            while piece := self._saying(lambda: response.read1(PIECE)):
                yield piece
            if response.length:
                raise ServerUnreachable(self.url, "the connection was lost before all was there", "Ask again.")

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        try:
            connection.connect()
        except OSError as error:
            failed = unreachable(self.url, error)
            failed.was_lost = False  # there was none
            raise failed from error

    def _new(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.address.is_secure else http.client.HTTPConnection
        return kind(self.address.host, self.address.port, timeout=CONNECT_SECONDS)

    def close(self) -> None:
        """Close the connection that is kept."""
        if self._kept is not None:
            self._kept.close()
        self._kept = None

    def _target(self, path: str, query: Query) -> str:
        given = {name: _text(value) for name, value in query.items() if value is not None}
        asked = urlencode(given, doseq=True)
        return f"{self.address.prefix}{API}{path}" + (f"?{asked}" if asked else "")

    def _told(self, members: dict[str, Any]) -> Told:
        told = Told(members)
        told.url = self.url
        return told

    def _json(self, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text or "{}", object_hook=self._told)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise no_sense(self.url)
        return value


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def _delay(error: BatchqError, attempt: int, patient: bool) -> float | None:
    """Seconds before the next attempt, by the rules that items are tried again by; None to give up."""
    from batchq.config import RetryConfig
    from batchq.engine.retry import RetryHandler

    attempts, longest = (11, 10.0) if patient else (4, 2.0)
    return RetryHandler(RetryConfig(attempts, 2.0, 0.2, longest, jitter=0.1)).delay_after(error, attempt)
