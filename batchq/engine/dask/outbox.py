"""The ledger of a guest: it keeps nothing itself, and sends all to the agent who does.

loop of the guest ── record(), finish(), want() … ──▶ Due ──▶ news() ── to the agent
                  ◀── deliver(claim), room(), failed() ◀── orders() ── from the agent
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from batchq.engine.dask.parcels import News, Orders, absolute, unpack_claim
from batchq.errors import StorageFailed
from batchq.model import FailedAttempt, Outcome, StageResult
from batchq.pace import Booking
from batchq.store.chunks import Claim
from batchq.store.due import Due
from batchq.store.recorder import BUFFER_BYTES


class Outbox:
    """What is to be told to the agent.

    Args:
        tell: called from any thread when there is something to tell.
        deliver: as of `surroundings.LedgerOf`, and so are the others.
    """

    def __init__(
        self,
        tell: Callable[[], None],
        *,
        deliver: Callable[[Claim, Mapping[int, str]], None],
        room: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._tell = tell
        self._deliver = deliver
        self._room = room
        self._failed = failed
        self._lock = threading.Lock()
        self._due = Due()
        self._want: int | None = None
        self._hurry = self._closing = self._told_closing = False
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._committed = 0
        self._limit, self._most_bytes = 1, BUFFER_BYTES
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[Callable[[Any], None], Callable[[Exception], None]]] = {}
        self._closed = threading.Event()
        self.full = False
        """True while the slots must wait: too much is uncommitted."""

    # What the worker calls -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Nothing: the agent has begun already."""

    def record(self, outcome: Outcome, last: FailedAttempt | None = None) -> None:
        """Take an outcome, together with the failed attempt that was its last."""
        with self._lock:
            self._due.outcomes.append(outcome)
            if last is not None:
                self._due.attempts.append(last)
            self._hold(len(outcome.result or ""))
        self._tell()

    def record_stage(self, result: StageResult) -> None:
        """Take what a stage has given; it is held in memory like an outcome."""
        with self._lock:
            self._due.stages.append(result)
            self._hold(len(result.result))
        self._tell()

    def _hold(self, size: int) -> None:
        self._sizes.append(size)
        self._bytes += size
        self.full = self._is_full()

    def record_attempt(self, attempt: FailedAttempt) -> None:
        """Take a failed attempt."""
        with self._lock:
            self._due.attempts.append(attempt)
        self._tell()

    def finish(self, message_id: int) -> None:
        """Each item of this chunk has its outcome, or was given back."""
        with self._lock:
            self._due.finished.append(message_id)
        self._tell()

    def give_back(self, message_id: int, start: int) -> None:
        """Give the items of a chunk from `start` on to others."""
        with self._lock:
            self._due.given_back.append((message_id, start))
        self._tell()

    def put_back(self, message_id: int, unfinished: Sequence[int]) -> None:
        """Give these items of a chunk back to all, begun or not; none of them is in flight."""
        with self._lock:
            self._due.put_back.append((message_id, unfinished))
        self._tell()

    def enter(
        self,
        write: Callable[[Any], Any],
        answer: Callable[[Any], None] = lambda _: None,
        failed: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        """Send a `Booking` to where the book is."""
        assert isinstance(write, Booking)
        number = next(self._numbers)
        with self._lock:
            is_over = self._closed.is_set()
            if not is_over:
                self._asked[number] = answer, failed
                self._due.entries.append((number, write.name, write.what))  # type: ignore[arg-type]  # sent, not done
        if is_over:
            failed(_nobody())
        self._tell()

    def share(self, max_uncommitted: int, claimants: int) -> None:
        """Hold that many outcomes uncommitted at most from now on, and a share of the bytes."""
        self._limit = max(1, max_uncommitted)
        self._most_bytes = BUFFER_BYTES // max(1, claimants)

    def want(self, items: int) -> None:
        """Ask for up to `items` items."""
        self._want = items
        self.hurry()

    def stop_wanting(self) -> None:
        """Withdraw the wish for more items."""
        self._want = 0
        self._tell()

    def hurry(self) -> None:
        """Let the agent commit what is there."""
        self._hurry = True
        self._tell()

    def close(self) -> None:
        """Nothing more will come."""
        self._closing = True
        self._want = 0
        self._tell()

    def join(self, seconds: float | None = None) -> bool:
        """Wait up to `seconds` until the agent has committed everything; whether it has."""
        return self._closed.wait(seconds)

    # What the guest calls ------------------------------------------------------------------------------------

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell."""
        is_closing = self._closing and not self._told_closing
        return bool(self._due or self._hurry or self._want is not None or is_closing)

    def news(self, number: int) -> News:
        """All that there is to tell, as parcel `number`."""
        with self._lock:
            due, self._due = self._due, Due()
            want, self._want = self._want, None
            hurry, self._hurry = self._hurry, False
            self._told_closing = closing = self._closing
        return News(
            number,
            [tuple(outcome) for outcome in due.outcomes],
            [tuple(attempt) for attempt in due.attempts],
            [tuple(stage) for stage in due.stages],
            due.finished,
            due.given_back,
            due.put_back,
            due.entries,  # type: ignore[arg-type]  # see `enter`
            want,
            hurry,
            closing=closing,
        )

    def obey(self, orders: Orders) -> None:
        """Do what the agent says."""
        self._see_committed(orders.committed)
        for packed in orders.claims:
            self._deliver(*unpack_claim(packed))
        for number, value, why in orders.answers:
            answer, failed = self._asked.pop(number)
            if why is None:
                answer(absolute(value))
            else:
                failed(StorageFailed("the batch's file", why))
        if orders.failed is not None:
            self._failed(RuntimeError(orders.failed))
        if orders.closed:
            self.cut()

    def cut(self) -> None:
        """There is no agent any more: nobody waits for one."""
        with self._lock:
            self._closed.set()
            asked, self._asked = self._asked, {}
        for _, failed in asked.values():
            failed(_nobody())

    def _see_committed(self, committed: int) -> None:
        with self._lock:
            for _ in range(committed - self._committed):
                self._bytes -= self._sizes.popleft()
            self._committed = committed
            was_full, self.full = self.full, self._is_full()
        if was_full and not self.full:
            self._room()

    def _is_full(self) -> bool:
        return len(self._sizes) >= self._limit or self._bytes >= self._most_bytes


def _nobody() -> Exception:
    return StorageFailed("the batch's file", "nobody writes there any more")
