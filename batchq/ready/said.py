"""What a command writes on standard error: line by line into the batch's log, and the end of it kept for an error."""

from __future__ import annotations

import codecs
import logging
import re
from typing import Final

KEPT: Final = 2_000
"""Characters of its end that an error keeps."""
LONGEST_LINE: Final = 8_000
"""Characters; a longer line is logged in pieces."""
MOST_LOGGED: Final = 1 << 20
"""Characters of one attempt in the log of the batch, which has room for the others too."""
BEFORE_LINE: Final = 100
"""Characters that stand there before each line, about."""
_ENDS: Final = re.compile(r"\r\n|\n|\r")
"""A bar that shows progress ends its lines without a new one."""


class Said:
    """Hears what a command writes.

    Args:
        log: of its item.

    Example:
        >>> said = Said(logging.LoggerAdapter(logging.getLogger("tea"), {}))
        >>> said.hear(b"one\\ntw"); said.hear(b"o\\n"); said.end(); said.tail
        'one\\ntwo\\n'
    """

    def __init__(self, log: logging.LoggerAdapter[logging.Logger]) -> None:
        self._log = log
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._end = ""
        self._begun = ""
        self._left = MOST_LOGGED

    @property
    def tail(self) -> str:
        """The last lines of it, about `KEPT` characters."""
        return _last_lines(_ENDS.sub("\n", self._end))

    def hear(self, piece: bytes) -> None:
        """It has written that."""
        self._add(self._decoder.decode(piece))

    def end(self) -> None:
        """It writes no more."""
        self._add(self._decoder.decode(b"", final=True))
        if self._begun:
            self._line(self._begun)
        self._begun = ""

    def _add(self, text: str) -> None:
        self._end = (self._end + text)[-(KEPT + LONGEST_LINE) :]
        if self._left <= 0:
            return  # line by line, what floods would keep the event loop from all others
        *lines, self._begun = _ENDS.split(self._begun + text)
        for line in lines:
            self._line(line)
        while len(self._begun) > LONGEST_LINE:
            self._line(self._begun[:LONGEST_LINE])
            self._begun = self._begun[LONGEST_LINE:]

    def _line(self, line: str) -> None:
        if self._left <= 0 or not line.strip():
            return
        self._log.info("%s", line)
        self._left -= len(line) + BEFORE_LINE
        if self._left <= 0:
            self._begun = ""
            self._log.warning("it has written so much on standard error that the rest is not logged")


def _last_lines(text: str) -> str:
    """The end of `text`, whole lines of it: of half a line nobody could tell what may not be shown."""
    if len(text) <= KEPT:
        return text
    start = text.find("\n", len(text) - KEPT - 1) + 1
    return text[start:] if start < len(text) else text[text.rfind("\n", 0, -1) + 1 :]
