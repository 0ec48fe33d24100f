"""Lets attempts begin when the rate of the batch allows it: starts are leased, and made when they are due."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from batchq.pace import Grant

LATE_NS: Final = 50_000_000
"""A start that is later than this, and than the next one is due, is given up."""


class Gate:
    """The starts that this process may make.

    Args:
        lease: asks for up to so many starts; answer with `granted`, in the event loop, at any time.
        wake: called in the event loop when so many attempts may begin.
        give_back: so many starts that were leased are not made.
    """

    def __init__(
        self,
        lease: Callable[[int, int], None],
        wake: Callable[[int], None],
        give_back: Callable[[int], None],
    ) -> None:
        self._lease = lease
        self._wake = wake
        self._give_back = give_back
        self._starts: deque[int] = deque()
        self._step = 0.0
        self._size = 0
        self._asked = False
        self._timer: asyncio.TimerHandle | None = None
        self.pace = 0
        """Which limits hold, as a number that changes with them; 0 for none."""

    def set(self, pace: int) -> None:
        """Other limits hold: what was leased under the former ones counts no more."""
        if pace == self.pace:
            return
        self.pace = pace
        self._starts.clear()
        self._asked = False
        self._cancel_timer()

    def admit(self, wanted: int) -> int:
        """How many of `wanted` attempts may begin now; for the others `wake` is called in time."""
        if not self.pace or wanted <= 0:
            return wanted
        due = self._due(wanted)
        if due < wanted:
            self._arrange(wanted - due)
        return due

    def take(self) -> bool:
        """Begin an attempt, if one is due."""
        if not self.pace:
            return True
        if not self._due(1):
            self._arrange(1)
            return False
        self._starts.popleft()
        if len(self._starts) < self._size // 2:
            self._ask(self._size)  # before they are used up: the answer takes a transaction
        return True

    def granted(self, pace: int, grant: Grant | None) -> None:
        """Starts have come, which were asked for under the limits `pace`; None where nothing limits them any more."""
        if pace != self.pace:
            return
        self._asked = False
        if grant is None:
            self.set(0)
            self._wake(1)
            return
        if not grant.starts:
            if not self._starts:
                self._set_timer(grant.first_ns)
            return
        self._step, self._size = grant.step_ns, grant.starts
        self._starts.extend(grant.first_ns + int(number * grant.step_ns) for number in range(grant.starts))
        self._look()

    def close(self) -> None:
        """No more attempts begin here."""
        self._cancel_timer()
        if self._starts:
            self._give_back(len(self._starts))
        self.set(-1)

    def _due(self, most: int) -> int:
        now = time.monotonic_ns()
        late = now - max(self._step, LATE_NS)
        while len(self._starts) > 1 and self._starts[0] < late and self._starts[1] <= now:
            # Made up for, it would come together with the next ones: the rate would not be kept.
            self._starts.popleft()
        due = 0
        for start in self._starts:
            if start > now or due == most:
                break
            due += 1
        return due

    def _arrange(self, wanted: int) -> None:
        if self._timer is not None:
            return
        if not self._starts:
            self._ask(wanted)
        elif self._starts[0] > time.monotonic_ns():
            self._set_timer(self._starts[0])

    def _set_timer(self, at_ns: int) -> None:
        self._cancel_timer()
        # Rounded up: a timer that comes early would find nothing due.
        pause = max(0, at_ns - time.monotonic_ns()) / 1e9 + 1e-4
        self._timer = asyncio.get_running_loop().call_later(pause, self._look)

    def _ask(self, wanted: int) -> None:
        if not self._asked and self.pace > 0:
            self._asked = True
            self._lease(self.pace, wanted)

    def _look(self) -> None:
        self._cancel_timer()
        if due := self._due(len(self._starts)):
            self._wake(due)
        elif self._starts:
            self._arrange(1)
        else:
            self._wake(1)  # whoever has something to begin asks

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
