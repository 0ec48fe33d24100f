"""Runs the batches of a home: adopts those that run, starts what waits, and starts again what has died.

    every quarter of a second:  bury ─▶ read how all stand ─▶ adopt ─▶ start what waits, the most urgent first

What a batch is to the server stands in its own file (`store.turns`), so a new server knows what the old one knew:

    own       made for a server (`start --queue`, the API) or left to it: it runs, whatever its last process died of
    adopted   begun in a terminal, and seen to run by a server: it goes on when its process has died, and stays as it
              is when that has left, say after Ctrl-C
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from batchq.errors import BatchBusy, BatchNotFound, BatchqError
from batchq.model import ACTIVE, LEAVING, QUEUED
from batchq.server.running.catalog import Catalog, Entry
from batchq.server.running.children import Children, Exit
from batchq.server.running.fates import IN_ORDER, MOST_DEATHS, Fates
from batchq.server.running.housekeeping import Housekeeping
from batchq.server.running.notices import Notices
from batchq.server.settings import ServerSettings
from batchq.store.batch import steer
from batchq.store.home import BatchFolder
from batchq.store.turns import ADOPTED, OWN, serve, tell_why_not

TICK_SECONDS: Final = 0.25
AGAIN_SECONDS: Final = 60.0
"""What the system has refused, or could not be written, is tried again after that."""
HANG_SECONDS: Final = 60.0
"""A look at the batches ends far sooner; after so long without the end of one, it hangs."""
LEAVE_SECONDS: Final = 15.0
"""Beyond its grace time, a supervisor that was told to leave has so long to do it."""

log = logging.getLogger(__name__)


class Daemon:
    """Runs the batches of a home until it is told to stop.

    Args:
        settings: of the server.
        catalog: how they stand.
        clock: monotonic seconds.
    """

    def __init__(self, settings: ServerSettings, catalog: Catalog, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._catalog = catalog
        self._children = Children(settings.home)
        self._housekeeping = Housekeeping(settings)
        self._notices = Notices(settings.home)
        self._fates = Fates(settings.restart_delay)
        self._held: set[str] = set()
        self._told: dict[str, str] = {}
        self._stop = threading.Event()
        self._abandon = threading.Event()
        self._thread = threading.Thread(target=self._run, name="batchq-daemon", daemon=True)
        self._clock = clock
        self._looked_at = clock()
        self.began = time.monotonic()
        """When the server began, monotonic seconds."""
        self.restarts = 0
        """Supervisors that were started again because the one before had died."""
        self.scan_seconds = 0.0
        """That the last look at all batches took."""
        self.is_ready = False
        """Every batch has been read once."""

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Start nothing more; the batches run on, or leave too where the settings say so. Returns at once."""
        self._stop.set()

    def abandon(self) -> None:
        """Wait no longer for batches that leave."""
        self._stop.set()
        self._abandon.set()

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is at work any more."""
        return not self._thread.is_alive()

    @property
    def trouble(self) -> str:
        """Why it does not do its work, in words; empty where it does, or was told to stop."""
        if self._stop.is_set():
            return ""
        if not self._thread.is_alive():
            return "the daemon has died"
        silent = self._clock() - self._looked_at
        return f"the daemon has not looked at the batches for {silent:.0f} s" if silent > HANG_SECONDS else ""

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._apart("the batches"):
                self._tick()
                self._looked_at = self._clock()
            self._stop.wait(TICK_SECONDS if self.is_ready else 0.01)
        if self._settings.stop_batches:
            with self._apart("the batches"):
                self._stop_batches()

    def _tick(self) -> None:
        exits = {end.batch_id: end for end in self._children.ended()}
        begun = time.monotonic()
        is_whole = self._catalog.refresh()
        self.scan_seconds = time.monotonic() - begun
        entries = {entry.status.batch_id: entry for entry in self._catalog.moved()}
        held = {batch_id for batch_id, entry in entries.items() if entry.status.holder is not None}
        for batch_id in {*exits, *(self._held - held - self._children.ids())}:
            with self._apart(batch_id):
                self._judge(batch_id, exits.get(batch_id))
        self._held = held
        for batch_id in held:
            with self._apart(batch_id):
                self._adopt(entries[batch_id])
        was_ready, self.is_ready = self.is_ready, self.is_ready or is_whole
        # While some have not been read yet, nobody knows which of those that wait is the most urgent.
        known = self._known_now(entries)
        self._start_waiting([each for each in known if self.is_ready or each.turn.state in ACTIVE])
        # Of those that rest, the server before may have left uploads, and notifications that are owed.
        moved = known if was_ready else self._catalog.entries()
        with self._apart("the uploads"):
            self._housekeeping.tick(moved)
        with self._apart("the notifications"):
            self._notices.tick(moved, self._children.ids())

    @contextlib.contextmanager
    def _apart(self, what: str) -> Iterator[None]:
        """Let nothing that goes wrong with one batch reach the others; it is said once."""
        try:
            yield
            self._told.pop(what, None)
        except BatchNotFound:  # deleted meanwhile
            self._fates.forget(what)
            self._notices.forget(what)
        except Exception as error:
            if self._told.get(what) != str(error):
                self._told[what] = str(error)
                log.error("%s: %s", what, error, exc_info=not isinstance(error, (BatchqError, OSError)))

    def _adopt(self, entry: Entry) -> None:
        """Note what the server does for a batch from now on, because it is seen to run."""
        turn, batch_id = entry.turn, entry.status.batch_id
        if turn.old or turn.state not in ACTIVE | LEAVING:
            return
        folder = self._folder(entry)
        if batch_id in self._children.ids():
            if turn.served != OWN:  # somebody wanted to run it himself, and came too late
                serve(folder.database, OWN)
        elif not turn.served and not entry.status.spec.source.is_program:
            holder = folder.lock.holder()
            if holder is not None and holder.pid == turn.pid:  # others hold the lock too: to repair, say
                serve(folder.database, ADOPTED)
                log.info("%s: %s runs it; adopted", batch_id, holder)

    def _judge(self, batch_id: str, end: Exit | None) -> None:
        """Nobody runs the batch any more: note when to start it again, or give up."""
        entry = self._catalog.entry(batch_id, fresh=True)
        status = entry.status
        if status.holder is not None:
            return
        if not status.is_wanted:
            self._fates.forget(batch_id)
            log.info("%s: is %s%s", batch_id, status.state, f": {status.reason}" if status.reason else "")
            return
        if end is not None and end.pid == entry.turn.pid and entry.turn.left and end.code in IN_ORDER:
            self._fates.forget(batch_id)  # it had come to an end, and somebody has let it go on since
            return
        now = time.monotonic()
        fate = self._fates.died(batch_id, status.tally.done, end, now)
        if fate.reason is not None:
            self._give_up(entry, fate.reason)
        else:
            seconds = fate.not_before - now
            log.warning("%s: its supervisor ended (%s); started again in %g s", batch_id, fate.last, seconds)
            if status.state == QUEUED and fate.deaths:
                said = f"it could not be begun, and is tried again ({fate.deaths} of {MOST_DEATHS}): {fate.last}"
                tell_why_not(self._folder(entry).database, said)

    def _give_up(self, entry: Entry, reason: str) -> None:
        batch_id = entry.status.batch_id
        folder = self._folder(entry)
        self._fates.put_off(batch_id, AGAIN_SECONDS, time.monotonic())  # where it cannot be written
        log.error("%s: given up: %s", batch_id, reason)
        try:
            lock = folder.supervise()
        except BatchBusy:  # somebody runs it after all
            self._fates.forget(batch_id)
            return
        try:
            steer(folder.database, "give up", reason)
        finally:
            lock.release()
        self._fates.forget(batch_id)
        self._catalog.entry(batch_id, fresh=True)

    def _known_now(self, entries: Mapping[str, Entry]) -> list[Entry]:
        """These batches; those that were judged meanwhile have been read anew, and may no longer want to run."""
        anew = {entry.status.batch_id: entry for entry in self._catalog.lively()}
        return [anew.get(batch_id, entry) for batch_id, entry in entries.items()]

    def _start_waiting(self, entries: list[Entry]) -> None:
        held = {entry.status.batch_id for entry in entries if entry.status.holder is not None}
        # A process that is through with its batch, and only has addresses to tell, takes no place of another.
        known = {entry.status.batch_id: entry for entry in entries}
        through = {each for each in self._children.ids() if self._is_through(each, known)} - held
        busy = held | (self._children.ids() - through)
        waiting = [entry for entry in entries if entry.status.is_wanted and entry.status.batch_id not in busy]
        waiting.sort(key=lambda entry: (-entry.turn.priority, entry.turn.created_at, entry.status.batch_id))
        # One whose deadline has passed only says so: they need no place, but go one at a time.
        late = {entry.status.batch_id for entry in entries if _is_late(entry)}
        is_one_late = not late.isdisjoint(self._children.ids() - through)
        now = time.monotonic()
        for entry in waiting:
            if self._stop.is_set():
                return
            batch_id = entry.status.batch_id
            if len(busy) >= self._settings.max_batches and (is_one_late or batch_id not in late):
                continue
            fate = self._fates.get(batch_id)
            if fate.not_before > now:
                continue
            with self._apart(batch_id):
                if fate.reason is not None:
                    self._give_up(entry, fate.reason)
                    continue
                self._fates.put_off(batch_id, self._settings.restart_delay, now)  # where the system refuses
                self._children.start(self._folder(entry))
                self.restarts += fate.deaths > 0
                busy.add(batch_id)
                is_one_late |= batch_id in late

    def _is_through(self, batch_id: str, known: Mapping[str, Entry]) -> bool:
        entry = known.get(batch_id) or self._catalog.peek(batch_id)  # one that is over has been told once
        return entry is not None and not entry.status.is_wanted

    def _stop_batches(self) -> None:
        """Let the batches that are the server's own leave; the next server goes on with them."""
        told: list[Entry] = []
        for entry in self._catalog.lively():
            with self._apart(entry.status.batch_id):
                if self._tell_to_leave(entry):
                    told.append(entry)
        deadline = time.monotonic() + max((entry.status.spec.grace for entry in told), default=0.0) + LEAVE_SECONDS
        while told and time.monotonic() < deadline and not self._abandon.wait(TICK_SECONDS / 5):
            self._children.ended()
            running = self._children.ids()
            told = [e for e in told if e.status.batch_id in running or self._folder(e).lock.is_held()]
        for entry in told:
            log.warning("%s: has not left yet", entry.status.batch_id)

    def _tell_to_leave(self, entry: Entry) -> bool:
        if self._children.stop(entry.status.batch_id):
            return True
        lock = self._folder(entry).lock
        holder = lock.holder() if entry.turn.served == OWN and lock.is_held() else None
        if holder is None or not holder.is_alive():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder.pid, signal.SIGTERM)
        return True

    def _folder(self, entry: Entry) -> BatchFolder:
        return BatchFolder(self._settings.home.path / entry.status.batch_id)


def _is_late(entry: Entry) -> bool:
    deadline = entry.status.spec.deadline
    return deadline is not None and deadline <= time.time()
