"""Joins the slots of one process to the batch's rate limits and budgets, which are kept in a book."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable
from typing import Any, Protocol

from batchq.engine.gate import Gate
from batchq.engine.http_errors import LONGEST_WAIT
from batchq.engine.slot import Waits
from batchq.model import Item
from batchq.pace import PACES_SPENDING, PACES_STARTS, Book, Booking, Charge


class Enter(Protocol):
    """Does something with the book, soon, and says what came of it, from whatever thread."""

    def __call__(
        self, write: Callable[[Any], Any], answer: Callable[[Any], None], failed: Callable[[Exception], None], /
    ) -> None:
        """Call `write` with the book, and `answer` with what that returned, or `failed` where it cannot be kept."""


class Pacer:
    """The pace of one process.

    Args:
        enter: does something with the book.
        over: called in the event loop, with words, when a budget is used up.
    """

    def __init__(self, enter: Enter, over: Callable[[str], None]) -> None:
        self._enter = enter
        self._over = over
        self.pace = 0
        """A number that changes with the limits."""
        self.limits_spending = False
        self.gate = Gate(self._lease, lambda slots: self._wake(slots), self._give_back)

    def start(
        self, wake: Callable[[int], None], hold: Callable[[Item, float], None], held: Callable[[], float]
    ) -> None:
        """Begin, in the running event loop.

        Args:
            wake: called with a number of slots that may look for work.
            hold: called with an item for whose sake nothing may begin for so many seconds.
            held: says, from whatever thread, for how many seconds that still is so.
        """
        self._loop = asyncio.get_running_loop()
        self._wake = wake
        self._hold = hold
        self.held = held
        self._thread = threading.get_ident()

    def limit(self, pace: int, paced: int) -> None:
        """Other limits hold, or the same.

        Args:
            pace: a number that changes with them.
            paced: what they limit; see `pace.paced_by`.
        """
        self.pace = pace
        self.limits_spending = bool(paced & PACES_SPENDING)
        self.gate.set(pace if paced & PACES_STARTS else 0)

    def till(self, waits: Waits, item: Item) -> AttemptTill:
        """Where an attempt at `item` pays."""
        return AttemptTill(self, waits, item)

    def hold(self, item: Item, seconds: float) -> None:
        """Let nothing begin for so long, from whatever thread."""
        seconds = min(seconds, LONGEST_WAIT)
        if threading.get_ident() == self._thread:
            self._hold(item, seconds)  # before the slot of the caller begins the next item
        else:
            self._in_loop(self._hold, item, seconds)

    def _lease(self, pace: int, wanted: int) -> None:
        self._enter(
            Booking("lease", (wanted,)),
            lambda grant: self._in_loop(self.gate.granted, pace, grant),
            _give_up,
        )

    def _give_back(self, starts: int) -> None:
        self._enter(Booking("give_back", (starts,)), lambda _: None, _give_up)

    def charge(self, booking: Booking) -> concurrent.futures.Future[Charge]:
        """Charge something in the book; answers with what came of it."""
        charged: concurrent.futures.Future[Charge] = concurrent.futures.Future()

        def answer(charge: Charge) -> None:
            if charge.over:
                self._in_loop(self._over, charge.over)
            if charged.set_running_or_notify_cancel():
                charged.set_result(charge)

        def failed(error: Exception) -> None:
            if charged.set_running_or_notify_cancel():
                charged.set_exception(error)

        self._enter(booking, answer, failed)
        return charged

    def _in_loop(self, method: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nothing begins any more
            self._loop.call_soon_threadsafe(method, *arguments)


class AttemptTill:
    """Where one attempt pays.

    Args:
        pacer: the pace of this process.
        waits: the attempt's, whose time is none of the handler's.
        item: what is attempted.
    """

    def __init__(self, pacer: Pacer, waits: Waits, item: Item) -> None:
        self._pacer = pacer
        self._item = item
        self.charge = pacer.charge
        self.begin_wait = waits.begin
        self.end_wait = waits.end

    @property
    def pace(self) -> int:
        """A number that changes with the limits."""
        return self._pacer.pace

    @property
    def limits_spending(self) -> bool:
        """Whether anything limits what is spent."""
        return self._pacer.limits_spending

    def hold(self, seconds: float) -> None:
        """Let nothing of the whole batch begin for so long."""
        self._pacer.hold(self._item, seconds)

    def held(self) -> float:
        """For so many seconds yet the server that items call is not to be called."""
        return self._pacer.held()


def in_memory(book: Book) -> Enter:
    """How a book that is kept in this process is written: at once."""
    lock = threading.Lock()

    def enter(write: Callable[[Any], Any], answer: Callable[[Any], None], failed: Callable[[Exception], None]) -> None:
        try:
            with lock:
                said = write(book)
        except Exception as error:  # answered, as it is where the book is in a file
            failed(error)
        else:
            answer(said)

    return enter


def _give_up(error: Exception) -> None:
    """Nothing begins any more: the worker has been told by other ways that its file cannot be written."""
