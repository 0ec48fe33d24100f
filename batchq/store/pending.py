"""What a `QueueManager` keeps its items in: memory, or a file of its own, which is a batch's without a supervisor.

    put ──▶ ready ──take──▶ unacked ──finish──▶ its results, stored with its items
              ▲                │
              └── put back, or opened again after a crash

The chunk queue, the items and their outcomes are the durable engine's; each change is one transaction.  The file
belongs to one connection, which therefore keeps SQLite's automatic checkpoints.  A lock beside it keeps other
programs out.  Within one program the last to open it owns it: a program that reads a queue back often still
holds the object that wrote it, and the epoch in the file refuses whatever that one tries later.
"""

from __future__ import annotations

import json
import os
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from batchq.config import QueueStatus
from batchq.errors import BatchBusy, StorageFailed, StoreError, UnserializableResult, UsageError
from batchq.model import COMPLETED, HALTED, PAUSED, QUEUED, RUNNING, Item, Outcome
from batchq.store import connection as db
from batchq.store.chunks import ChunkQueue
from batchq.store.connection import SQL
from batchq.store.home import FileLock
from batchq.store.outcomes import OutcomeWriter
from batchq.store.reading import LAST

SPEC: Final = '{"kind": "queue"}'
"""Stands where a batch has its specification, so that neither is taken for the other."""
OWNER: Final = "owner"
"""The only claimant that such a file has."""
CHECKPOINT_PAGES: Final = 1000
"""SQLite's own default; `connection` turns it off for files that a supervisor checkpoints."""
PAGE_ROWS: Final = 2000

STATES: Final[Mapping[QueueStatus, str]] = {
    QueueStatus.PENDING: QUEUED,
    QueueStatus.RUNNING: RUNNING,
    QueueStatus.PAUSED: PAUSED,
    QueueStatus.COMPLETED: COMPLETED,
    QueueStatus.FAILED: HALTED,
}
"""How a batch's file words the status of a queue."""


class Waiting(Protocol):
    """What a `QueueManager` keeps its items in; the length is the number of those that wait."""

    def __len__(self) -> int: ...

    def put(self, items: Sequence[Any]) -> None:
        """Add items behind the others: all of them, or none."""

    def take(self, count: int) -> tuple[list[Any], Any]:
        """Up to `count` items from the front, and the ticket for the other methods."""

    def put_back(self, ticket: Any) -> None:
        """Put what was taken back to where it was."""

    def finish(self, ticket: Any, results: Sequence[Any]) -> None:
        """What was taken is done, and `results` came of it."""

    def save_status(self, status: QueueStatus) -> None:
        """Keep the status."""

    def close(self) -> None:
        """Let go of what is open."""


class InMemory(deque[Any]):
    """Items that end with the program, and are the very objects that were put.

    Example:
        >>> waiting = InMemory()
        >>> waiting.put(["a", "b", "c"])
        >>> chunk, ticket = waiting.take(2)
        >>> waiting.put_back(ticket)
        >>> chunk, list(waiting)
        (['a', 'b'], ['a', 'b', 'c'])
    """

    def put(self, items: Sequence[Any]) -> None:
        """Add items behind the others."""
        self.extend(items)

    def take(self, count: int) -> tuple[list[Any], Sequence[Any]]:
        """Up to `count` items from the front, and the same as the ticket."""
        items = tuple(self.popleft() for _ in range(min(count, len(self))))
        return list(items), items

    def put_back(self, ticket: Sequence[Any]) -> None:
        """Put what was taken back to the front."""
        self.extendleft(reversed(ticket))

    def finish(self, ticket: Sequence[Any], results: Sequence[Any]) -> None:
        """Nothing to keep: the manager has the results."""

    def save_status(self, status: QueueStatus) -> None:
        """Nothing to keep."""

    def close(self) -> None:
        """Nothing is open."""


class _OwnQueue(ChunkQueue):
    """A chunk queue whose owner alone decides when to take: a paused one may be taken from by hand."""

    def is_open(self) -> bool:
        return True


class PendingStore:
    """Items that wait, the chunks in flight and the results, in one file; its length is what waits.

    Opening it takes it over: chunks that were in flight go back to the front.  A file that is missing or empty
    is made, whole or not at all.

    Args:
        path: the file; its lock is ``<path>.lock``.
        encode: turns a value into strict JSON text, and raises `UnserializableResult` where it cannot.

    Attributes:
        total: items of this queue, from its first to its last.
        processed: those of them that are finished.
        status: how the queue was left; one that ran when its program died is pending.

    Raises:
        BatchBusy: another program has the file open.
        StoreError: it is something else, or cannot be made or opened; it is left as it is.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> store = PendingStore(Path(folder.name, "queue"), json.dumps)
        >>> store.put(["a", "b", "c"])
        >>> chunk, ticket = store.take(2)
        >>> store.finish(ticket, ["A", "B"])
        >>> chunk, len(store), list(store.results())
        (['a', 'b'], 1, ['A', 'B'])
        >>> store.close()
        >>> folder.cleanup()
    """

    def __init__(self, path: Path, encode: Callable[[Any], str]) -> None:
        self._path = path = path.absolute()
        self._encode = encode
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        self._locked = False
        self.total = self.processed = self._last = self._waiting = 0
        self.status = QueueStatus.PENDING
        with _as_store_error(path), ExitStack() as opened:
            opened.callback(self._lock.release)
            self._hold()
            if not is_saved(path):
                _create(path)
            self._connection = opened.enter_context(closing(_open(path)))
            self._take_over()
            # Also when its owner is forgotten, and at exit: the log then goes into the file, the lock to others.
            self._closer = weakref.finalize(self, opened.pop_all().close)

    def __len__(self) -> int:
        return self._waiting

    def close(self) -> None:
        """Close the file and give it up to others; what is in flight will go back to the front."""
        self._closer()

    def begin_anew(self) -> None:
        """Let the next items begin a queue of their own, which counts from zero; older rows stay in the file."""
        self.total = self.processed = 0

    def put(self, items: Sequence[Any]) -> None:
        """Add `items` behind those that wait: all of them, or none.

        Raises:
            UsageError: JSON cannot hold one of them; names it, and the path to the culprit.
            StorageFailed: the file cannot be written.
        """
        texts = self._texts("item", items)
        last, total = self._last + len(texts), self.total + len(texts)
        with self._change() as connection:
            rows = ((self._last + n, None, self.total + n, text) for n, text in enumerate(texts, 1))
            connection.executemany(SQL["insert_item"], rows)
            # Of no size: a chunk has as many items as were asked for, however large they are.
            self._queue.put_range(self._last + 1, last)
            connection.execute(SQL["note_position"], (last, total + 1, last, "", 0))
            connection.execute(SQL["count_items"])
        self._last, self.total = last, total
        self._waiting += len(texts)

    def take(self, count: int) -> tuple[list[Any], Sequence[Item]]:
        """Take up to `count` items from the front; returns them with the ticket to finish or put them back."""
        if not self._waiting:
            return [], ()
        with self._change():
            claim = self._queue.claim(count, chunk_size=1)
        items = [item for _, taken in claim.chunks for item in taken]
        self._waiting -= len(items)
        return [json.loads(item.payload) for item in items], items

    def put_back(self, ticket: Sequence[Item]) -> None:
        """Put what was taken back to where it was."""
        with self._change():
            for message_id in {item.message_id for item in ticket}:
                self._queue.give_back(message_id, 0)
        self._waiting += len(ticket)

    def finish(self, ticket: Sequence[Item], results: Sequence[Any]) -> None:
        """Store what came of the items that were taken; they never come back.

        Args:
            ticket: from `take`.
            results: usually one an item; any other number is kept as well.

        Raises:
            UsageError: JSON cannot hold one of them; names it, and the path to the culprit.
            StorageFailed: the file cannot be written.
        """
        now_ms = int(time.time() * 1000)
        shares = _shares(self._texts("result", results), len(ticket))
        outcomes = [
            Outcome(item.seq, item.run, 1, 0, now_ms, 0, share, None)
            for item, share in zip(ticket, shares, strict=True)
        ]
        with self._change() as connection:
            OutcomeWriter(connection).record(outcomes)
            self._queue.ack_all(list({item.message_id for item in ticket}))
            self._queue.clear_acked_data()
        self.processed += len(ticket)

    def results(self) -> Iterator[Any]:
        """The results of this queue, in the order of its items."""
        seq = self._last - self.total
        while page := self._page(seq):
            seq = page[-1][0]
            for row in page:
                yield from json.loads(row[4])

    def _page(self, seq: int) -> list[Any]:
        with _as_store_error(self._path):
            return self._connection.execute(SQL["page_of_results"], (seq, PAGE_ROWS, False, LAST)).fetchall()

    def save_status(self, status: QueueStatus) -> None:
        """Keep the status."""
        if self._closer.alive and self._connection.in_transaction:
            # A signal handler pauses the queue in the midst of a change, and the change takes this along.
            self._save_status(status)
        else:
            with self._change():
                self._save_status(status)

    def _save_status(self, status: QueueStatus) -> None:
        before = self._connection.execute(SQL["read_gate"]).fetchone()[1]
        values = {"state": STATES[status], "before": before, "reason": None, "now": time.time()}
        self._connection.execute(SQL["set_state"], values)

    def _take_over(self) -> None:
        with db.transaction(self._connection) as connection:
            connection.execute(SQL["begin_epoch"])
            self._epoch = connection.execute(SQL["read_gate"]).fetchone()[0]
            self._queue = _OwnQueue(connection, OWNER, self._epoch)
            self._queue.resume_unack_tasks()
            row = connection.execute(SQL["read_batch"]).fetchone()
            finished = connection.execute(SQL["read_tally"]).fetchone()[1]
        _offset, next_line, self._last, _digest = row[-4:]
        # A queue begins only when the one before it is finished, so what is before it counts in both alike.
        self.total = next_line - 1
        self.processed = finished - (self._last - self.total)
        self._waiting = self.total - self.processed
        self.status = self._left_as(row[2])

    def _left_as(self, state: str) -> QueueStatus:
        if self.total and not self._waiting:
            return QueueStatus.COMPLETED
        status = next(status for status, name in STATES.items() if name == state)
        return QueueStatus.PENDING if status is QueueStatus.RUNNING else status

    @contextmanager
    def _change(self) -> Iterator[db.Connection]:
        """A write transaction, for as long as nobody has taken the file over."""
        if not self._closer.alive:
            raise StoreError(str(self._path), "is closed", "load_state() opens it again.")
        self._hold()
        try:
            with db.transaction(self._connection) as connection:
                if connection.execute(SQL["read_gate"]).fetchone()[0] != self._epoch:
                    raise _busy(self._path, "a later QueueManager of this program has taken it over")
                yield connection
        except db.DatabaseError as error:
            failure = StorageFailed(str(self._path), str(error))
            failure.hint = "What was committed is safe; load_state() goes on when the disk is well again."
            raise failure from error

    def _hold(self) -> None:
        """Have the lock, unless an older store of this very process still has it."""
        if self._locked or self._lock.acquire():
            self._locked = True
            return
        holder = self._lock.holder()
        if holder is None or holder.pid != os.getpid() or not holder.is_alive():
            raise _busy(self._path, str(holder or "its lock is held by a process unknown"))

    def _texts(self, kind: str, values: Sequence[Any]) -> list[str]:
        texts = []
        for index, value in enumerate(values):
            try:
                texts.append(self._encode(value))
            except UnserializableResult as error:
                culprit = f"{error.path} is {error.type_name} ({error.reason})"
                message = f"{kind} {index} cannot be kept in {self._path} as JSON: {culprit}"
                raise UsageError(message, "Use plain data, or a queue without enable_persistence.") from error
        return texts


_ELSEWHERE: Final = "It is left as it is; name another persistence_path, or move it away."


def is_saved(path: Path) -> bool:
    """Whether there is something at `path` that must not be overwritten: an empty file holds nothing to lose."""
    # Not by opening it: closing it again would drop the locks that SQLite holds in this process.
    return os.path.isdir(path) or (os.path.exists(path) and os.path.getsize(path) > 0)


@contextmanager
def _as_store_error(path: Path) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        error.hint = error.hint or _ELSEWHERE
        raise
    except (OSError, db.DatabaseError) as error:
        raise StoreError(str(path), f"cannot be opened ({error})", _ELSEWHERE) from error


def _create(path: Path) -> None:
    unfinished = path.with_name(path.name + ".new")
    # A log without its database would be played into the new one.
    for stale in (unfinished, *_logs(unfinished), *_logs(path)):
        stale.unlink(missing_ok=True)
    with closing(db.create(unfinished, "normal")) as connection, db.transaction(connection):
        values = {"batch_id": "queue", "uuid": str(uuid.uuid4()), "now": time.time(), "spec": SPEC}
        unused = {"concurrency": 1, "workers": 1, "timeout": None, "retry_attempts": 1, "handler": None, "seal": None}
        unused |= {"priority": 0, "served": 0}
        connection.execute(SQL["create_batch"], values | unused)
        connection.execute(SQL["create_tally"])
    unfinished.replace(path)


def _logs(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")]


def _open(path: Path) -> db.Connection:
    # Not open_writer: it would lay a file of turns into the user's folder, for others who never come.
    connection = db._open(path, "rw")
    if connection.execute(SQL["read_batch"]).fetchone()[9] != SPEC:
        connection.close()
        raise StoreError(str(path), "is a batch, and no queue of a QueueManager")
    connection.execute(f"PRAGMA cache_size = -{db.CACHE_KIB}")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    return connection


def _busy(path: Path, holder: str) -> BatchBusy:
    busy = BatchBusy(str(path), holder)
    busy.hint = "One owner at a time: close that one first, or use another persistence_path."
    return busy


def _shares(texts: Sequence[str], items: int) -> list[str]:
    """JSON arrays, one an item: each has the result at its place, and the last all that are left over.

    Example:
        >>> _shares(["1", "2", "3"], 2), _shares(["1"], 2)
        (['[1]', '[2, 3]'], ['[1]', '[]'])
    """
    parts = [texts[index : index + 1] for index in range(items - 1)] + [texts[items - 1 :]]
    return [f"[{', '.join(part)}]" for part in parts]
