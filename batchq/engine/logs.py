"""Where workers write: everything that they and their handlers say goes to the batch's log, never to stdout.

A log that cannot be written, because the disk is full, costs its lines and nothing else: a `print` in a handler must
not fail the item, nor a traceback of `logging` reach the terminal.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batchq.model import Item

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

FORMAT: Final = "%(asctime)s %(levelname)s %(who)s %(item_id)s %(name)s: %(message)s"


class _Names(logging.Filter):
    """Adds to each record who speaks, and for which item."""

    def __init__(self, who: str) -> None:
        super().__init__()
        self.who = who
        self.item_here: Callable[[], Item | None] = lambda: None

    def filter(self, record: logging.LogRecord) -> bool:
        record.who = self.who
        if not hasattr(record, "item_id"):
            item = self.item_here()
            record.item_id = item.item_id if item else "-"
        return True


class _Lines(logging.Formatter):
    """Makes lines of records, without what may not be shown."""

    clean: Callable[[str], str] | None = None

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return self.clean(line) if self.clean else line


class _Text(io.TextIOWrapper):
    """What is printed, likewise; whole texts, since what is in their middle is not known by its half."""

    clean: Callable[[str], str] | None = None

    def write(self, text: str, /) -> int:
        super().write(self.clean(text) if self.clean else text)
        return len(text)


class _LogFile(logging.FileHandler):
    """A log that drops the lines that it cannot write."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _Output(io.FileIO):
    """A stream that takes whatever is written to it, also where the disk does not."""

    def write(self, data: ReadableBuffer, /) -> int:
        with contextlib.suppress(OSError):
            super().write(data)
        return memoryview(data).nbytes


def log_handler(path: Path, who: str) -> logging.Handler:
    """A handler that appends whole lines to the batch's log, whoever else writes there."""
    with contextlib.suppress(OSError):
        path.touch(mode=0o600)
    handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    lines_of(handler, who)
    return handler


def lines_of(handler: logging.Handler, who: str) -> None:
    """Let `handler` make the lines of the batch's log, in which `who` speaks."""
    handler.setFormatter(_Lines(FORMAT))
    handler.addFilter(_Names(who))


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """Append lines that were made elsewhere to the batch's log."""
    with contextlib.suppress(OSError), open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write("".join(f"{line}\n" for line in lines))


def log_line(path: Path, who: str, message: str) -> None:
    """Append one line to the batch's log, outside of a supervisor or a worker."""
    handler = log_handler(path, who)
    record = logging.LogRecord("batchq", logging.INFO, "", 0, message, None, None)
    handler.handle(record)
    handler.close()


def log_to(path: Path, who: str) -> None:
    """Send everything that this process says to the batch's log: log records, prints, and what C code writes."""
    prints_to(path)
    root = logging.getLogger()
    root.addHandler(log_handler(path, who))
    logging.getLogger("batchq").setLevel(logging.INFO)
    logging.captureWarnings(True)


def prints_to(path: Path) -> None:
    """Send what this process prints, and what C code writes, to the batch's log."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stdout, sys.stderr = (
        _Text(io.BufferedWriter(_Output(number, "w", closefd=False)), "utf-8", "backslashreplace", line_buffering=True)
        for number in (1, 2)
    )


def name_items(item_here: Callable[[], Item | None]) -> None:
    """Let the log name the item on whose behalf each line is written."""
    for handler in logging.getLogger().handlers:
        name_items_in(handler, item_here)


def name_items_in(handler: logging.Handler, item_here: Callable[[], Item | None]) -> None:
    """Let the lines of `handler` name the item on whose behalf each is written."""
    for names in handler.filters:
        if isinstance(names, _Names):
            names.item_here = item_here


def clean_lines(clean: Callable[[str], str]) -> None:
    """Let all that this process logs or prints go through `clean`; what C code and other processes write does not."""
    for handler in logging.getLogger().handlers:
        clean_lines_of(handler, clean)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, _Text):
            stream.clean = clean


def clean_lines_of(handler: logging.Handler, clean: Callable[[str], str]) -> None:
    """Let the lines of `handler` go through `clean`."""
    if isinstance(handler.formatter, _Lines):
        handler.formatter.clean = clean
