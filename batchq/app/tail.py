"""The lines of a log: the last ones, and those that still come.

Read by blocks from the end and in whole lines, so that a log of gigabytes costs no more than one of a page.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

BLOCK: Final = 64 * 1024
POLL_SECONDS: Final = 0.1


class LogPage(NamedTuple):
    """Some lines of a log.

    Attributes:
        lines: with their ends.
        next: behind so many bytes come those that follow; the last of `lines`, if it is not whole yet, among them.
        is_whole: the last line has its end.
    """

    lines: list[str]
    next: int
    is_whole: bool


def read_lines(path: Path, last: int | None = None) -> Iterator[str]:
    """The lines of the file as they stand, with their ends; none where there is no file.

    Args:
        path: the file.
        last: only so many, from its end; None for all.
    """
    try:
        with path.open("rb") as file:
            file.seek(0 if last is None else start_of_last(file, last))
            for line in file:
                yield _text(line)
    except FileNotFoundError:
        return


def page_of_lines(path: Path, most_bytes: int, last: int = 0, after: int | None = None) -> LogPage:
    """Lines of the file, as far as they fit into `most_bytes`; none where there is no file.

    Args:
        path: the file.
        most_bytes: of all of them together.
        last: so many from its end.
        after: those behind so many bytes instead; from the beginning of a file that has less.
    """
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = max(start_of_last(file, last), end - most_bytes) if after is None else after if after <= end else 0
            file.seek(max(0, start - 1))
            is_cut = after is None and start > 0 and file.read(1) != b"\n"
            file.seek(start)
            block = file.read(min(end - start, most_bytes))
    except FileNotFoundError:
        return LogPage([], 0, True)
    rest = len(block) - (block.rfind(b"\n") + 1)
    if rest and start + len(block) < end:  # more lines than fit, or one that does not
        block, rest = (block[:-rest], 0) if rest < len(block) else (block, 0)
    lines = [_text(line) for line in io.BytesIO(block)]
    return LogPage(lines[1:] if is_cut and len(lines) > 1 else lines, start + len(block) - rest, not rest)


def follow_lines(
    path: Path,
    has_ended: Callable[[], bool],
    last: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """The same, and then each line as soon as it is complete, until nobody writes any more and all is read.

    A file that comes later, is emptied or is replaced by another is read from its beginning.

    Args:
        path: the file.
        has_ended: whether nobody writes to it any more.
        last: of what is there already, so many lines; None for all.
        sleep: waits so many seconds between two looks.

    Example:
        for line in follow_lines(folder.log, lambda: not folder.lock.is_held(), last=10):
            print(line, end="")
    """
    file: BinaryIO | None = None
    rest = b""
    try:
        while True:
            ended = has_ended()  # before the look at the file, so that what was said last is not missed
            if file is None or _is_another(file, path):
                if rest:
                    yield _text(rest + b"\n")
                    rest = b""
                if file is not None:
                    file.close()
                    last = None
                file = _open(path)
                if file is not None and last is not None:
                    file.seek(start_of_last(file, last))
                last = None
            while file is not None and (block := file.read(BLOCK)):
                *lines, rest = (rest + block).split(b"\n")
                yield from (_text(line + b"\n") for line in lines)
            if ended:
                break
            sleep(POLL_SECONDS)
        if rest:
            yield _text(rest)
    finally:
        if file is not None:
            file.close()


def start_of_last(file: BinaryIO, lines: int) -> int:
    """Where the last so many lines of `file` begin, in bytes from its start."""
    end = position = file.seek(0, os.SEEK_END)
    if lines == 0:
        return end
    wanted = lines
    while position > 0:
        size = min(BLOCK, position)
        position -= size
        file.seek(position)
        block = file.read(size)
        # The end of the very last line begins none.
        at = size - 1 if position + size == end and block.endswith(b"\n") else size
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            wanted -= 1
            if wanted == 0:
                return position + at + 1
    return 0


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _is_another(file: BinaryIO, path: Path) -> bool:
    """Whether the file at `path` is not the one that was being read, or has less than what was read of it."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return False  # until there is one again, what is left of the old one is read
    own = os.fstat(file.fileno())
    return (now.st_dev, now.st_ino) != (own.st_dev, own.st_ino) or now.st_size < file.tell()


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="replace")
