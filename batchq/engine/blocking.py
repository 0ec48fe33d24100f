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
SLOW_FAILURE_SECONDS: Final = 1.0
"""One that fails may be a bad item, of which that is seen before anything is awaited: two of them are no evidence
against all others, whose clients would not work in a thread.  But for so long only something that blocks takes."""
CERTAIN: Final = 2
"""Slow calls that never gave way, with none that did: one alone may have imported something."""
JUDGED: Final = 50
"""Calls that count for that, at the start and after the loop was found blocked; a busy machine slows any in time."""

log = logging.getLogger(__name__)


class BlockingProbe:
    """Looks at calls of an async handler until one gives way to others, and again when the loop was blocked.

    Args:
        handler: the user's function.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._left = JUDGED
        self._slow = 0
        self._turned: list[bool] = [True]
        self._may_move = handler.is_async and not handler.stays
        self.wanted = self._may_move
        """Whether the next call is to be looked at."""
        self.blocks = False
        """The handler blocks: it has to run in threads."""

    def begin(self, loop: asyncio.AbstractEventLoop) -> list[bool]:
        """A call begins; the list that is returned is no longer empty once the loop has had a turn."""
        if self._turned:  # else one that was made in this turn does as well
            self._turned = []
            loop.call_soon(self._turned.append, True)
        return self._turned

    def end(self, gave_way: list[bool], took: float, failed: bool) -> bool:
        """The call has ended after `took` seconds, in an exception or not; whether it kept the loop for all of that."""
        self._left -= 1
        if gave_way:
            self._slow = 0
            self.wanted = False
        elif took >= (SLOW_FAILURE_SECONDS if failed else SLOW_SECONDS) and self._left >= 0:
            self._slow += 1
            if self._slow >= CERTAIN and not self.blocks:
                self.blocks = True
                self.wanted = False
                name = self._handler.name
                log.warning("%s is async but never awaits, which blocks all others: it runs in threads now", name)
        elif self._left < 0:
            self.wanted = False  # whatever it is, it keeps nobody waiting
        return not gave_way

    def again(self) -> None:
        """The loop was blocked by something: look again."""
        if self._left < 0:
            self._slow = 0  # that was long ago
        self._left = JUDGED
        self.wanted = self._may_move and not self.blocks
