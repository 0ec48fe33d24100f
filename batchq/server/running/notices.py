"""Tells the addresses of ``--notify`` what nobody else will: of batches whose process has died, and of what the server
itself does to one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

from batchq.app.notify import deliver_owed
from batchq.errors import BatchqError
from batchq.server.running.catalog import Entry
from batchq.store.home import BatchFolder, Home

SECONDS: Final = 15.0
"""An address that does not answer takes a thread for so long."""
THREADS: Final = 4
"""As many such addresses at a time hold up no other batch's."""
FIRST_DELAY_SECONDS: Final = 60.0
LONGEST_DELAY_SECONDS: Final = 3600.0

log = logging.getLogger(__name__)


@dataclass
class _Debt:
    """What a batch owes its addresses, as far as it is known.

    Attributes:
        version: of the entry that was looked at last.
        due: monotonic seconds, from which on it is tried again; None while nothing is owed or a try is under way.
        delay: seconds to the try after the next.
    """

    version: int
    due: float | None = 0.0
    delay: float = FIRST_DELAY_SECONDS


class Notices:
    """What the daemon has told at each of its looks, by threads of its own: an address may take its time.

    Args:
        home: of the batches.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._debts: dict[str, _Debt] = {}
        self._asked: SimpleQueue[str] = SimpleQueue()
        self._threads = 0

    def tick(self, entries: Iterable[Entry], running: Collection[str]) -> None:
        """See to batches that have changed, and to those that are due again.

        Args:
            entries: those that have moved of late.
            running: batches whose own processes see to it.
        """
        for entry in entries:
            batch_id = entry.status.batch_id
            if not entry.status.spec.notify or entry.status.holder is not None:
                continue
            # Also of one whose process still sends: what is over is not seen to move a second time.
            known = self._debts.get(batch_id)
            if known is None or known.version != entry.version:
                self._debts[batch_id] = _Debt(entry.version)
        now = time.monotonic()
        for batch_id, debt in self._debts.items():
            if debt.due is not None and debt.due <= now and batch_id not in running:
                debt.due = None
                self._ask(batch_id)

    def forget(self, batch_id: str) -> None:
        """The batch is no longer there."""
        self._debts.pop(batch_id, None)

    def _ask(self, batch_id: str) -> None:
        self._asked.put(batch_id)
        if self._threads < THREADS:
            self._threads += 1
            threading.Thread(target=self._work, name="batchq-notices", daemon=True).start()

    def _work(self) -> None:
        while True:
            batch_id = self._asked.get()
            try:
                came = deliver_owed(self._home, BatchFolder(self._home.path / batch_id), seconds=SECONDS)
                failed = came.failed
                if came.sent:
                    log.info("%s: %d notifications were taken", batch_id, came.sent)
            except (BatchqError, OSError) as error:
                failed = [str(error)]
            debt = self._debts.get(batch_id)
            if debt is not None and failed:
                log.warning("%s: a notification stays owed, tried again in %g s: %s", batch_id, debt.delay, failed[0])
                debt.due = time.monotonic() + debt.delay
                debt.delay = min(debt.delay * 2, LONGEST_DELAY_SECONDS)
