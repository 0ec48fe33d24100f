"""The event loop of a worker: asyncio's own, whose timers fire on time.

Python waits with a precision of a millisecond for what `epoll` watches, and rounds up: each timer comes half a
millisecond to one and a half too late, which of a handler that waits for 50 ms is 1 to 3% of a slot's time.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
from collections.abc import Coroutine
from select import select
from typing import Any, Final, TypeVar

SHORT_SECONDS: Final = 0.1
"""Up to so long a timer is waited for precisely; of a longer wait a millisecond is no part worth a system call."""
MOST_DESCRIPTORS: Final = 1024
"""`select` knows no higher ones."""

_T = TypeVar("_T")


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """As `asyncio.run`, in a loop with precise timers where this Python and system have a choice.

    Raises:
        BaseException: what `main` raises.

    Example:
        >>> async def answer():
        ...     return 42
        >>> run(answer())
        42
    """
    if sys.version_info < (3, 11) or sys.platform != "linux":
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_PreciseSelector())) as runner:
        return runner.run(main)


if sys.platform == "linux":

    class _PreciseSelector(selectors.EpollSelector):
        """Waits with `select`, whose precision is a microsecond, for `epoll`, which can itself be waited for."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and 0 < timeout < SHORT_SECONDS and self.fileno() < MOST_DESCRIPTORS:
                if not select((self.fileno(),), (), (), timeout)[0]:
                    return []
                timeout = 0
            return super().select(timeout)
