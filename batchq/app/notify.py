"""Telling the addresses of ``--notify`` how a batch ends, or that too much of it fails.

    change of state ──▶ outbox, in its transaction ──▶ deliver_owed: POST, again where that helps ──▶ settled
                                                           (the command at its end, `resume`, a server)

What is not settled stays owed, whoever dies meanwhile. So a receiver may be told twice, never not at all: both have the
same ``webhook-id``.  What sends is imported when there is something to send.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple

from batchq.app.signature import VARIABLE, is_in_variable, key_of, secret_path
from batchq.engine.halting import SHARE_AFTER
from batchq.engine.hooks import Hooks
from batchq.engine.logs import log_line
from batchq.errors import BatchqError, UsageError
from batchq.probe import reach
from batchq.spec import BatchSpec
from batchq.store import outbox
from batchq.store.home import BatchFolder, FileLock, Home
from batchq.store.reading import reading
from batchq.store.reserve import telling
from batchq.store.rows import Progress
from batchq.store.seal import Seal

IN_ALL_SECONDS: Final = 60.0
"""A receiver that is being restarted is back by then; who waits for the command's end waits no longer."""
SERVED_SECONDS: Final = 5.0
"""A process of a server leaves the rest to that: while it is there, nobody can run its batch again."""
LEAST_SECONDS: Final = 10.0
"""Whoever has waited for another that sends still has that long."""
UNSET: Final = f"their secret is to stand in ${VARIABLE}, which is not set"
ELSEWHERE: Final = "it is from elsewhere, and so are their addresses"

Note = Callable[[str], None]


class Delivered(NamedTuple):
    """What came of a delivery.

    Attributes:
        sent: requests that were taken.
        failed: a line for each that was not; they stay owed.
    """

    sent: int = 0
    failed: Sequence[str] = ()


def deliver_owed(
    home: Home, folder: BatchFolder, note: Note = lambda _: None, seconds: float = IN_ALL_SECONDS
) -> Delivered:
    """Send what the addresses of ``--notify`` are still to be told of a batch.

    Only one process or thread at a time does so; another waits for it, and sends what is left. Safe to call at any
    time, also while the batch runs, and often. A batch from elsewhere sends nothing: its addresses are not this user's.

    Args:
        home: where the batch is.
        folder: the batch.
        note: told once of each address that does not take it at once.
        seconds: to try at most, with growing delays.

    Raises:
        StoreError: the batch's file cannot be read.
        StorageFailed: it, or the log, cannot be written.

    Example:
        for batch_id in home.batch_ids():
            deliver_owed(home, home.find(batch_id))
    """
    deadline = time.monotonic() + seconds
    with reading(folder.database) as reader:
        spec = reader.row().spec
        pickled, seal = reader.handler()
    if not spec.notify or not outbox.owed(folder.database):
        return Delivered()
    if not Seal(home.path).fits(seal, spec, pickled):
        return _unsent(folder, ELSEWHERE)
    if _lacks_variable(spec):
        return _unsent(folder, UNSET)
    try:
        key = key_of(home)
    except UsageError as error:
        return _unsent(folder, str(error))
    lock = FileLock(folder.path / "notify.lock")
    with telling(folder.database):
        is_ours = lock.acquire(seconds)
    if not is_ours:
        return _unsent(folder, f"{lock.holder() or 'another process'} is at it")
    try:
        deadline = max(deadline, time.monotonic() + min(seconds, LEAST_SECONDS))
        # Their column is not sealed: what is sent goes to sealed addresses only.
        owed = [each for each in outbox.owed(folder.database) if each.url in spec.notify]
        if not owed:
            return Delivered()
        from batchq.app.delivery import deliver

        reach("owed")
        failed = deliver(folder, owed, key, deadline, note)
        return Delivered(len(owed) - len(failed), failed)
    finally:
        lock.release()


def deliver_aside(home: Home, folder: BatchFolder, note: Note = lambda _: None) -> None:
    """The same in a thread that nobody waits for; what fails is in the log, and stays owed."""

    def work() -> None:
        try:
            deliver_owed(home, folder, note)
        except (BatchqError, OSError) as error:
            note(f"its notifications are not sent: {error}")

    threading.Thread(target=work, name="batchq-notify", daemon=True).start()


def prepare(home: Home, spec: BatchSpec, note: Note) -> None:
    """Make sure that a new batch can sign what it sends; raises as `key_of` does."""
    if not spec.notify:
        return
    is_new = not is_in_variable() and not secret_path(home).exists()
    key_of(home)
    if is_new:
        note(f"notifications are signed with the secret in {secret_path(home)}")


def announcing_again(hooks: Hooks, home: Home, folder: BatchFolder, spec: BatchSpec) -> Hooks:
    """As `announcing`, of a batch that goes on: what it owes is sent meanwhile."""
    if _lacks_variable(spec):
        hooks.note(f"its notifications will not be sent: {UNSET}")
    elif spec.notify:
        deliver_aside(home, folder, hooks.note)
    return announcing(hooks, home, folder, spec)


def announcing(hooks: Hooks, home: Home, folder: BatchFolder, spec: BatchSpec) -> Hooks:
    """`hooks` that also tell the addresses, once, when the batch's share of failed items is crossed."""
    if not spec.notify or spec.notify_at is None:
        return hooks
    return replace(hooks, progress=_ShareWatch(hooks, home, folder, spec.notify_at).look)


def _lacks_variable(spec: BatchSpec) -> bool:
    return bool(spec.notify) and spec.notify_by_variable and not is_in_variable()


def _unsent(folder: BatchFolder, why: str) -> Delivered:
    line = f"its notifications are not sent: {why}"
    log_line(folder.log, "notify", line)
    return Delivered(0, [line])


class _ShareWatch:
    """Looks at each progress, until the share is crossed."""

    def __init__(self, hooks: Hooks, home: Home, folder: BatchFolder, share: float) -> None:
        self._hooks = hooks
        self._home = home
        self._folder = folder
        self._share = share
        self._is_told = False

    def look(self, progress: Progress) -> None:
        self._hooks.progress(progress)
        tally = progress.tally
        if self._is_told or tally.done < SHARE_AFTER or tally.failed < self._share * tally.done:
            return
        self._is_told = True
        with suppress(BatchqError):  # a batch whose file cannot be written has other troubles, and tells them
            if outbox.owe_failing(self._folder.database):
                deliver_aside(self._home, self._folder, self._hooks.note)
