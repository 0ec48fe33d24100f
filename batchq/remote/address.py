"""Where a server is, and the token that it wants to see."""

from __future__ import annotations

import ipaddress
import json
import os
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from batchq.errors import ConfigError, UsageError

EXPECTED: Final = "the address of a server, such as http://127.0.0.1:8765"
TOKEN: Final = "BATCHQ_TOKEN"
INSECURE: Final = "BATCHQ_INSECURE"
"""Set to 1, it lets a token go over a network that anybody may listen to."""
PORTS: Final = {"http": 80, "https": 443}


class Address(NamedTuple):
    """Of a server.

    Attributes:
        url: as it is told, without a slash at its end.
        is_secure: by TLS.
        host: name or number.
        port: number.
        prefix: path before ``/api``, where a proxy has put one; empty or ``/…``.
    """

    url: str
    is_secure: bool
    host: str
    port: int
    prefix: str

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine: nobody else hears what is said."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def address_of(url: str) -> Address:
    """The address in `url`.

    Raises:
        ConfigError: it is none.
        UsageError: a token would be sent to another machine in the clear.

    Example:
        >>> address_of("https://example.org/batches/").prefix, address_of("http://localhost:8765").port
        ('/batches', 8765)
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ConfigError("--server", url, EXPECTED) from None
    if parts.scheme not in PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError("--server", url, EXPECTED)
    if parts.username is not None or parts.password is not None:
        raise UsageError("--server takes no name and no password", "The token is read from a file: --token-file.")
    found = Address(
        url.strip().rstrip("/"),
        parts.scheme == "https",
        parts.hostname,
        PORTS[parts.scheme] if port is None else port,
        parts.path.rstrip("/"),
    )
    if not found.is_secure and not found.is_loopback and os.environ.get(INSECURE, "0") in ("", "0"):
        raise UsageError(
            f"{found.url} would be shown the token in the clear",
            f"Use https, or a tunnel (ssh -L 8765:localhost:8765 {found.host}); or say {INSECURE}=1 if nobody listens.",
        )
    return found


def token_of(address: Address, token_file: str | None, home: Path) -> str:
    """The token for a server: of the file that is named, of $BATCHQ_TOKEN, or of a server on this user's own home.

    Args:
        address: of the server.
        token_file: the file; None where none is named.
        home: of this user's own batches.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    if token_file is not None:
        return _checked(_read(Path(token_file).expanduser()), f"in {token_file}")
    if os.environ.get(TOKEN):
        return _checked(os.environ[TOKEN], f"in {TOKEN}")
    own = _own_token(home, address) if address.is_loopback else None
    if own is not None and own.exists():
        return _checked(_read(own), f"in {own}")
    raise UsageError(
        f"no token for {address.url}",
        f"Name a file with --token-file, or set BATCHQ_TOKEN_FILE or {TOKEN}; "
        "a server has its own in the file .server/token of its home.",
    )


def _own_token(home: Path, address: Address) -> Path | None:
    """The token's file of the server of `home`; None where it is at another address, as far as one knows.

    Another server must not be shown its token.
    """
    try:
        told = json.loads((home / ".server" / "address").read_text(encoding="utf-8"))
        return Path(told["token_file"]) if urlsplit(told["url"]).port == address.port else None
    except (OSError, ValueError, KeyError, TypeError):
        return home / ".server" / "token"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the token in {path}: {getattr(error, 'strerror', None) or error}") from error


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"there is no token {where}", "It is one line of printable characters, without a space.")
    return token
