"""The server that runs on a home, as seen by the commands of the same machine; loads nothing of the server itself.

<home>/.server/lock      held by the server that lives
<home>/.server/address   where it can be reached, written anew at each start
<home>/.server/token     what a call has to show
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from batchq.errors import ServerSilent, UsageError
from batchq.store.home import FileLock, Home

ANSWER_SECONDS: Final = 10.0


class Running(NamedTuple):
    """A server that lives.

    Attributes:
        holder: its process, in words.
        url: where it can be reached; None while it starts.
        token_file: where its token is.
    """

    holder: str
    url: str | None
    token_file: Path

    def __str__(self) -> str:
        return f"{self.holder}, at {self.url}" if self.url else self.holder


def server_lock(home: Home) -> FileLock:
    """The lock that a server of this home holds for as long as it lives (a new object at each call)."""
    return FileLock(home.server_folder / "lock")


def address_file(home: Home) -> Path:
    """Where the server of this home says how it can be reached."""
    return home.server_folder / "address"


def server_of(home: Home) -> Running | None:
    """The server that runs on a home; None where none does, whatever a dead one has left there."""
    lock = server_lock(home)
    if not lock.is_held():
        return None
    told: dict[str, Any] = {}
    try:
        read = json.loads(address_file(home).read_bytes())
        told = read if isinstance(read, dict) else {}
    except (OSError, ValueError):
        pass  # it is just starting
    url, token_file = told.get("url"), told.get("token_file")
    return Running(
        str(lock.holder() or "a process unknown"),
        url if isinstance(url, str) else None,
        Path(token_file) if isinstance(token_file, str) else home.server_folder / "token",
    )


def login_link(home: Home) -> str:
    """A new link that logs a browser in once to the server that runs on a home.

    Raises:
        UsageError: none runs there, or its token cannot be read.
        ServerSilent: it gives no answer.
    """
    from urllib.error import URLError
    from urllib.request import ProxyHandler, Request, build_opener

    server = server_of(home)
    if server is None:
        raise UsageError(f"no server runs on {home.path}", "`batchq serve` starts one.")
    if server.url is None:
        raise ServerSilent(str(server), "it is only starting")
    try:
        token = server.token_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot read the token in {server.token_file}: {reason}") from error
    request = Request(f"{server.url}/api/v1/login-links", b"", {"Authorization": f"Bearer {token}"}, method="POST")
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=ANSWER_SECONDS) as answer:
            url: str = json.load(answer)["url"]
    except (URLError, OSError, ValueError, KeyError) as error:
        raise ServerSilent(str(server), str(getattr(error, "reason", error))) from error
    return url
