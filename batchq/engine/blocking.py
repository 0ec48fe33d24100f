"""Finds async handlers that never await: they block the event loop, so that nothing runs side by side.

Such a function is a sync one in disguise.  Once that is sure it runs in threads, where it has the speed-up and the
timeouts that a sync function has.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from batchq.handlers import Handler

SLOW_SECONDS: Final = 0.02
"""A call that takes less blocks nobody for long."""
CERTAIN: Final = 2
"""Slow calls that never gave way, with none that did: one alone may have imported something."""
PROBES: Final = 50
"""Calls that are looked at, at the start and after the loop was found blocked."""

log = logging.getLogger(__name__)


class BlockingProbe:
    """Looks at some calls of an async handler.

    Args:
        handler: the user's function.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._left = PROBES if handler.is_async else 0
        self._slow = 0
        self.wanted = self._left > 0
        """Whether the next call is to be looked at."""
        self.blocks = False
        """The handler blocks: it has to run in threads."""

    def begin(self, loop: asyncio.AbstractEventLoop) -> list[bool]:
        """A call begins; the list that is returned is no longer empty once the loop has had a turn."""
        gave_way: list[bool] = []
        loop.call_soon(gave_way.append, True)
        return gave_way

    def end(self, gave_way: list[bool], took: float) -> bool:
        """The call has ended after `took` seconds; whether it kept the loop for all of that."""
        self._left -= 1
        if gave_way:
            self._left = self._slow = 0
        elif took >= SLOW_SECONDS:
            self._slow += 1
            if self._slow >= CERTAIN and not self.blocks:
                self.blocks = True
                self._left = 0
                name = self._handler.name
                log.warning("%s is async but never awaits, which blocks all others: it runs in threads now", name)
        self.wanted = self._left > 0
        return not gave_way

    def again(self) -> None:
        """The loop was blocked by something: look again."""
        if self._handler.is_async and not self.blocks:
            self._left = PROBES
            self.wanted = True
