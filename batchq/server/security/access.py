"""Who may call: whoever shows the token, or the cookie that a browser got for it.

No secret is compared here but by `hmac.compare_digest`, and then the hashes of both, so that neither where two texts
differ nor how long they are shows in how long that takes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from batchq.server.security.attempts import FailedLogins
from batchq.server.security.logouts import LogOuts

LINK_SECONDS: Final = 600
MOST_LINKS: Final = 100
SECRETS: Final = re.compile(r"once-[A-Za-z0-9_-]{32}|\d{10,}\.[A-Za-z0-9_-]{16}\.[0-9a-f]{64}")
"""Codes of links, and cookies."""


class Access:
    """Checks tokens, cookies and one-time links.

    Args:
        token: the server's.
        now: a clock in seconds that is never set back.
        logouts: who has logged out before; None: nobody, and it is forgotten with this object.

    Example:
        >>> access = Access("not-so-secret-not-so-secret-not-so")
        >>> access.is_token("not-so"), access.is_cookie(access.cookie())
        (False, True)
    """

    def __init__(self, token: str, now: Callable[[], float] = time.monotonic, logouts: LogOuts | None = None) -> None:
        self._token = token
        self._now = now
        self._links: dict[bytes, float] = {}
        self._logouts = logouts or LogOuts()
        self.failed = FailedLogins(now)
        """How often whom has been wrong."""
        self.cookie_name = f"batchq-{self._sign('name')[:8]}"
        """Another one for each token: cookies do not tell the ports of a host apart, and so not its servers."""

    def is_token(self, given: str) -> bool:
        """Whether it is the token, compared in constant time."""
        return hmac.compare_digest(_hash(given), _hash(self._token))

    def make_link(self) -> str:
        """A code that logs a browser in once, within ten minutes."""
        now = self._now()
        self._links = {code: until for code, until in self._links.items() if until > now}
        while len(self._links) >= MOST_LINKS:
            del self._links[next(iter(self._links))]
        code = f"once-{secrets.token_urlsafe(24)}"
        self._links[_hash(code)] = now + LINK_SECONDS
        return code

    def use_link(self, code: str) -> bool:
        """Whether that code logs in; it does so once."""
        return self._links.pop(_hash(code), 0.0) > self._now()

    def cookie(self) -> str:
        """A value that stands for the token for a month; another token makes it void."""
        named = f"{self._logouts.expiry()}.{secrets.token_urlsafe(12)}"
        return f"{named}.{self._sign(named)}"

    def is_cookie(self, given: str) -> bool:
        """Whether `cookie` has made it, within the last month, and nobody has logged out with it."""
        named, _, signature = given.rpartition(".")
        if not hmac.compare_digest(_hash(signature), _hash(self._sign(named))):
            return False
        return named not in self._logouts and int(named.partition(".")[0]) > time.time()

    def log_out(self, given: str) -> None:
        """A cookie counts no longer, also for the servers after this one. Writes to the disk."""
        if self.is_cookie(given):
            self._logouts.add(given.rpartition(".")[0])

    def hide(self, text: str) -> str:
        """`text` without the token, codes of links, and cookies.

        Example:
            >>> Access("x" * 32).hide("GET /?token=" + "x" * 32)
            'GET /?token=[hidden]'
        """
        for form in (self._token, quote(self._token), quote(self._token, safe="")):
            text = text.replace(form, "[hidden]")
        return SECRETS.sub("[hidden]", text)

    def _sign(self, text: str) -> str:
        return hmac.new(self._token.encode(), b"cookie\0" + _bytes(text), "sha256").hexdigest()


def _hash(text: str) -> bytes:
    return hashlib.sha256(_bytes(text)).digest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # JSON can hold half a surrogate pair
