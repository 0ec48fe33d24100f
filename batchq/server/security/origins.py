"""By which name, and by whose page, a server is called: what keeps other web sites away from it.

A page of another site can make a browser send calls here.  What gives it away is the name it has used, when its own
name has come to mean our address (DNS rebinding), and its origin, which the browser tells.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

AUTHORITY: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::(?P<port>[0-9]{1,5}))?")
ORIGIN: Final = re.compile(r"(?P<scheme>[a-z]{1,10})://(?P<authority>[^/?#@]{1,300})")
PORTS: Final = {"http": 80, "https": 443}
OWN_PAGES: Final = frozenset({"same-origin", "none"})
"""What `Sec-Fetch-Site` says of our own pages, and of what somebody has typed or opened from elsewhere."""


class Authority(NamedTuple):
    """A host as somebody has called it.

    Attributes:
        name: lower case, without brackets and without a dot at its end; an address in its shortest form.
        port: None where none is named.
    """

    name: str
    port: int | None

    @classmethod
    def of(cls, text: str) -> Authority | None:
        """What a Host header says; None where it is none.

        Example:
            >>> Authority.of("[0:0::1]:8765")
            Authority(name='::1', port=8765)
        """
        found = AUTHORITY.fullmatch(text)
        if found is None:
            return None
        return cls(host_name(found["name"]), int(found["port"]) if found["port"] else None)


def host_name(text: str) -> str:
    """A name or address of a host, so that two that mean the same are the same.

    Example:
        >>> host_name("LocalHost."), host_name("::ffff:192.0.2.1")
        ('localhost', '192.0.2.1')
    """
    name = text.strip("[]").partition("%")[0].lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name.removesuffix(".")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def known_names(names: Iterable[str]) -> frozenset[str]:
    """The names under which a server may be called; that it listens on every address is no name.

    Example:
        >>> sorted(known_names(["0.0.0.0", "::", "Batches.example.org"]))
        ['batches.example.org']
    """
    return frozenset(map(host_name, names)) - {"0.0.0.0", "::"}


def is_own_origin(origin: str, scheme: str, host: Authority) -> bool:
    """Whether an Origin header names the server itself: the same scheme, name and port.

    Example:
        >>> is_own_origin("http://localhost", "http", Authority("localhost", 80))
        True
    """
    found = ORIGIN.fullmatch(origin)
    theirs = Authority.of(found["authority"]) if found else None
    if found is None or theirs is None:
        return False
    default = PORTS.get(scheme)
    return (found["scheme"], theirs.name, theirs.port or default) == (scheme, host.name, host.port or default)


def is_own_fetch(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser says that our own page, or its user, has made a call; others than browsers say nothing.

    A link on another page may be followed, since that shows something to the user and to nobody else.
    """
    if headers.get("sec-fetch-site", "none") in OWN_PAGES:
        return True
    is_link = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return is_link and method in ("GET", "HEAD")
