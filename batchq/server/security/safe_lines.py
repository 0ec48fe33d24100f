"""The lines of server.log: one an event, whatever a caller has put into it, and no secret in any."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

MARK: Final = "    | "
"""Stands before the lines of a traceback, so that none of them can be taken for an event."""


class SafeLines(logging.Formatter):
    """Writes an event as a line.

    Args:
        hide: takes secrets out of a text; see `Access.hide`.

    Example:
        >>> from logging import LogRecord
        >>> forged = LogRecord("batchq", 20, "", 0, "no batch %r\\n2030-01-01 INFO all is well", ("x",), None)
        >>> SafeLines(str).format(forged).partition("INFO ")[2]
        "no batch 'x'\\\\n2030-01-01 INFO all is well"
    """

    def __init__(self, hide: Callable[[str], str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._hide = hide

    def format(self, record: logging.LogRecord) -> str:
        """The line of an event, and those of its traceback."""
        record.exc_text = None  # what another handler may have made of it
        head = self._hide(_printable(f"{self.formatTime(record)} {record.levelname} {record.getMessage()}"))
        if not record.exc_info:
            return head
        lines = self._hide(self.formatException(record.exc_info)).splitlines()
        return "\n".join([head, *(MARK + _printable(line) for line in lines)])


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
