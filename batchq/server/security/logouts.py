"""Which cookies somebody has logged out with: remembered beyond the end of the server, until they expire anyway."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from pathlib import Path
from typing import Final

from batchq.app.atomic import replaced
from batchq.errors import BatchqError

COOKIE_SECONDS: Final = 30 * 24 * 3600
"""A cookie counts so long."""
MOST: Final = 10_000
"""More are not kept one by one: then older cookies are void altogether."""
_NAME: Final = re.compile(r"\d{10,12}\.[A-Za-z0-9_-]{16}")

log = logging.getLogger(__name__)


def logouts_path(folder: Path) -> Path:
    """Where a server keeps them."""
    return folder / "logged-out"


class LogOuts:
    """Cookies, by their names: when they expire, a dot, and what tells them apart. Nobody can make a cookie of that.

    Safe to use from any thread.

    Args:
        path: the file, of mode 0600; where it cannot be read, every cookie made so far is void. None: in memory only.
        most: to keep one by one.

    Example:
        >>> logouts = LogOuts()
        >>> name = f"{logouts.expiry()}.aaaabbbbccccdddd"
        >>> logouts.add(name)
        >>> name in logouts, f"{logouts.expiry()}.eeeeffffgggghhhh" in logouts
        (True, False)
    """

    def __init__(self, path: Path | None = None, most: int = MOST) -> None:
        self._path = path
        self._most = most
        self._lock = threading.Lock()
        self._since = 0
        self._names: set[str] = set()
        if path is not None:
            self._read(path)

    def expiry(self) -> int:
        """When a cookie expires that is made now, in seconds since 1970."""
        return max(int(time.time()), self._since) + COOKIE_SECONDS

    def __contains__(self, name: str) -> bool:
        """Whether that cookie counts no longer, because of somebody who has logged out."""
        return name in self._names or _made_at(name) < self._since

    def add(self, name: str) -> None:
        """The cookie counts no longer, at once; it is in the file when this returns, if that can be written."""
        with self._lock:
            self._names.add(name)
            self._names = {each for each in self._names if _made_at(each) + COOKIE_SECONDS > time.time()}
            if len(self._names) > self._most:
                oldest = sorted(self._names, key=_made_at)[: len(self._names) - self._most // 2]
                self._since = _made_at(oldest[-1]) + 1
                self._names = {each for each in self._names if _made_at(each) >= self._since}
            if self._path is not None:
                self._write(self._path)

    def _read(self, path: Path) -> None:
        try:
            told = json.loads(path.read_bytes())
            since, names = int(told["since"]), set(told["names"])
            if not all(_NAME.fullmatch(name) for name in names):
                raise ValueError("it holds what is no name of a cookie")
            self._since, self._names = since, names
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            self._since = int(time.time()) + 1
            log.warning("%s cannot be read (%s): everybody has to log in again", path, error)
            self._write(path)

    def _write(self, path: Path) -> None:
        try:
            with replaced(path) as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(json.dumps({"since": self._since, "names": sorted(self._names)}).encode() + b"\n")
        except (BatchqError, OSError) as error:
            log.error("%s; who logs out is logged out until the server ends only", error)


def _made_at(name: str) -> int:
    return int(name.partition(".")[0]) - COOKIE_SECONDS
