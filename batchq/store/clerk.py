"""Writes what recorders have gathered: a thread that alone owns a connection, and group commit for all of them.

    recorder 1 ── tell ──▶                ┌─ outcomes of all, in one group
    recorder 2 ── tell ──▶ thread ── one transaction ──▶ batch.db
    recorder 3 ── tell ──▶                └─ acks, charges and the next claim, each in its own name

A recorder has a clerk of its own, or shares one with others: then as many as have something to say at a time cost one
transaction, and not one each.  A commit that fails leaves all as it was.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, Protocol

from batchq.errors import StorageFailed
from batchq.model import Chunk
from batchq.probe import reach
from batchq.store.connection import DatabaseError, open_writer, transaction
from batchq.store.due import Due
from batchq.store.outcomes import Group, OutcomeWriter
from batchq.store.pace import StoredBook

COMMIT_SECONDS: Final = 0.05
"""The longest that an outcome waits for its commit while others keep coming."""
IDLE_SECONDS: Final = (0.01, 0.25)
"""Shortest and longest pause between two looks for work, which are reads."""

CLOSE_SECONDS: Final = 2.0
AT_ONCE: Final = 250
"""Recorders that one transaction is for: a claim is a quarter of a millisecond, in which nobody else can write."""

log = logging.getLogger(__name__)


@dataclass
class Job:
    """What is to be done for one recorder in the next transaction.

    Attributes:
        due: what it has been told.
        held: characters of the results in that.
        want: items that it claims.
        taken: what it has got; None where it may claim no more.
        answers: what is to be called once all is committed.
    """

    due: Due
    held: int
    want: int
    taken: Sequence[Chunk] | None = None
    answers: Sequence[Callable[[], None]] = ()


class Customer(Protocol):
    """Whom a clerk writes for; all is called in its thread."""

    is_told: bool
    """The clerk knows that there is something."""

    @property
    def wants(self) -> bool:
        """Whether it waits for items."""

    @property
    def has_left(self) -> bool:
        """Whether nothing more will come of it."""

    def collect(self) -> Job | None:
        """What is to be done; None for nothing."""

    def write(self, job: Job, book: StoredBook) -> None:
        """All of it but the outcomes, in the open transaction."""

    def restore(self, job: Job) -> None:
        """Nothing of it was written."""

    def settle(self, job: Job) -> None:
        """It is committed."""

    def deliver(self) -> bool:
        """Hand on what it has got; whether there was something."""

    def goes_on_after(self, error: Exception) -> float | None:
        """Seconds to wait before it is tried again; None where that is given up."""

    def recovered(self) -> None:
        """The file can be written."""

    def fail(self, error: Exception) -> None:
        """A fault of ours: nothing more is written."""

    def end(self, error: Exception) -> None:
        """The clerk writes nothing more for it."""


class Clerk:
    """Writes for one recorder, or for several.

    Args:
        path: the batch's file.
        durability: ``normal`` or ``full``.
        stays: it waits for others when the last one has left, until `close`.

    Raises:
        StoreError: the file cannot be opened.
    """

    def __init__(self, path: Path, durability: str, stays: bool = False) -> None:
        self.connection = open_writer(path, durability)
        self.work = threading.Event()
        """Set when there is something to do …"""
        self.urgent = threading.Event()
        """… and when that is to be done now."""
        self._path = path
        self._stays = stays
        self._writer = OutcomeWriter(self.connection)
        self._book = StoredBook(self.connection)
        self._lock = threading.Lock()
        self._customers: set[Customer] = set()
        self._told: deque[Customer] = deque()
        self._hungry: set[Customer] = set()
        self._ended = False
        self._pause = IDLE_SECONDS[0]
        self._looked: dict[tuple[str, int], bool] = {}
        self._thread = threading.Thread(target=self._run, name="batchq-recorder", daemon=True)

    def add(self, customer: Customer) -> None:
        """Write for this one from now on; raises `StorageFailed` where nothing is written any more."""
        with self._lock:
            if self._ended:
                raise StorageFailed(str(self._path), "nothing more is written here")
            self._customers.add(customer)
            if self._thread.ident is None:
                self._thread.start()

    def tell(self, customer: Customer) -> None:
        """From any thread, after the fact: this one has something."""
        if not customer.is_told:
            customer.is_told = True
            self._told.append(customer)

    def once(self, what: str, number: int, look: Callable[[], bool]) -> bool:
        """What a look at the file shows: one for all who have the same question in a turn."""
        seen = self._looked.get((what, number))
        if seen is None:
            seen = self._looked[what, number] = look()
        return seen

    def close(self) -> None:
        """Nobody else comes: end when the last one has left, which is waited for a little."""
        with self._lock:
            self._stays = False
            if self._thread.ident is None:
                self._ended = True
                self.connection.close()
        self.work.set()
        self.urgent.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is written any more."""
        return self._ended

    def _run(self) -> None:
        try:
            while not self._is_through():
                self._turn()
        except BaseException as error:
            with self._lock:
                self._ended = True
            if not isinstance(error, Exception):
                raise
            log.exception("recording failed")  # waiting would not mend it, and a dead thread tells nobody
            for customer in list(self._customers):
                customer.fail(error)
        finally:
            for customer in list(self._customers):
                self._dismiss(customer)

    def _is_through(self) -> bool:
        with self._lock:
            if self._customers or self._stays:
                return False
            self._ended = True
        with contextlib.suppress(DatabaseError):
            self.connection.close()
        return True

    def _turn(self) -> None:
        if not self._told:
            self.work.wait(self._pause if self._hungry else None)
        self.work.clear()
        self.urgent.wait(COMMIT_SECONDS if self._told else 0)
        self.urgent.clear()
        present = self._hungry
        self._hungry = set()
        for _ in range(min(AT_ONCE, len(self._told))):
            customer = self._told.popleft()
            customer.is_told = False  # whatever comes from now on is told again
            present.add(customer)
        if self._told:
            self.urgent.set()
        present &= self._customers
        try:
            found = self._exchange(present)
        except (DatabaseError, OSError) as error:
            self._wait_to_try_again(present, error)
            return
        for customer in present:
            customer.recovered()
            if customer.has_left:
                self._dismiss(customer)
            elif customer.wants:
                self._hungry.add(customer)
        self._pause = IDLE_SECONDS[0] if found else min(self._pause * 1.5, IDLE_SECONDS[1])

    def _exchange(self, present: set[Customer]) -> bool:
        """One transaction with all that is due; whether anybody has got items, or heard that there are no more."""
        found = False
        self._looked.clear()
        for customer in present:
            found |= customer.deliver()  # what could not be read before
        jobs: list[tuple[Customer, Job]] = []
        try:
            for customer in present:
                job = customer.collect()
                if job is not None:
                    jobs.append((customer, job))
            if jobs:
                reach("before-commit")
                self._commit(jobs)
        except BaseException:
            self._writer.forget_groups()
            for customer, job in jobs:
                customer.restore(job)
            raise
        if jobs:
            reach("committed")
        for customer, job in jobs:
            customer.settle(job)
        for customer in present:
            found |= customer.deliver()
        return found

    def _commit(self, jobs: Sequence[tuple[Customer, Job]]) -> None:
        dues = [job.due for _, job in jobs]
        group = Group(  # before the transaction, in which nobody else can write
            list(chain.from_iterable(due.outcomes for due in dues)),
            list(chain.from_iterable(due.attempts for due in dues)),
            list(chain.from_iterable(due.stages for due in dues)),
        )
        with transaction(self.connection):
            self._writer.write(group)
            for customer, job in jobs:
                customer.write(job, self._book)

    def _wait_to_try_again(self, present: set[Customer], error: Exception) -> None:
        seconds = 0.0
        for customer in present:
            wait = customer.goes_on_after(error)
            if wait is None:
                self._dismiss(customer)
            else:
                self.tell(customer)
                seconds = max(seconds, wait)
        self.work.set()
        time.sleep(seconds)

    def _dismiss(self, customer: Customer) -> None:
        with self._lock:
            self._customers.discard(customer)
        customer.end(StorageFailed(str(self._path), "nothing more is written here"))
