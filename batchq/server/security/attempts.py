"""How often somebody may be wrong: failed logins, counted for each address."""

from __future__ import annotations

import ipaddress
import logging
import math
import time
from collections.abc import Callable
from typing import Final

BURST: Final = 10
"""So many may fail at once: somebody who has pasted the wrong line, and a page that tries again by itself."""
INTERVAL_SECONDS: Final = 6.0
"""And then one in so long, ten a minute."""
MOST_ADDRESSES: Final = 10_000
"""Remembered at a time, a few MB; the one that was wrong longest ago is forgotten first."""

log = logging.getLogger(__name__)


class FailedLogins:
    """Counts them, and says how long an address has to wait.

    It keeps guessing from filling the log and from taking the server's time; guessing itself is hopeless, since a token
    of 256 bits is no password.  So whoever shows the right token is let in however often others at the same address
    have been wrong: an old script behind the same proxy must not lock the owner out.

    One number an address is enough, the moment at which all its failures are forgotten (GCRA).

    Args:
        now: a clock in seconds that is never set back.

    Example:
        >>> failed = FailedLogins(now=lambda: 0.0)
        >>> [failed.note("192.0.2.1", "form") for _ in range(11)][-2:]
        [0, 6]
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._forgotten: dict[str, float] = {}

    def wait(self, address: str) -> int:
        """Seconds until that address may try again; 0: now."""
        over = self._forgotten.get(_network(address), 0.0) - self._now() - (BURST - 1) * INTERVAL_SECONDS
        return max(0, math.ceil(over))

    def note(self, address: str, how: str) -> int:
        """A failure, which is logged; those of an address that has to wait are neither logged nor counted.

        Args:
            address: of the caller.
            how: what was wrong.

        Returns:
            Seconds that it has to wait, as `wait` said before.
        """
        if (seconds := self.wait(address)) > 0:
            return seconds
        network, now = _network(address), self._now()
        # Put at the end: the order of the dict is that of the last failures.
        until = max(self._forgotten.pop(network, now), now) + INTERVAL_SECONDS
        self._forgotten[network] = until
        if len(self._forgotten) > MOST_ADDRESSES:
            del self._forgotten[next(iter(self._forgotten))]
        log.warning("%s from %s", how, address)
        if self.wait(address) > 0:
            log.warning("too many failed logins from %s: the next are not told one by one", address)
        return 0


def _network(address: str) -> str:
    """What is counted as one: an address, or the /64 of an IPv6 address, of which everybody has that many."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if isinstance(known, ipaddress.IPv6Address):
        return str(known.ipv4_mapped or ipaddress.ip_network((known, 64), strict=False))
    return str(known)
