"""One batch from lock to end: fill the queue, keep the workers running, deal with those that die, finish.

    Supervisor.run():  lock ─▶ new epoch ─▶ take over what the dead held ─▶ ┌ fill (thread)      ┐ ─▶ leave
                                                                           │ start workers      │
                                                                           │ bury the dead      │
                                                                           └ checkpoint, progress┘

The supervisor never touches an item's work; it hands out numbers, and everything that must survive it is in the
batch's file.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing, suppress
from typing import Final

from batchq.engine.crew import LEAVE_SECONDS, Crew
from batchq.engine.fill import Fill
from batchq.engine.governor import Governor
from batchq.engine.halting import StopRules
from batchq.engine.handover import Handover
from batchq.engine.hooks import Ending, Hooks
from batchq.engine.local import Engine, LocalEngine
from batchq.engine.logs import log_handler
from batchq.engine.outfile import NoFile
from batchq.engine.recovery import recover
from batchq.engine.strict import HINT
from batchq.errors import FileDamaged, StorageFailed, SystemRefused, UsageError
from batchq.inputs import Records
from batchq.model import ACTIVE, COMPLETED, ENDED, FILLING, HALTED, LEAVING, PAUSING, TAKE, BatchRow
from batchq.store.batch import BatchReader, BatchStore, Progress
from batchq.store.connection import DatabaseError
from batchq.store.home import BatchFolder
from batchq.store.reserve import drop_reserve, make_reserve, no_room, storage_error

FIRST_TICK_SECONDS: Final = 0.01
TICK_SECONDS: Final = 0.1
"""A small batch must not wait for a slow tick at its end; a long one must not pay for a fast one."""
RESTING_SECONDS: Final = 0.25
QUIET_SECONDS: Final = 2.0
"""While nothing has changed for so long, the ticks are slow: a batch that waits for an hour is asleep."""
NOTE_SECONDS: Final = 1.0
CHECKPOINT_BYTES: Final = 16 * 1024 * 1024
"""A log of this size is copied into the file: large enough that pages are copied once for many commits."""
CHECKPOINT_SECONDS: Final = 30.0

UNABLE: Final = (DatabaseError, StorageFailed, SystemRefused, OSError)
"""What says that the batch cannot go on as things stand, and is no fault of batchq."""

log = logging.getLogger(__name__)


class Supervisor:
    """Supervises one batch in the calling thread.

    Args:
        folder: the batch.
        reader: the input, where something has been read of it already (the check of the first record).
        hooks: whom to tell.
        engine: what runs workers.
        ignore_changed_input: read on although the input is not the one that the batch began with.
        input_ended: go on with what is stored, and read nothing more.
        outfile: to which the outcomes are written.
        event: ``supervise`` for a user, ``take`` for a server.
    """

    def __init__(
        self,
        folder: BatchFolder,
        reader: Records | None = None,
        hooks: Hooks | None = None,
        engine: Engine | None = None,
        ignore_changed_input: bool = False,
        input_ended: bool = False,
        outfile: NoFile | None = None,
        event: str = "supervise",
    ) -> None:
        self._folder = folder
        self._reader = reader
        self._hooks = hooks or Hooks()
        self._engine = engine or LocalEngine()
        self._ignore_changed_input = ignore_changed_input
        self._input_ended = input_ended
        self._outfile = outfile or NoFile()
        self._event = event
        self._wake = threading.Event()
        self._stops = 0
        self._fill: Fill | None = None
        self._crew: Crew = None  # type: ignore[assignment]  # made when the batch is supervised
        self._halted: Ending | None = None
        self._refused: str | None = None

    def stop(self) -> None:
        """Ask it to leave: once to let what is in flight finish, twice to abandon it. Safe in a signal handler."""
        # A flag and nothing more: setting the event here would wait for ever for a lock of its own, when the signal
        # comes while the loop holds that.  The loop looks at least four times a second.
        self._stops += 1

    def signal_workers(self, number: int) -> None:
        """Send a signal to every worker and what its handlers have started. Safe in a signal handler."""
        crew: Crew | None = getattr(self, "_crew", None)  # none yet where the signal comes early
        if crew is not None:
            crew.signal(number)

    def run(self) -> Ending:
        """Supervise until the batch has ended, or until asked to stop.

        Raises:
            BatchBusy: another process supervises the batch.
            StorageFailed: its file cannot be written.
        """
        lock = self._folder.supervise()
        handler = log_handler(self._folder.log, "supervisor")
        logger = logging.getLogger("batchq")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            return self._supervise()
        except DatabaseError as error:
            raise StorageFailed(str(self._folder.database), str(error)) from error
        finally:
            logger.removeHandler(handler)
            handler.close()
            self._engine.close()
            lock.release()

    def _supervise(self) -> Ending:
        with closing(BatchReader.open(self._folder.database)) as reader:
            durability = reader.row().spec.durability
        make_reserve(self._folder.path)
        self._store = BatchStore(self._folder.database, durability)
        try:
            row = self._store.row()
            if row.state in ENDED:
                return Ending(row.state, row.reason)
            if isinstance(self._reader, Handover):
                self._reader.check_passed_over(row.position.records)
            try:
                if not self._begin(row):
                    return Ending(self._store.move("drained") or self._store.progress().state)
            except UNABLE as error:
                return self._halt_unwritten(error)
            try:
                ending = self._watch()
            except UNABLE as error:
                self._store.make_room()  # for those who have outcomes in memory
                with suppress(*UNABLE):  # the input may have met the same
                    self._drain()
                ending = self._halt_unwritten(error)
            self._leave()
            return ending
        finally:
            if self._crew is not None:
                self._crew.close()
            self._outfile.finish()
            self._store.close()

    def _halt_unwritten(self, error: Exception) -> Ending:
        """Halt the batch, whose file can no longer be written, or which the system refuses what it needs."""
        failed = storage_error(self._folder.database, error)
        log.error("%s", failed)
        drop_reserve(self._folder.path)
        self._store.make_room()
        with suppress(DatabaseError):
            self._store.halt(str(failed), failed.exit_code)
        # Going on would only halt again where the file has lost something.
        hint = failed.hint if isinstance(failed, FileDamaged) else ""
        return Ending(HALTED, str(failed), exit_code=failed.exit_code, hint=hint)

    def _begin(self, row: BatchRow) -> bool:
        """False where a server wants what somebody has just paused or cancelled."""
        self._row = row
        self._spec = row.spec
        self._epoch = self._store.begin_session()
        self._began = time.monotonic()
        if self._store.move(self._event) is None and self._event == TAKE:
            self._store.end_session(self._epoch)
            return False
        log.info("supervising batch %s, epoch %d", row.batch_id, self._epoch)
        self._outfile.begin(self._folder, row.spec.durability, self._hooks.note, self._wake.set)
        self._crew = Crew(
            self._folder, self._store, row, self._epoch, self._engine, self._wake, lambda: self._stops > 1
        )
        recover(self._folder, self._store, self._crew.judge, self._hooks.note)
        self._crew.open(row)
        self._crew.board.hold(self._store.held_seconds())
        self._rules = StopRules(self._store, self._spec)
        self._governor = Governor(self._crew, row, self._hooks.note)
        self._seen = 0.0
        if self._input_ended and not row.input_done:
            log.warning("the input is read no further: --input-ended")
            self._store.end_input(cut=True)
        else:
            self._start_fill(row, self._reader)
        return True

    def _start_fill(self, row: BatchRow, reader: Records | None) -> None:
        """Read the rest of the input, if there is one."""
        self._fill = None
        if row.input_done:
            self._store.move("filled")
            return
        verify = not self._ignore_changed_input
        self._fill = Fill(self._folder, row, self._store.digest(), reader, verify, self._wake.set)
        self._fill.start()

    def _watch(self) -> Ending:
        pause = FIRST_TICK_SECONDS
        noted = checked = changed = time.monotonic()
        before: Progress | None = None
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            now = time.monotonic()
            pause = min(pause * 1.2, TICK_SECONDS) if now - changed < QUIET_SECONDS else RESTING_SECONDS
            self._bury_the_dead()
            if self._crew.board.disk_full:
                raise no_room(self._folder.path)
            self._look_at_input()
            progress = self._apply_rules(self._obey_limits(self._store.progress()))
            self._crew.board.set_counts(progress.tally.attempts, progress.tally.retries)
            self._governor.look()
            self._hooks.progress(progress)
            ending = self._ending(progress)
            if ending is not None:
                return ending
            if progress != before:
                before, changed = progress, now
                self._outfile.look()
            if progress.state in ACTIVE:
                self._crew.staff(progress)
            if now - noted >= NOTE_SECONDS:
                noted = now
                self._store.note_session(self._epoch, now - self._began)
            if self._store.wal_bytes() >= CHECKPOINT_BYTES or now - checked >= CHECKPOINT_SECONDS:
                checked = now
                self._store.checkpoint()

    def _bury_the_dead(self) -> None:
        self._crew.bury_the_dead()
        self._halted = self._halted or self._crew.fault or self._outfile.ending

    def _obey_limits(self, progress: Progress, may_renew: bool = True) -> Progress:
        """Take over what `set` has changed."""
        if progress.changed_at == self._seen:
            return progress
        row = self._store.row()
        if row.spec != self._spec:
            if not self._crew.fits(row.spec):
                if not may_renew or (self._fill is not None and row.spec.source.is_once):
                    return progress  # nobody can read the rest later: it is stored first
                self._renew(row)
            self._row, self._spec = row, row.spec
            self._governor.begin(row)
            self._crew.relimit(row, self._governor.concurrency)
            self._rules.obey(row.spec)
            log.info("other limits hold: %s", row.spec.shown().to_json())
        self._seen = progress.changed_at
        return progress

    def _renew(self, row: BatchRow) -> None:
        """Replace all workers: their board is too small for the limits of `row`."""
        self._drain(patient=True)
        if self._crew.board.disk_full:
            raise no_room(self._folder.path)
        reason = self._rules.halt_reason(self._store.tally(), self._crew.board.halt_asked_by)
        if reason is not None:
            self._halted = Ending(HALTED, reason, patient=True)
        self._crew.open(row)
        self._governor.board_is_new()
        self._start_fill(row, None)

    def _apply_rules(self, progress: Progress) -> Progress:
        """Halt or pause the batch where too much fails."""
        nothing_left = progress.input_done and progress.tally.done == progress.tally.items
        if self._halted or nothing_left or progress.state not in ACTIVE:
            return progress
        reason = self._rules.halt_reason(progress.tally, self._crew.board.halt_asked_by)
        if reason is not None:
            self._halted = Ending(HALTED, reason, patient=True)
        elif (reason := self._rules.pause_reason(progress.tally)) is not None:
            self._store.move("pause", reason)
        elif (reason := self._rules.expiry_reason(time.time())) is not None:
            self._store.move("cancel", reason)
        else:
            self._crew.board.brake_at(self._rules.brake(progress.tally, self._crew.board.failed, time.monotonic()))
            return progress
        return self._store.progress()

    def _ending(self, progress: Progress) -> Ending | None:
        """Whether it is time to leave: the batch has ended, was halted or paused, or this process was told to stop."""
        tally = progress.tally
        if self._halted:
            self._drain(patient=self._halted.patient)
            self._store.halt(self._halted.reason, self._halted.exit_code)
            return self._halted
        if self._stops:
            self._drain()
            self._outfile.finish()
            return self._completed() or Ending(progress.state, stopped=True)
        if progress.state in LEAVING:
            return self._leave_on_request(progress.state)
        if progress.state == FILLING and progress.input_done:
            self._store.move("filled")  # it was paused and un-paused between two looks
        if progress.state not in ACTIVE:
            self._drain()
            return Ending(progress.state, progress.reason)
        if tally.done < tally.items:
            return None
        if progress.input_done:
            return self._completed()
        if self._refused and not self._store.queue.any_open():
            ending = Ending(HALTED, self._refused)
            self._store.halt(self._refused, ending.exit_code)
            return ending
        return None

    def _leave_on_request(self, leaving: str) -> Ending | None:
        """Somebody has paused or cancelled the batch: what is in flight finishes; None where it was un-paused."""
        if leaving == PAUSING and self._fill is not None and self._row.spec.source.is_once:
            return None  # nobody can read the rest later: it is stored first, while no worker may claim
        self._drain(patient=True, unless_active=True)
        if self._stops:
            return Ending(self._store.progress().state, stopped=True)
        if (state := self._store.move("drained")) is not None:
            return Ending(state, self._store.progress().reason)
        self._crew.replace_all()
        self._crew.board.go_on()
        self._row = self._store.row()
        self._start_fill(self._row, None)
        return None

    def _completed(self) -> Ending | None:
        is_written = self._outfile.is_level(self._store.last_outcome())
        return Ending(COMPLETED) if is_written and self._store.complete() else None

    def _look_at_input(self) -> None:
        fill = self._fill
        if fill is None or not (fill.done or fill.error or fill.unreadable):
            return
        self._fill = None
        if fill.done:
            self._store.end_input()
            for option, field in fill.unknown_fields:
                self._hooks.note(f"no record has the field {field} that {option} names")
            if fill.repeated:
                items = "1 item has" if fill.repeated == 1 else f"{fill.repeated} items have"
                self._hooks.note(f"{items} an id that an earlier item has; all run, told apart by seq")
        elif fill.unreadable:
            hint = "" if self._row.spec.source.is_once else HINT.format(self._row.batch_id)
            self._halted = self._halted or Ending(HALTED, fill.unreadable, patient=True, hint=hint)
        elif isinstance(fill.error, UsageError):
            # Whatever is stored runs; only reading on is refused.
            self._refused = f"{fill.error}. {fill.error.hint}".strip()
            log.warning("the input cannot be read on: %s", fill.error)
            self._hooks.note(f"{fill.error}; what is stored runs")
        elif fill.error is not None:
            raise fill.error

    def _drain(self, patient: bool = False, unless_active: bool = False) -> None:
        """Let what is in flight finish within the grace time, or `patient`: for as long as it takes.

        A request to stop ends the patience, a second one the grace time.

        Args:
            patient: for as long as it takes.
            unless_active: or until somebody has un-paused the batch; then what is in flight goes on.
        """
        self._crew.board.stop_all()
        if self._fill is not None:
            self._fill.stop(LEAVE_SECONDS)
        deadline = time.monotonic() + self._spec.grace
        while self._crew.at_work:
            self._bury_the_dead()
            if patient and not self._stops:
                deadline = time.monotonic() + self._spec.grace
                progress = self._obey_limits(self._store.progress(), may_renew=False)
                self._hooks.progress(progress)
                if unless_active and progress.state in ACTIVE:
                    return
            if self._stops > 1 or time.monotonic() >= deadline:
                break
            self._wake.wait(TICK_SECONDS / 4)
            self._wake.clear()
        self._crew.dismiss()
        self._look_at_input()

    def _leave(self) -> None:
        """Send the workers home and close the books."""
        self._crew.send_home()
        self._outfile.finish()
        if self._outfile.ending and not self._halted:
            self._hooks.note(f"{self._outfile.ending.reason}; all results are in the batch")
        try:
            self._store.close_book()
            self._store.note_session(self._epoch, time.monotonic() - self._began)
            self._store.end_session(self._epoch)
            self._store.checkpoint()
        except DatabaseError as error:
            log.warning("the log was not copied into the file: %s", error)
        progress = self._store.progress()
        self._hooks.progress(progress)
        if progress.state in ENDED:
            drop_reserve(self._folder.path)
        self._folder.board.unlink(missing_ok=True)
        log.info("left batch %s", self._row.batch_id)
