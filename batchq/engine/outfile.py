"""Writes outcomes to the file of ``--out`` while the batch runs: one thread of the supervisor.

    batch.db ── outcomes behind the number noted ──▶ text ──▶ file ── flushed ──▶ (number, bytes) noted in batch.db

A file that is longer than what is noted holds what a crash left behind: it is cut there, and goes on without a line
that is missing, doubled or torn.  A file that somebody else has changed, or is writing, is left as it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from batchq.engine.hooks import Ending
from batchq.errors import BatchqError, OutputFailed
from batchq.model import HALTED
from batchq.probe import reach
from batchq.store.connection import DatabaseError
from batchq.store.home import BatchFolder
from batchq.store.reading import ReportReader
from batchq.store.reserve import storage_error
from batchq.store.written import WrittenStore

PAGES: Final = 16
"""Pages that are written before they are noted: some 8,000 outcomes, written again after a crash at most."""
TAIL_BYTES: Final = 4096
MOST_BEHIND: Final = 512 * 1024 * 1024
"""No crash leaves more behind than the pages between two notes."""
NEW_MODE: Final = 0o666
"""Of a new file, less the user's umask."""

MENDED: Final = "When that is mended: batchq resume {}"
MOVED: Final = "Move it away, and it is written anew: batchq resume {}"

NextPage = Callable[[ReportReader, int, bool], tuple[int, str]]
"""Of the outcomes behind a number, the text of a page, begun by a header or not, and the number of the last."""

log = logging.getLogger(__name__)


class NoFile:
    """A batch that writes none."""

    fault: BatchqError | None = None
    """Why nothing more can be written."""

    @property
    def ending(self) -> Ending | None:
        """How the batch has to end for that."""
        fault = self.fault
        if fault is None:
            return None
        return Ending(HALTED, str(fault), exit_code=fault.exit_code, patient=True, hint=fault.hint)

    def begin(
        self, folder: BatchFolder, durability: str, note: Callable[[str], None], wake: Callable[[], None]
    ) -> None:
        """Open the file and go on where it was.

        Args:
            folder: the batch.
            durability: ``full`` has the file on the disk before that is noted.
            note: told where the file has to be written anew.
            wake: called whenever it holds all that was committed when it looked.

        Raises:
            OutputFailed: it cannot be opened.
        """

    def look(self) -> None:
        """Something may have been committed."""

    def is_level(self, number: int) -> bool:
        """Whether all up to the outcome of that number is in the file; where not, it will soon be."""
        return True

    def finish(self) -> None:
        """Write what is committed, and close the file; a second call does nothing."""


class OutFile(NoFile):
    """The file of one batch.

    Args:
        path: the file.
        next_page: makes the text of outcomes.
        line_start: what each line begins with; empty where that cannot be told.
    """

    def __init__(self, path: Path, next_page: NextPage, line_start: bytes = b"") -> None:
        self._path = path
        self._next_page = next_page
        self._line_start = line_start
        self._look = threading.Event()
        self._leaving = False
        self._thread: threading.Thread | None = None
        self._number = self._size = 0

    def begin(
        self, folder: BatchFolder, durability: str, note: Callable[[str], None], wake: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._synced = durability == "full"
        self._wake = wake
        self._store = WrittenStore(folder.database, durability)
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, NEW_MODE)
        except OSError as error:
            self._store.close()
            raise self._failed(error) from error
        try:
            self._lock()
            self._go_back(note)
        except BaseException as error:
            self._close()
            raise (self._failed(error) if isinstance(error, OSError) else error) from error
        self._thread = threading.Thread(target=self._run, name="batchq-out", daemon=True)
        self._thread.start()

    def is_whole(self, folder: BatchFolder) -> bool:
        """Whether the file is there, and has been given every outcome of the batch in `folder`."""
        with closing(WrittenStore(folder.database)) as store:
            position = store.position()
            return position is not None and position.number >= store.last_commit() and self._path.exists()

    def look(self) -> None:
        self._look.set()

    def is_level(self, number: int) -> bool:
        if self._number >= number and (self._size or not number):
            if self._is_in_place():
                return True
            self._end(self._failed("it was deleted or replaced while the batch ran"))
        self.look()
        return False

    def finish(self) -> None:
        if self._thread is not None:
            self._leaving = True
            self._look.set()
            self._thread.join()
            self._thread = None

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._failed("another batch is writing it") from None
        except OSError as error:  # its file system knows no locks
            log.warning("%s cannot be locked: %s", self._path, error.strerror)

    def _go_back(self, note: Callable[[str], None]) -> None:
        """Cut off what is not noted; begin anew where nothing is left.

        Raises:
            OutputFailed: the file is no longer the one that the batch has written.
        """
        there = os.fstat(self._file).st_size
        position = self._store.position()
        if position is not None:
            self._number, self._size = position.number, position.size
            if self._size and not there:
                note(f"{self._path} is gone or empty; it is written anew, from the first result on")
                self._number = self._size = 0
            elif there < self._size or self._tail(self._size) != position.tail or not self._is_left_behind(there):
                raise self._failed("it is no longer what this batch has written", MOVED)
        os.ftruncate(self._file, self._size)
        if position is None or position.size != self._size:
            self._store.note(self._number, self._size, self._tail(self._size))

    def _tail(self, size: int) -> str:
        start = max(0, size - TAIL_BYTES)
        return hashlib.blake2b(os.pread(self._file, size - start, start), digest_size=16).hexdigest()

    def _is_left_behind(self, there: int) -> bool:
        """Whether what follows the noted end may be lines that a crash has kept from being noted."""
        if there - self._size > MOST_BEHIND:
            return False
        start = self._line_start
        if not start:
            return True
        lines = os.pread(self._file, there - self._size, self._size).split(b"\n")
        return all(line.startswith(start) or start.startswith(line) for line in lines)

    def _is_in_place(self) -> bool:
        """Whether the path still names the file that is open."""
        with suppress(OSError):
            return os.path.samestat(os.stat(self._path), os.fstat(self._file))
        return False

    def _run(self) -> None:
        try:
            leaving = False
            while not leaving:
                self._look.wait()
                self._look.clear()
                leaving = self._leaving  # before the look, so that what was committed last is not missed
                self._catch_up()
                self._wake()
        except OSError as error:
            self._end(self._failed(error))
        except DatabaseError as error:
            self._end(storage_error(self._folder.database, error))
        except Exception as error:  # a fault of ours must end the batch, not this thread alone
            log.exception("writing %s failed", self._path)
            self._end(BatchqError(f"writing {self._path} failed: {type(error).__name__}: {error}"))
        finally:
            self._close()
            self._wake()

    def _catch_up(self) -> None:
        """Write all that is committed."""
        number, size = self._number, self._size
        pages = 0
        try:
            while True:
                number, text = self._next_page(self._store, number, size == 0)
                if not text:
                    break
                size = self._write(text.encode("utf-8", "backslashreplace"), size)
                pages += 1
                if pages % PAGES == 0:
                    self._keep(number, size)
            if pages % PAGES:
                self._keep(number, size)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)  # whole lines only
            raise

    def _write(self, data: bytes, at: int) -> int:
        left = memoryview(data)
        while left:
            written = os.pwrite(self._file, left, at)
            left = left[written:]
            at += written
        return at

    def _keep(self, number: int, size: int) -> None:
        reach("written")
        if self._synced:
            os.fsync(self._file)
        self._store.note(number, size, self._tail(size))
        self._number, self._size = number, size
        reach("noted")

    def _end(self, fault: BatchqError) -> None:
        log.error("%s", fault)
        self.fault = fault

    def _failed(self, reason: OSError | str, hint: str = MENDED) -> OutputFailed:
        if isinstance(reason, OSError):
            reason = reason.strerror or str(reason)
        return OutputFailed(str(self._path), reason, hint.format(self._folder.batch_id))

    def _close(self) -> None:
        os.close(self._file)
        self._store.close()


def is_written(path: Path) -> bool:
    """Whether a batch writes to the file just now."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # its file system knows no locks
            return False
    return False
