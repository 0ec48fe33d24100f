"""What a guest and its handlers log: lines that its agent writes into the batch's log."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from batchq.engine.logs import clean_lines_of, lines_of, name_items_in
from batchq.engine.threads import item_of_thread
from batchq.model import Item

MOST_LINES: Final = 10_000
"""Lines that wait for the agent; beyond them the oldest are dropped: a log costs no memory."""


class Voices(logging.Handler):
    """Keeps the lines of one guest, among all that its process logs.

    Args:
        who: the guest.
        tell: called from any thread when there is a line.
    """

    def __init__(self, who: str, tell: Callable[[], None]) -> None:
        super().__init__()
        lines_of(self, who)
        self._tell = tell
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._thread = 0

    def open(self) -> None:
        """Listen from now on; the calling thread is the guest's."""
        self._thread = threading.get_ident()
        logging.getLogger("batchq").setLevel(logging.INFO)
        logging.getLogger().addHandler(self)

    def close(self) -> None:
        """Listen no more."""
        logging.getLogger().removeHandler(self)
        super().close()

    def name_items(self, item_here: Callable[[], Item | None]) -> None:
        """Let the lines name the item on whose behalf each is written."""
        name_items_in(self, item_here)

    def clean_lines(self, clean: Callable[[str], str]) -> None:
        """Let all lines go through `clean`."""
        clean_lines_of(self, clean)

    @property
    def has_lines(self) -> bool:
        """Whether there is a line."""
        return bool(self._lines)

    def lines(self) -> Sequence[str]:
        """All lines since the last call."""
        lines = self._lines
        return [lines.popleft() for _ in range(len(lines))]

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line of `record`, where it is the guest's."""
        if threading.get_ident() == self._thread or item_of_thread() is not None:
            self._lines.append(self.format(record))
            self._tell()
