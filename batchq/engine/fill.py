"""Reads the input into the store while workers already run: one thread of the supervisor, small transactions."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from batchq.engine.failures import plain_failure
from batchq.engine.hiding import Hiding
from batchq.engine.strict import UpToUnreadable, digest_at
from batchq.errors import BatchqError
from batchq.inputs import Records, open_reader
from batchq.model import INVALID_INPUT, BatchRow, Failure, Record
from batchq.store.descriptors import too_many_files, used_up
from batchq.store.filler import Filler
from batchq.store.home import BatchFolder
from batchq.store.repeats import count_repeated_ids

FILL_ITEMS: Final = 2000
FILL_BYTES: Final = 8 * 1024 * 1024
FILL_SECONDS: Final = 0.1
"""A fill transaction ends at whichever of the three is first: it holds the write lock for some 10 ms."""

log = logging.getLogger(__name__)


class Fill:
    """Fills the store of one batch from its input.

    Args:
        folder: the batch.
        row: the batch's row, with the position to go on from.
        digest: hash over the part of the input that was read before it.
        reader: the input, where it is open already.
        verify: check that the part read earlier is still the same.
        wake: called after each transaction, and at the end.
    """

    def __init__(
        self,
        folder: BatchFolder,
        row: BatchRow,
        digest: str,
        reader: Records | None,
        verify: bool,
        wake: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._row = row
        self._digest = digest
        self._reader = reader
        self._verify = verify
        self._wake = wake
        self._stop = threading.Event()
        self.done = False
        """The input is stored to its end."""
        self.error: BatchqError | None = None
        """Why it cannot be read or stored any further."""
        self.unknown_fields: list[tuple[str, str]] = []
        """Options that name a field which no record has had, and the field; where all records were read here."""
        self.repeated = 0
        """Items with an id that an earlier item has too."""
        self.unreadable: str | None = None
        """The record before which reading has stopped, because the batch is strict, and why."""
        self._thread = threading.Thread(target=self._run, name="batchq-fill", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop reading; what has been read so far is stored."""
        self._stop.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._fill()
        except BatchqError as error:
            self.error = error
        except Exception as error:  # a fault of ours must end the batch, not this thread alone
            if used_up(error):
                self.error = too_many_files()
                return
            log.exception("reading the input failed")
            self.error = BatchqError(f"reading the input failed: {type(error).__name__}: {error}")
        finally:
            self._wake()

    def _fill(self) -> None:
        row = self._row
        spec = row.spec
        source = spec.source
        reader = self._reader or open_reader(source, row.position, self._digest, verify=self._verify)
        filler = Filler(self._folder.database, spec.durability, spec.chunk_size, row.position.records)
        names = [part.name for part in source.parts]
        hiding = Hiding(spec.redact, source.id_field)
        # A pipe may be silent for hours with half a group read: a thread of its own reads it.
        records: Iterator[Record | None] = _read_aside(reader) if source.is_stdin else iter(reader)
        if spec.redact:
            records = hiding.nameless(records)
        strict = UpToUnreadable(records) if spec.strict else None
        stored = row.position.records
        rising = Rising(starts=not stored)
        try:
            for group in _groups(strict or records, self._stop):
                stored += len(group)
                rising.see(group)
                if source.is_stdin:
                    digest = ""
                elif strict and strict.why:
                    digest = digest_at(source, stored)
                else:
                    digest = reader.digest()
                filler.store(group, digest, lambda e: _failure(e, names), reader.skipped)
                self._wake()
                if self._stop.is_set():
                    return
            self.unreadable = strict.why if strict else None
            if not (self._stop.is_set() or self.unreadable):
                # Who says that the input may have changed does not want its shards compared.
                filler.note_end(reader.skipped, reader.whole() if self._verify else None)
                if not rising.holds:
                    repeated = count_repeated_ids(self._folder.database, self._stop.is_set)
                    if repeated is None:
                        return
                    self.repeated = repeated
                self.done = True
                if not row.position.records:
                    self.unknown_fields = [*(("--redact", field) for field in sorted(hiding.unseen)), *reader.unseen]
        finally:
            filler.close()
            reader.close()


class Rising:
    """Whether each id is greater than the one before, as they mostly are: then none is repeated.

    Args:
        starts: the first record of the input is among those that will be seen.

    Example:
        >>> rising = Rising(starts=True)
        >>> rising.see([Record("{}", "a1", 1, 2, 2), Record("{}", None, 2, 4, 3), Record("{}", "a2", 3, 6, 4)])
        >>> rising.holds
        True
    """

    def __init__(self, starts: bool) -> None:
        self.holds = starts
        self._last: str | int | None = None

    def see(self, records: Sequence[Record]) -> None:
        """The next records."""
        if not self.holds:
            return
        last = self._last
        for record in records:
            here = record.item_id
            if here is None:
                continue
            if last is not None and not (type(here) is type(last) and here > last):  # type: ignore[operator]
                self.holds = False
                return
            last = here
        self._last = last


def _groups(records: Iterator[Record | None], stop: threading.Event) -> Iterator[list[Record]]:
    """Records in groups that make one transaction each; None says that nothing has come for a while."""
    group: list[Record] = []
    size = 0
    deadline = 0.0
    try:
        for count, record in enumerate(records):
            if record is not None:
                if not group:
                    deadline = time.monotonic() + FILL_SECONDS
                group.append(record)
                size += len(record.payload)
            if group and (len(group) >= FILL_ITEMS or size >= FILL_BYTES or _is_late(count, record, deadline)):
                yield group
                group, size = [], 0
            if stop.is_set():
                break
    except BatchqError:
        if group:
            yield group  # what was read before it went wrong
        raise
    if group:
        yield group


def _is_late(count: int, record: Record | None, deadline: float) -> bool:
    # The clock is asked at every 32nd record: asking costs a tenth of reading one.
    return (record is None or count % 32 == 0) and time.monotonic() >= deadline


def _read_aside(reader: Records) -> Iterator[Record | None]:
    """What `reader` yields, and None whenever it has yielded nothing for `FILL_SECONDS`."""
    found: queue.Queue[Record | BaseException | None] = queue.Queue(FILL_ITEMS)

    def read() -> None:
        try:
            for record in reader:
                found.put(record)
            found.put(StopIteration())
        except BaseException as error:  # carried to the thread that stores
            found.put(error)

    threading.Thread(target=read, name="batchq-read", daemon=True).start()
    while True:
        try:
            record = found.get(timeout=FILL_SECONDS)
        except queue.Empty:
            yield None
            continue
        if isinstance(record, StopIteration):
            return
        if isinstance(record, BaseException):
            raise record
        yield record


def _failure(reason: str, names: Sequence[str]) -> Failure:
    name = next((name for name in names if reason.startswith(name)), "")
    return plain_failure(INVALID_INPUT, reason, reason.removeprefix(name))
