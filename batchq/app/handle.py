"""A handle on a batch that was begun anywhere: by another program, another terminal, or yesterday."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from batchq.app import verbs
from batchq.app.items import ItemDetails, find_items
from batchq.app.limits import Changes, change_limits
from batchq.app.notify import deliver_aside, deliver_owed
from batchq.app.progress import Silence, open_library_display
from batchq.app.report import BatchReport
from batchq.app.status import BatchStatus, status_of
from batchq.app.stored import StoredRows, build_report, result_of
from batchq.config import check_choice
from batchq.engine.hooks import Hooks
from batchq.engine.supervisor import Supervisor
from batchq.errors import UsageError
from batchq.model import FAILED, SUCCESS
from batchq.spec import BatchSpec
from batchq.store.home import Home


class BatchHandle:
    """One batch; made by `open`.

    Attributes:
        batch_id: the batch.

    Example:
        >>> report = batchq.run(["tea"], str.upper, batch_id="b1", enable_progress_tracking=False)
        >>> batch = batchq.open("b1")
        >>> batch.status().state, [each["result"] for each in batch.results()]
        ('completed', ['TEA'])
    """

    def __init__(self, home: Home, batch_id: str) -> None:
        self._home = home
        self._folder = home.find(batch_id)
        self.batch_id = batch_id

    def status(self) -> BatchStatus:
        """How it stands, now: state, counts, rate, kinds of failure."""
        return status_of(self._folder)

    def pause(self) -> str:
        """Begin nothing new; what is in flight finishes. Returns ``pausing`` or ``paused``, or the state of a batch
        that has ended."""
        return verbs.pause(self._home, self.batch_id)

    def cancel(self) -> str:
        """As `pause`, and for good. Returns ``cancelling`` or ``cancelled``."""
        state = verbs.cancel(self._home, self.batch_id)
        deliver_aside(self._home, self._folder)
        return state

    def set(self, **limits: Any) -> BatchSpec:
        """Change limits, also while it runs: it feels them within a second. Returns the specification then.

        Args:
            limits: ``concurrency``, ``workers``, ``timeout`` (seconds), ``retry_attempts``, ``rate`` and ``budget`` (a
                text, or several), ``halt``, ``adaptive``, ``deadline``, ``memfree``, as `batchq set` takes them.

        Raises:
            ConfigError: a value cannot be used.
            TypeError: there is no such limit.
        """
        several = {
            name: (value,) for name, value in limits.items() if name in ("rate", "budget") and isinstance(value, str)
        }
        return change_limits(self._home, self.batch_id, Changes(**(limits | several)))

    def resume(self, progress: bool = False) -> BatchReport:
        """Go on with what is left, in worker processes of this program, and wait for the end; then the report.

        A batch that has ended is left as it is; one that another process is pausing is un-paused there, and goes on
        there. The addresses that `batchq start --notify` named are told, which may take a minute.

        Args:
            progress: show a bar, where there is a terminal or a notebook.

        Raises:
            BatchBusy: another process runs it.
            UsageError: its function cannot be used, or the rest of its items is known to another program only.
        """
        with open_library_display() if progress else nullcontext(Silence()) as display:
            session = verbs.resume(self._home, self.batch_id, Hooks(display.show, display.note))
            if not isinstance(session, BatchStatus):
                _run(session.supervisor)
            deliver_owed(self._home, self._folder, display.note)
        return self.report()

    def retry(self, error: str | None = None, items: Collection[str] = (), progress: bool = False) -> BatchReport:
        """Run failed items again, wait, and return the report; their earlier attempts stay in the history.

        Args:
            error: a regular expression that the error, written as ``type: text``, has to contain; None for any.
            items: ids of the items, or their positions in the input as ``#12``; empty for all.
            progress: as in `resume`.

        Raises:
            UsageError: the batch was cancelled, or see `resume`.
        """
        verbs.retry(self._home, self.batch_id, error, items)
        return self.resume(progress)

    def results(self, only: str | None = None) -> Iterator[Mapping[str, Any]]:
        """What came of each item so far, in the order of the input, read while it is walked.

        Args:
            only: ``"success"`` or ``"failed"``; None for both.

        Raises:
            ConfigError: `only` is neither.
        """
        if only is not None:
            check_choice("only", only, (SUCCESS, FAILED))
        return iter(StoredRows(self._folder.database, sys.maxsize, result_of, only))

    def item(self, which: str | int) -> ItemDetails:
        """One item with its payload, result and every attempt.

        Args:
            which: its id, or its position in the input: a number, or as ``#12`` or ``item-12``.

        Raises:
            UsageError: there is no such item, or several items have that id; then name one by its position.
        """
        found = find_items(self._folder, which)
        if len(found) > 1:
            places = ", ".join(str(each.seq) for each in found[:5]) + (", …" if len(found) > 5 else "")
            raise UsageError(f"{len(found)} items have the id {which!r}", f"Name one by its position: {places}.")
        return found[0]

    def report(self) -> BatchReport:
        """The report on what has been done so far."""
        return build_report(self._folder)

    def __repr__(self) -> str:
        return f"<batch {self.batch_id} in {self._home.path}>"


def open(batch_id: str, home: str | os.PathLike[str] | None = None) -> BatchHandle:  # noqa: A001  # batchq.open
    """A handle on the batch of that id.

    Args:
        batch_id: the batch.
        home: the folder of batches; None for ``$BATCHQ_HOME``, else the user's state folder.

    Raises:
        BatchNotFound: there is no such batch.

    Example:
        >>> batchq.open("never-begun")
        Traceback (most recent call last):
            ...
        batchq.errors.BatchNotFound: no batch 'never-begun' in ...
    """
    return BatchHandle(Home.at(home), batch_id)


def _run(supervisor: Supervisor) -> None:
    """Run it in a thread, and wait: Ctrl-C then stops it gently, and once more at once."""
    raised: list[BaseException] = []
    has_ended = threading.Event()

    def work() -> None:
        try:
            supervisor.run()
        except BaseException as error:  # carried to the caller
            raised.append(error)
        finally:
            has_ended.set()

    threading.Thread(target=work, name="batchq-supervisor").start()
    interrupted: BaseException | None = None
    # Not `Thread.join`: up to Python 3.12 a thread counts as ended once Ctrl-C has hit who waits so for it.
    while not has_ended.is_set():
        try:
            has_ended.wait()
        except KeyboardInterrupt as error:
            interrupted = error
            supervisor.stop()
    for failure in (*raised, interrupted):
        if failure is not None:
            raise failure
