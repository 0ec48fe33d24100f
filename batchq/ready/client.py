"""One HTTP client for each worker, of aiohttp; imported in workers only.

aiohttp rather than httpx or httpx2: with many requests side by side it takes a fraction of their time (an open issue of
both), and httpx has had no release for long.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from batchq.context import Context
from batchq.errors import BODY_SHOWN, AnswerTooLarge, BadAnswer, BadRedirect, HttpError, NoAnswer, Permanent
from batchq.ready.messages import Answer, Request, says_json
from batchq.ready.quota import seconds_until_more
from batchq.ready.variables import Variables
from batchq.urls import SCHEMES, shown

MAX_RESPONSE: Final = 16 * 2**20
"""Bytes of an answer, decompressed."""
MAX_REDIRECTS: Final = 5
CONNECT_SECONDS: Final = 30.0
"""A host that has not taken a connection by then takes none; all else is a matter of the attempt's own limit."""
LONGEST_HEADER: Final = 2**16
READ_BYTES: Final = 2**16
"""Are read at once; of the body of an error no more, so that its connection can be used again."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SECRET: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Headers that no other host gets, whatever is in them."""
_OF_A_BODY: Final = frozenset({"content-type", "content-length", "content-encoding", "idempotency-key"})


class Client:
    """Sends requests over connections that are kept; `open_client` makes it.

    Args:
        session: of aiohttp.
        variables: the secrets, which no text that comes back may have.
        max_response: bytes of an answer, decompressed.
        max_redirects: followed for one request; 0 for none.
    """

    def __init__(
        self, session: aiohttp.ClientSession, variables: Variables, max_response: int, max_redirects: int
    ) -> None:
        self.variables = variables
        self._session = session
        self._max_response = max_response
        self._max_redirects = max_redirects
        self._proxies = getproxies()
        self._bypassed: dict[str, bool] = {}

    async def send(self, request: Request, context: Context | None = None) -> Answer:
        """Send `request`, follow redirects, and read the answer to its end.

        Args:
            request: what to send.
            context: of the attempt; the whole batch waits where the answer says that the quota is used up.

        Raises:
            HttpError: the answer has a status from 400.
            NoAnswer: none came, or not to its end.
            BadAnswer: it says that it is JSON, and is not even text.
            AnswerTooLarge: it has more bytes than it may have.
            BadRedirect: it redirects once too often, or to what is no HTTP.
            Permanent: there is no such address.

        Example:
            >>> async def title(client, ctx):
            ...     answer = await client.send(Request("GET", "https://example.org/title"), ctx)
            ...     return answer.text
        """
        for left in range(self._max_redirects, -1, -1):
            try:
                answer = await self._send(request, context)
            except ValueError as error:  # aiohttp's InvalidURL is one as well
                told = f"no request can be made to {shown(request.url)}: {error}"
                raise Permanent(self.variables.clean(told)) from None
            except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
                told = f"no answer of {_host(request.url)}: {_words(error)}"
                raise NoAnswer(self.variables.clean(told)) from None
            if isinstance(answer, Answer):
                return answer
            status, place = answer
            told = f"HTTP {status}: the answer redirects to {self.variables.clean(shown(place))}"
            if not left:
                raise BadRedirect(f"{told}, and {self._max_redirects} redirects may be followed")
            request = _redirected(request, status, place, told)
        raise AssertionError("not reached")

    async def _send(self, request: Request, context: Context | None) -> Answer | tuple[int, str]:
        """The answer, or the status of a redirect and its place."""
        async with self._session.request(
            request.method,
            request.url,
            headers=request.headers,
            data=request.body,
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
            proxy=self._proxy_for(URL(request.url)),
        ) as response:
            if context is not None and (seconds := seconds_until_more(response.headers)):
                context.hold(seconds)
            if response.status in _REDIRECTS:
                if not (place := response.headers.get("location")):
                    raise BadRedirect(f"HTTP {response.status}: the answer redirects, and does not say where")
                return response.status, place
            if response.status >= 400:
                raise await self._error(response)
            return Answer(response.status, response.headers, self._text(response, await self._read(response)))

    async def _error(self, response: aiohttp.ClientResponse) -> HttpError:
        body = b""
        with suppress(aiohttp.ClientError, OSError, asyncio.TimeoutError):  # its status says enough
            while len(body) < READ_BYTES and (chunk := await response.content.read(READ_BYTES - len(body))):
                body += chunk
        # Of half a secret at the end nothing would be found.
        text = self.variables.clean(body.decode("utf-8", "replace"))[:BODY_SHOWN]
        return HttpError(response.status, self.variables.clean(response.reason or ""), response.headers, text)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        limit = self._max_response
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_chunked(READ_BYTES):
            size += len(part)
            if size > limit:
                raise AnswerTooLarge(limit)
            parts.append(part)
        return b"".join(parts)

    def _text(self, response: aiohttp.ClientResponse, body: bytes) -> str:
        if says_json(response.headers.get("content-type", "")):
            try:
                return self.variables.clean_answer(body.decode("utf-8-sig"), is_json=True)
            except UnicodeDecodeError:
                raise BadAnswer(f"HTTP {response.status}: the answer says that it is JSON, and is no UTF-8") from None
        try:
            text = body.decode(response.charset or "utf-8", "replace")
        except (LookupError, UnicodeError):  # an encoding that nobody knows, or one of names of hosts
            text = body.decode("utf-8", "replace")
        return self.variables.clean_answer(text, is_json=False)

    def _proxy_for(self, url: URL) -> str | None:
        # Not by aiohttp's trust_env: that sends the passwords of ~/.netrc too, and reads that file for each request.
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        if proxy is None:
            return None
        place = f"{url.host}:{url.port}"
        if place not in self._bypassed:
            self._bypassed[place] = bool(proxy_bypass(place))
        return None if self._bypassed[place] else proxy


@asynccontextmanager
async def open_client(
    variables: Variables, max_response: int = MAX_RESPONSE, max_redirects: int = MAX_REDIRECTS
) -> AsyncIterator[Client]:
    """The client of a worker, which is closed at the end.

    Args:
        variables: the secrets that its requests carry.
        max_response: bytes of an answer, decompressed.
        max_redirects: followed for one request; 0 for none.

    Example:
        >>> async def fetch(url):
        ...     async with open_client(Variables({})) as client:
        ...         return await client.send(Request("GET", url))
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),  # the slots are the limit
        cookie_jar=aiohttp.DummyCookieJar(),  # what one item is answered is none of the next one's business
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        headers={"User-Agent": "batchq"},
        max_line_size=LONGEST_HEADER,
        max_field_size=LONGEST_HEADER,
    ) as session:
        yield Client(session, variables, max_response, max_redirects)


def _redirected(request: Request, status: int, place: str, told: str) -> Request:
    """The request that follows a redirect."""
    before = URL(request.url)
    try:
        after = before.join(URL(place))
        known = after.scheme in SCHEMES and bool(after.host)
    except ValueError:
        known = False
    if not known:
        raise BadRedirect(f"{told}, which is no http address")
    left_out: set[str] = set()
    method, body = request.method, request.body
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        left_out |= _OF_A_BODY
    if before.origin() != after.origin():
        if request.secret_body and body is not None:
            raise BadRedirect(f"{told}, another host, which must not get the secret in the body")
        left_out |= _SECRET | request.secret
    headers = {name: value for name, value in request.headers.items() if name.lower() not in left_out}
    return replace(request, method=method, url=str(after), headers=headers, body=body)


def _host(url: str) -> str:
    place = URL(url)
    return f"{place.host}:{place.explicit_port}" if place.explicit_port else str(place.host)


def _words(error: BaseException) -> str:
    """What happened to a connection: short, and the same for each item."""
    if isinstance(error, (aiohttp.ClientConnectorDNSError, socket.gaierror)):
        return "there is no such host"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "it is not valid"
        return f"its certificate cannot be trusted: {reason}"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"no secure connection: {getattr(error.os_error, 'reason', None) or 'it speaks no TLS'}"
    if isinstance(error, aiohttp.ServerTimeoutError):
        return f"no connection within {CONNECT_SECONDS:g} s"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed before an answer came"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered with HTTP {error.status}"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"what it says is no HTTP: {' '.join(error.message.split())[:200]}"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    return type(error).__name__
