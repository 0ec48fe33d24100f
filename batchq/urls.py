"""Addresses that a user names: which can be used, and how they are shown without what they carry."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from batchq.errors import ConfigError

SCHEMES: Final = frozenset({"http", "https"})
_USER: Final = re.compile(r"^((?:[^:/?#@]*:)?//)?[^/?#]*@")


def shown(address: str) -> str:
    """An address without user, password and query, any of which may be a secret.

    Example:
        >>> shown("https://ann:s3cret@example.org/hook?token=t#top")
        'https://example.org/hook'
    """
    return re.split(r"[?#]", _USER.sub(r"\1", address), maxsplit=1)[0]


def addresses_of(name: str, addresses: Iterable[str]) -> tuple[str, ...]:
    """The addresses as they are, each once.

    Args:
        name: of the setting, for messages.
        addresses: of servers.

    Raises:
        ConfigError: one of them is no http or https address; tells it as `shown`.

    Example:
        >>> addresses_of("--notify", ["https://example.org/hook", "https://example.org/hook"])
        ('https://example.org/hook',)
    """
    found = tuple(dict.fromkeys(addresses))
    for address in found:
        if not _is_usable(address):
            expected = "an http or https address such as https://example.org/hook"
            raise ConfigError(name, shown(address), expected)
    return found


def _is_usable(address: str) -> bool:
    if not address.isascii() or not address.isprintable() or " " in address:
        return False
    try:
        parts = urlsplit(address)
        return parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        return False
