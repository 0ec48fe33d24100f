"""The agent of one guest: keeps its books here, and is what the crew sees of it.

    crew ◀── WorkerHandle ── Agent ── Orders ──▶ guest, elsewhere
    board ◀── place ────────       ◀── News ───
    batch.db ◀── Recorder ──

The guest's claims and outcomes go through a `Recorder` of this process, in the guest's name: whatever comes of it and
of the way to it, only what has arrived here is recorded, once.  A guest that gives no answer is lost; what it says
later is asked for by nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol

from batchq.engine.board import Board
from batchq.engine.dask.desk import Desk
from batchq.engine.dask.inquest import DIED, HANGS, LIVES, Found, Marks
from batchq.engine.dask.parcels import News, pack, unpack
from batchq.engine.limits import share_of
from batchq.engine.logs import append_lines
from batchq.engine.orders import LEFT_DRAINED, LEFT_FAILED, LEFT_RETIRED, LEFT_STUCK, WorkerReport, WorkerSpec
from batchq.engine.process import settings_of
from batchq.engine.reuse import Reuse
from batchq.engine.signs import Signs
from batchq.errors import BatchqError, DiskFull
from batchq.model import FailedAttempt, Outcome, StageResult
from batchq.pace import Booking
from batchq.store.clerk import Clerk
from batchq.store.due import Due, Entry
from batchq.store.home import BatchFolder
from batchq.store.recorder import Recorder, RecorderSettings

LOOK_SECONDS: Final = 0.1
"""Between two looks at the board, for what the guest is to be told."""
SILENT_SECONDS: Final = 0.5
"""A guest that has not answered for so long may turn all the same: nobody knows."""
GIVE_GAP_SECONDS: Final = 0.01
AMPLE: Final = 2
"""Outcomes for each slot that may be uncommitted, so that no slot waits when commits are told a little later."""
RETRY_SECONDS: Final = 0.2
END_SECONDS: Final = 2.0
"""A guest that is to be ended has so long to answer."""

log = logging.getLogger(__name__)


class GuestLost(Exception):
    """The guest cannot be reached any more."""


class GuestForgotten(GuestLost):
    """Those who know the way to the guest have forgotten it: it may be well, and will end when nobody calls it."""


class Line(Protocol):
    """The way to a guest."""

    name: str
    """Where it is, for messages."""

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the guest.

        Raises:
            GuestLost: it is known that there is no such guest any more.
            OSError: it did not work this time.
        """

    async def ask_around(self, marks: Marks, spare: bool) -> Found | None:
        """As `inquest`, on the guest's machine; None where nobody there answers."""

    def close(self, shun: bool) -> None:
        """Nobody needs the guest any more; where it is to `shun`, nobody should be put there for a while."""


class Agent:
    """Keeps the books of one guest.

    Args:
        spec: what the guest does.
        loop: in which it lives.
        find: puts the guest somewhere, with room for so many slots, and returns the way to it; None once it is
            no longer wanted.  Raises `BatchqError` where there is no place for it.
        wake: called, from any thread, when it has ended.
        patience: seconds; a guest that does not answer for so long is lost.
        clerk: says who writes for a guest with these settings; None for one of its own.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        loop: asyncio.AbstractEventLoop,
        find: Callable[[WorkerSpec, int, Callable[[], bool]], Awaitable[Line | None]],
        wake: Callable[[], None],
        patience: float,
        clerk: Callable[[RecorderSettings], Clerk | None] = lambda _: None,
    ) -> None:
        self.spec = spec
        self._clerk = clerk
        self._loop = loop
        self._find = find
        self._wake = wake
        self._patience = patience
        self._folder = BatchFolder(spec.folder)
        board = Board(self._folder.board)
        self._place = board.place(spec.place)
        self._slots = board.slots
        self._done = threading.Event()
        self._report: WorkerReport | None = None
        self._blameless = self._shun = False
        self._how = "it could not be reached"
        self._marks: Marks | None = None
        self._line: Line | None = None
        self._recorder: Recorder | None = None
        self._reuse: Reuse | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._answered = 0.0
        self._heard = self._beat = 0
        share = share_of(spec.spec.max_uncommitted, spec.claimants)
        self._desk = Desk(self._place, loop, waits_for_commits=share < AMPLE * spec.slots)
        self._hangs = False
        self._looking = asyncio.Lock()
        self._over = False

    # What the crew calls, from any thread --------------------------------------------------------------------

    def is_done(self) -> bool:
        """Whether it has ended, with all that has arrived committed."""
        return self._done.is_set()

    def report(self) -> WorkerReport | None:
        """How it left; None when it was lost."""
        return self._report

    def is_lost(self) -> bool:
        """Whether it may live on somewhere, so that nothing that it had begun is to blame."""
        return self._blameless

    def how_it_died(self) -> str:
        """In words."""
        return self._how

    def signal(self, number: int) -> None:
        """Nothing: a guest's process is not the supervisor's."""

    def kill(self) -> None:
        """End it at once, with its process where nothing else ends what runs."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._stop)

    def join(self, seconds: float) -> bool:
        """Wait for its end; whether it came."""
        return self._done.wait(seconds)

    # Its life, in the loop of the engine ---------------------------------------------------------------------

    async def run(self) -> None:
        """Find a place for the guest, and keep its books until it has ended."""
        self._work = self._loop.create_task(self._live())
        try:
            await self._work
        except asyncio.CancelledError:
            self._how = "it was ended by its supervisor"
            await self._end_guest()
            if self._hangs:
                self._show_found(await self._ask_around(spare=False))
        except GuestLost as lost:
            await self._bury(lost)
        except BatchqError as error:
            self._report = WorkerReport(LEFT_FAILED, f"{error}. {error.hint}".strip(), 3)
        except Exception as error:  # a fault of ours: a dead task tells nobody
            log.exception("the agent of worker %d failed", self.spec.worker)
            self._report = WorkerReport.of_fault(error)
            await self._end_guest()
        finally:
            await self._close()
            self._done.set()
            self._wake()

    def _stop(self) -> None:
        self._over = True
        self._work.cancel()

    async def _live(self) -> None:
        self._line = await self._find(self.spec, self._slots, lambda: not self._place.stop)
        if self._line is None:
            self._report = WorkerReport(LEFT_DRAINED)
            return
        reuse = self._reuse = await asyncio.to_thread(Reuse, self.spec.spec, self._folder)
        recorder = self._recorder = Recorder(
            settings_of(self.spec),
            deliver=lambda claim: self._desk.claim(claim, reuse.known(claim)),
            room=lambda: None,
            failed=self._cannot_record,
            committed=self._committed,
            clerk=self._clerk(settings_of(self.spec)),
        )
        recorder.start()
        self._answered = time.monotonic()
        self._marks = await self._call("marks")
        if self._over:
            raise asyncio.CancelledError
        log.info("worker %d is on %s", self.spec.worker, self._line.name)
        pumps = [self._loop.create_task(pump) for pump in (self._hear(recorder), self._give(), self._watch())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Told twice: before Python 3.12 `wait_for` loses a cancellation that comes together with an answer.
            self._over = True
            self._desk.changed.set()
            for pump in pumps:
                pump.cancel()
            ended = await asyncio.gather(*pumps, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        if self._report and self._report.left == LEFT_RETIRED:
            self._shun = True
        elif self._place.retiring or (self._report and self._report.left == LEFT_STUCK):
            await self._end_guest(with_process=True)  # a fresh one is wanted, or nothing else ends what runs
        self._place.leave()

    async def _call(self, method: str, *arguments: Any) -> Any:
        """Call the guest until it answers; raises `GuestLost` when it has not for too long."""
        assert self._line is not None
        while True:
            left = self._answered + self._patience - time.monotonic()
            if left <= 0:
                await self._look_after_it()
                continue
            try:
                answer = await asyncio.wait_for(self._line.call(method, *arguments), left)
            except asyncio.TimeoutError:
                continue
            except OSError as error:
                log.info("worker %d does not answer: %s", self.spec.worker, error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._answered = time.monotonic()
            self._hangs = False
            return answer

    async def _look_after_it(self) -> None:
        """The guest has not answered for too long; raises `GuestLost` unless an item holds Python's lock there."""
        async with self._looking:
            if self._answered + self._patience > time.monotonic():
                return
            found = await self._ask_around(spare=True)
            if found is not None and found.state == HANGS:
                if not self._hangs:
                    log.warning("worker %d does not answer, since an item holds Python's lock there", self.spec.worker)
                self._hangs = True  # from now on its beat stands still here, too, and the watchdog counts
                self._show_found(found)
            elif found is None or found.state != LIVES or not await self._answers_again():
                raise GuestLost(f"it has not answered for {self._patience:g} s")
            self._answered = time.monotonic()

    async def _answers_again(self) -> bool:
        assert self._line is not None
        try:
            await asyncio.wait_for(self._line.call("marks"), END_SECONDS)
        except (OSError, asyncio.TimeoutError):
            return False
        return True

    async def _hear(self, recorder: Recorder) -> None:
        """Ask for news, until the guest has left."""
        while self._report is None and not self._over:
            signs, packed = await self._call("news", self._heard)
            self._show(unpack(signs))
            if packed is not None:
                news: News = unpack(packed)
                if news.number == self._heard + 1:
                    self._heard = news.number
                    self._take(recorder, news)
        if self._report is not None:
            await self._call("news", self._heard)  # it may go

    def _take(self, recorder: Recorder, news: News) -> None:
        desk = self._desk
        if news.lines:
            append_lines(self._folder.log, news.lines)
        desk.holds.learn(news.holds)
        if news.differs and self._reuse is not None:
            self._reuse.drop()
        due = Due(
            list(map(Outcome._make, news.outcomes)),
            list(map(FailedAttempt._make, news.attempts)),
            list(map(StageResult._make, news.stages)),
            list(news.finished),
            list(news.given_back),
            list(news.put_back),
            [
                Entry(Booking(name, what), partial(desk.answer, number), partial(desk.refuse, number))
                for number, name, what in news.entries
            ],
        )
        if due:
            recorder.take(due)
        if news.want:
            recorder.want(news.want)
        elif news.want is not None:
            recorder.stop_wanting()
        if news.hurry:
            recorder.hurry()
        if news.closing:
            recorder.close()
            self._finishing = self._loop.create_task(self._finish(recorder))
        if news.report is not None:
            self._report = self._report or self._with_place(news.report)

    def _with_place(self, report: WorkerReport) -> WorkerReport:
        """The report of a guest that has failed says where: what it lacks may be there where the supervisor is."""
        if report.left != LEFT_FAILED or self._line is None:
            return report
        return replace(report, reason=f"{report.reason} (on {self._line.name})")

    async def _finish(self, recorder: Recorder) -> None:
        await asyncio.to_thread(recorder.join)
        self._desk.close()

    def _show(self, signs: Signs) -> None:
        self._place.show(signs)
        if signs.beat != self._beat:
            self._beat = signs.beat
            self._place.tick()

    async def _watch(self) -> None:
        """Look at the board; a guest of which nothing is heard may turn all the same."""
        while not self._over:
            await asyncio.sleep(LOOK_SECONDS)
            if self._beat and not self._hangs and time.monotonic() - self._answered > SILENT_SECONDS:
                self._place.tick()
            if self._desk.has_orders:
                self._desk.changed.set()

    async def _give(self) -> None:
        """Send orders when there are some."""
        while not self._over:
            await self._desk.changed.wait()
            self._desk.changed.clear()
            if not self._desk.has_orders:
                continue
            await self._call("give", pack(self._desk.orders()))
            await asyncio.sleep(GIVE_GAP_SECONDS)

    # What the recorder's thread says ------------------------------------------------------------------------

    def _committed(self, due: Due) -> None:
        if self._reuse is not None:
            self._reuse.keep(due.outcomes)
        self._desk.committed(due.results)

    def _cannot_record(self, error: Exception) -> None:
        if isinstance(error, DiskFull):
            self._place.tell_disk_full()
        self._desk.fail(str(error))

    # Its end -------------------------------------------------------------------------------------------------

    async def _bury(self, lost: GuestLost) -> None:
        """Find out what has become of a guest that does not answer."""
        self._shun = True
        self._report = None
        self._how = str(lost)
        found = None if isinstance(lost, GuestForgotten) else await self._ask_around(spare=False)
        self._blameless = found is None or found.state != DIED
        if self._blameless:
            log.warning("worker %d is lost: %s", self.spec.worker, self._how)
        self._show_found(found)

    async def _ask_around(self, spare: bool) -> Found | None:
        if self._line is None or self._marks is None:
            return None
        return await self._line.ask_around(self._marks, spare)

    def _show_found(self, found: Found | None) -> None:
        if found is not None:
            self._place.show_begun(found.begun)
            self._place.current = found.current

    async def _end_guest(self, with_process: bool = False) -> None:
        if self._line is not None:
            self._shun = True
            with contextlib.suppress(GuestLost, OSError, asyncio.TimeoutError):
                await asyncio.wait_for(self._line.call("end", with_process), END_SECONDS)

    async def _close(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
            await asyncio.to_thread(self._recorder.join)
        if self._reuse is not None:
            self._reuse.close()
        if self._line is not None:
            self._line.close(self._shun)
