"""A worker that is a guest in a process of somebody else's, such as a worker of a Dask cluster.

    agent ── give(orders) ──▶ Guest, in the loop of the host ──▶ Outbox, image of the board ──▶ Worker, in a loop
          ◀─ news(heard) ────                                ◀──                            ◀── and thread of its own

Nothing of Dask is imported here: any object that can be called from elsewhere may be a guest.  The image of the board
is a file of the host's, so that after the process has died another one on the same machine can tell what had begun.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from batchq.engine import event_loop
from batchq.engine.board import Board
from batchq.engine.dask.boards import BoardFile, sweep
from batchq.engine.dask.holds import Holds
from batchq.engine.dask.inquest import Marks
from batchq.engine.dask.outbox import Outbox
from batchq.engine.dask.parcels import (
    FED_GAP_SECONDS,
    GAP_SECONDS,
    PATIENCE_SECONDS,
    POLL_SECONDS,
    Orders,
    pack,
    unpack,
)
from batchq.engine.dask.shipping import Shipment
from batchq.engine.dask.voices import Voices
from batchq.engine.logs import prints_to
from batchq.engine.orders import LEFT_RETIRED, WorkerReport, WorkerSpec
from batchq.engine.reuse import CHANGED
from batchq.engine.surroundings import Surroundings
from batchq.engine.worker import Worker, report_of
from batchq.fingerprint import fingerprint_of
from batchq.ready import Work
from batchq.store.home import BatchFolder, Holder

AHEAD_SECONDS: Final = 0.4
"""Items are fetched ahead for so long: the way to the queue and back takes a part of it."""
ABANDON_SECONDS: Final = 1.0
"""What was cancelled has so long to end; then the process is ended …"""
LEAVE_SECONDS: Final = 5.0
"""… and so long where it was nobody's wish, as where a supervisor has died."""
WATCH_SECONDS: Final = 0.1
LATE_SECONDS: Final = 1.0
"""Whoever wakes up so late was stopped, with the whole process."""

log = logging.getLogger(__name__)


class Guest:
    """Runs items of one batch, in a thread of the process in which it is made.

    Args:
        spec: what to do.
        shipment: the function, as far as it was sent along.
        slots: room for so many slots.
        patience: seconds; without a call for so long, it abandons everything.
        has_process: the process is there for this batch only, on its machine: what is printed goes to its log.
        is_closing: whether the process is about to end, since whoever runs the cluster wants it to.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        shipment: Shipment,
        slots: int,
        patience: float = PATIENCE_SECONDS,
        has_process: bool = False,
        is_closing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._spec = spec
        self._is_closing = is_closing
        self._closes = False
        self._patience = patience
        self._has_process = has_process
        self._called = time.monotonic()
        self._given = self._told = 0
        self._unheard: tuple[int, bytes] | None = None
        self._host: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._is_told = False
        self._answered = 0.0
        self._report: WorkerReport | None = None
        self._reported = False
        self._ended = threading.Event()
        self._width = spec.slots
        self._file = BoardFile(f"{spec.key_prefix}-{spec.worker}")
        self._board = Board(self._file.path, 2, slots)
        self._file.hold()
        self._place = self._board.place(0)
        self._holds = Holds(self._place)
        self._work: Work | None = None
        self._differs = False
        self._voices = Voices(f"worker {spec.worker}", self._tell)
        surroundings = Surroundings(
            self._open_outbox,
            functools.partial(self._load, shipment),
            lambda: None,
            self._voices.name_items,
            self._voices.clean_lines,
            AHEAD_SECONDS,
        )
        self._worker = Worker(spec, self._place, surroundings)
        self._thread: threading.Thread | None = None
        atexit.register(self._place.leave)
        threading.Thread(target=self._watch, name="batchq-patience", daemon=True).start()

    # What the agent calls, in the loop of the host -----------------------------------------------------------

    async def marks(self) -> Marks:
        """What tells this guest from others."""
        return Marks(
            Holder.myself(), str(self._file.path), self._spec.key_prefix if self._spec.spec.has_commands else None
        )

    async def give(self, parcel: bytes) -> None:
        """Take orders; those that were taken already change nothing."""
        self._called = time.monotonic()
        orders: Orders = unpack(parcel)
        if orders.number <= self._given:
            return
        self._given = orders.number
        self._board.tell(orders.told)
        self._holds.learn(orders.holds)
        self._width = max(self._width, orders.told.slots)
        self._outbox.obey(orders)
        if self._thread is None:  # it begins when it knows the limits
            self._thread = threading.Thread(target=self._run, name="batchq-guest", daemon=True)
            self._thread.start()

    async def news(self, heard: int) -> tuple[bytes, bytes | None]:
        """What the place shows, and what there is to tell: at once, or after `POLL_SECONDS` nothing.

        Args:
            heard: the last parcel that has arrived; the one after it is sent again until it is heard of.
        """
        self._called = time.monotonic()
        self._host = asyncio.get_running_loop()
        if self._unheard is not None and self._unheard[0] <= heard:
            self._unheard = None
        if self._has_left:
            self._file.remove()
        elif self._unheard is None:
            await self._wait_for_news()
        if self._unheard is None and heard == self._told and self._has_news:
            self._told += 1
            self._unheard = self._told, self._packed(self._told)
        self._called = self._answered = time.monotonic()
        return pack(self._place.signs(self._width)), self._unheard[1] if self._unheard else None

    async def end(self, with_process: bool = False) -> None:
        """Abandon everything; the process too, where that does not end what runs.

        Args:
            with_process: end that in any case.
        """
        threading.Thread(target=self._end, args=(ABANDON_SECONDS, with_process), daemon=True).start()

    # What runs beside ----------------------------------------------------------------------------------------

    def _open_outbox(self, **listeners: Any) -> Outbox:
        self._outbox = Outbox(self._tell, **listeners)
        return self._outbox

    def _load(self, shipment: Shipment) -> Work:
        spec = self._spec.spec
        self._work = work = shipment.load(spec)
        if (spec.reuse or spec.cache) and fingerprint_of(spec, *work.functions) != spec.fingerprint:
            log.warning(CHANGED)
            self._differs = True
        return work

    def _run(self) -> None:
        self._voices.open()
        if self._has_process:
            prints_to(BatchFolder(self._spec.folder).log)
        with contextlib.suppress(OSError):  # it is that of another machine
            os.chdir(self._spec.spec.cwd)
        event_loop.run(self._serve())

    async def _serve(self) -> None:
        try:
            report = await self._worker.run()
            self._report = WorkerReport(LEFT_RETIRED) if self._closes else report
        except BaseException as error:  # whatever it is: an exception of the user's may not cross a process
            self._report = report_of(error)
        self._ended.set()
        self._tell()

    def _watch(self) -> None:
        """In a thread of its own: whoever is called no more has nobody who would take what it does."""
        sweep()
        while not self._has_left:
            self._file.touch()
            before = time.monotonic()
            time.sleep(WATCH_SECONDS)
            late = time.monotonic() - before - WATCH_SECONDS
            if late > LATE_SECONDS:
                self._called += late  # nobody could call while an item held Python's lock
            if not self._closes and self._is_closing():
                log.info("the Dask worker is ended by those who run the cluster: what is in flight goes to others")
                self._closes = True
                self._place.leave()
                self._worker.abandon()
            if time.monotonic() - self._called > self._patience:
                log.warning("nobody has called for %.0f s: what is in flight here is abandoned", self._patience)
                self._end(LEAVE_SECONDS, False)
                break
        self._voices.close()
        self._file.close()
        atexit.unregister(self._place.leave)

    @property
    def _has_left(self) -> bool:
        return self._reported and self._unheard is None

    @property
    def _runs(self) -> bool:
        return self._thread is not None and (not self._ended.is_set() or self._worker.is_busy)

    def _end(self, seconds: float, with_process: bool) -> None:
        self._outbox.cut()
        self._worker.abandon()
        deadline = time.monotonic() + seconds
        while (runs := self._runs) and time.monotonic() < deadline:
            time.sleep(WATCH_SECONDS / 2)
        self._file.remove()
        if runs or with_process:
            if self._work is not None:
                self._work.abandon()
            os.kill(os.getpid(), signal.SIGKILL)  # a nanny starts another one

    # What there is to tell -----------------------------------------------------------------------------------

    def _packed(self, number: int) -> bytes:
        self._reported = self._report is not None
        news = self._outbox.news(number)._replace(
            holds=self._holds.take(), lines=self._voices.lines(), report=self._report, differs=self._differs
        )
        return pack(news)

    @property
    def _has_news(self) -> bool:
        return (
            self._outbox.has_news
            or self._voices.has_lines
            or (self._ended.is_set() and not self._reported)
            or self._holds.has_new
        )

    async def _wait_for_news(self) -> None:
        pause = self._answered + (FED_GAP_SECONDS if self._worker.is_fed else GAP_SECONDS) - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        self._news.clear()
        self._is_told = False
        if not self._has_news:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._news.wait(), POLL_SECONDS)

    def _tell(self) -> None:
        """From any thread: there is something to tell."""
        if self._is_told or self._host is None:
            return
        self._is_told = True
        with contextlib.suppress(RuntimeError):  # the host ends
            self._host.call_soon_threadsafe(self._news.set)
