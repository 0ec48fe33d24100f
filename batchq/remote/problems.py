"""What a server refuses, and connections that fail, as the errors that the same command raises on this machine."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from typing import Any, Final

from batchq import errors
from batchq.errors import BatchqError, ServerFailed, ServerRefused, ServerUnreachable, UsageError

TOKEN_HINT: Final = "Name the file of its token with --token-file, or set BATCHQ_TOKEN_FILE or BATCHQ_TOKEN."

_FIELD: Final = re.compile(r"^[a-z]+(?:_[a-z]+)*(?= must be )")


def refusal(url: str, status: int, body: bytes) -> BatchqError:
    """The error that an answer of 400 and more stands for.

    Args:
        url: of the server.
        status: of HTTP.
        body: problem details (RFC 9457), or what a proxy says.
    """
    try:
        problem = json.loads(body)
        detail, hint = str(problem["detail"]), str(problem.get("hint") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        phrase = http.client.responses.get(status, "no known status")
        return ServerFailed(url, f"HTTP {status} ({phrase}), and not in batchq's words")
    from batchq.app.wording import as_commands  # late: it loads what a request can say

    detail, hint = as_options(detail), as_commands(hint)
    if known := _known(problem.get("error")):
        return told(known, detail, hint)
    if status == 401:
        return ServerRefused(f"{url} does not know this token", TOKEN_HINT)
    if status >= 500:
        return ServerFailed(url, detail)
    return ServerRefused(detail, hint)


def told(kind: type[BatchqError], detail: str, hint: str) -> BatchqError:
    """An error in the words in which another process has told it.

    Example:
        >>> error = told(errors.BatchNotFound, "no batch 'b1' in /data", "")
        >>> str(error), error.exit_code
        ("no batch 'b1' in /data", 2)
    """
    made = kind.__new__(kind)
    made.args = (detail,)
    made.hint = hint
    return made


def as_options(text: str) -> str:
    """A message in which the fields of the API are options of the command again.

    Example:
        >>> as_options("retry_delay must be a number from 0, not -1")
        '--retry-delay must be a number from 0, not -1'
    """
    from batchq.app.request import StartRequest

    found = _FIELD.match(text)
    if found is None or found[0] not in StartRequest.__dataclass_fields__:
        return text
    return "--" + found[0].replace("_", "-") + text[found.end() :]


def unreachable(url: str, error: Exception) -> ServerUnreachable:
    """A connection that failed, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "Name the certificate of its authority with SSL_CERT_FILE."
        return ServerUnreachable(url, f"its certificate is not trusted: {error.verify_message}", hint)
    if isinstance(error, ssl.SSLError):
        return ServerUnreachable(url, "it does not speak TLS as this machine does", "Is it http:// perhaps?")
    if isinstance(error, socket.gaierror):
        return ServerUnreachable(url, "there is no host of that name", "Check the address.")
    if isinstance(error, TimeoutError):
        return ServerUnreachable(url, "no answer in time")
    if isinstance(error, ConnectionRefusedError):
        return ServerUnreachable(url, "connection refused")
    if isinstance(error, http.client.BadStatusLine) and not isinstance(error, http.client.RemoteDisconnected):
        return ServerUnreachable(url, "what answers there does not speak HTTP", "Is it https:// perhaps?")
    if isinstance(error, (ConnectionError, http.client.HTTPException)):
        return ServerUnreachable(url, "the connection was lost", was_lost=True)
    return ServerUnreachable(url, getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _known(name: Any) -> type[BatchqError] | None:
    kind = getattr(errors, name, None) if isinstance(name, str) else None
    return kind if isinstance(kind, type) and issubclass(kind, BatchqError) else None


def no_sense(url: str) -> UsageError:
    """An answer that batchq never gives."""
    return ServerRefused(f"{url} does not answer as `batchq serve` does", "Check the address, and its version.")
