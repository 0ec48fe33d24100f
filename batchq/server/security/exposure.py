"""What the owner of a server opens to others: looked at once, before it starts."""

from __future__ import annotations

import ipaddress

from batchq.app.request import notices_of
from batchq.errors import UsageError
from batchq.server.security.allowed import check_patterns
from batchq.server.security.origins import Authority, host_name
from batchq.server.settings import ServerSettings


def check_owner_choices(settings: ServerSettings) -> str:
    """What the owner should know about who can reach the server; empty where only this machine can.

    Raises:
        UsageError: a pattern, the name of a host, the address of a proxy or one to notify is none.
    """
    check_patterns(settings.allow)
    notices_of(settings.notify, settings.notify_at)
    for name in settings.hosts:
        named = Authority.of(name) or Authority.of(f"[{name}]")
        if named is None or named.port is not None:
            raise UsageError(f"--allow-host {name!r} is no name of a host", "Write it without https:// and port.")
    for proxy in settings.proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            raise UsageError(f"--proxy {proxy!r} is no address", "Such as 127.0.0.1, or 10.0.0.0/24.") from None
    if is_loopback(settings.host):
        return ""
    return (
        f"anyone who reaches {settings.host} can try to log in, and reads the token of whoever does: "
        "put a proxy with TLS in front, or a tunnel"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    Example:
        >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return ipaddress.ip_address(host_name(host)).is_loopback
    except ValueError:
        return host_name(host) == "localhost"
