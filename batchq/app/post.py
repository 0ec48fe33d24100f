"""One HTTP request to an address of ``--notify``: no redirect is followed, no proxy of the environment is used."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    Request,
)

from batchq.errors import Permanent


def post(address: str, body: bytes, headers: Mapping[str, str], seconds: float) -> None:
    """Send `body` as JSON, and return when the receiver has taken it.

    Args:
        address: http or https; a user and password in it become ``Authorization: Basic``.
        body: JSON text.
        headers: beside those of HTTP itself.
        seconds: to wait for the connection, and for each part of the answer.

    Raises:
        HTTPError: the answer was none from 200 to 299.
        Permanent: it was a redirect.
        OSError: there was no answer; `URLError` is one of them.
    """
    parts = urlsplit(address)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    request = Request(
        bare, body, {"Content-Type": "application/json", "User-Agent": "batchq", **headers}, method="POST"
    )
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    try:
        _opener().open(request, timeout=seconds).close()
    except HTTPError as error:
        error.close()
        if 300 <= error.code < 400:
            raise Permanent(f"HTTP {error.code}, and redirects are not followed") from None
        raise


def words_of(error: BaseException) -> str:
    """Why a request was of no use; nothing of its address.

    Example:
        >>> words_of(HTTPError("http://localhost/?token=t", 503, "busy", {}, None))
        'HTTP 503'
        >>> words_of(URLError(ConnectionRefusedError(111, "Connection refused")))
        'Connection refused'
    """
    if isinstance(error, HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        error = error.reason
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


def _opener() -> OpenerDirector:
    opener = OpenerDirector()
    for handler in (HTTPHandler, HTTPSHandler, HTTPDefaultErrorHandler, HTTPErrorProcessor):
        opener.add_handler(handler())
    return opener
