"""Readers: one record of an input at a time, with the position behind it and a running hash of what was read.

    file or stdin ─▶ lines ─▶ records of JSON lines, CSV, TSV, text ─▶ Record
                 └─▶ text  ─▶ elements of a JSON array ─────────────▶ Record

A record that cannot be read is yielded too, with its error, and the next one follows: nothing vanishes.  Only
what makes the whole input unusable is raised.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import BinaryIO, Final

from batchq.errors import InputError
from batchq.inputs.array import JsonArray
from batchq.inputs.lines import JsonLines, TextLines
from batchq.inputs.reader import Reader
from batchq.inputs.table import Table
from batchq.model import Position
from batchq.spec import STDIN, SourceSpec

__all__ = ["FORMATS", "STDIN", "Reader", "describe", "detect_format", "open_reader"]

FORMATS: Final = ("jsonl", "json", "csv", "tsv", "txt")
_EXTENSIONS: Final = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "txt",
}
_START: Final = Position()


def detect_format(name: str, given: str | None) -> str:
    """The format of an input: the one given, else the one that its name tells.

    Raises:
        InputError: there is no such format, or the name tells none.

    Example:
        >>> detect_format("ideas.ndjson", None)
        'jsonl'
    """
    if given is not None:
        if given not in FORMATS:
            raise InputError(name, f"there is no input format {given!r}", hint=f"Formats: {', '.join(FORMATS)}.")
        return given
    found = _EXTENSIONS.get(Path(name).suffix.lower())
    if found is None:
        reason = "standard input has no name that tells its format" if name == STDIN else "its name tells no format"
        raise InputError(name, reason, hint=f"Say --input-format {'|'.join(FORMATS)}.")
    return found


def describe(name: str, given_format: str | None = None, limit: int | None = None) -> SourceSpec:
    """Which input `name` is, as a batch stores it.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    if name == STDIN:
        return SourceSpec(STDIN, STDIN, detect_format(name, given_format), limit=limit)
    path = Path(name).absolute()
    if os.path.isdir(path):
        raise InputError(name, "is a folder, not a file", hint="Name a file in it.")
    if not os.path.exists(path):  # unlike Path.exists, for names that no file can have too
        near = difflib.get_close_matches(path.name, _names_in(path.parent), 1)
        hint = f"Did you mean {Path(name).with_name(near[0])}?" if near else "Check the path."
        raise InputError(name, "no such file", hint=hint)
    if not os.access(path, os.R_OK):
        raise InputError(name, "may not be read", hint="Check its permissions.")
    found = path.stat()
    return SourceSpec(str(path), name, detect_format(name, given_format), found.st_size, found.st_mtime_ns, limit)


def open_reader(
    source: SourceSpec,
    position: Position = _START,
    digest: str = "",
    stdin: BinaryIO | None = None,
    *,
    verify: bool = True,
    strict_first: bool = False,
) -> Reader:
    """Open an input at a position.

    Args:
        source: the input.
        position: where to go on; the records before it are passed over.
        digest: `Reader.digest` at that position; empty when there is nothing to compare with.
        stdin: the binary stream to read when the source is standard input.
        verify: raise when the part before the position is not the one that `digest` was made of.
        strict_first: raise when the first record cannot be read: then the format is likely wrong.

    Raises:
        InputError: it cannot be opened, its encoding or header cannot be used, or see `strict_first`.
        InputChanged: see `verify`.
    """
    kinds: dict[str, type[Reader]] = {"jsonl": JsonLines, "txt": TextLines, "json": JsonArray}
    try:
        reader = kinds.get(source.format, Table)(source, _open(source, stdin), position)
        try:
            reader.begin(digest if verify else "")
            if strict_first:
                reader.check_first()
        except BaseException:
            reader.close()
            raise
    except OSError as error:
        raise InputError(source.name, error.strerror or str(error), hint="Put it back, and resume.") from error
    return reader


def _open(source: SourceSpec, stdin: BinaryIO | None) -> BinaryIO:
    if source.path != STDIN:
        return open(source.path, "rb")  # the reader closes it
    if stdin is None:
        raise InputError(STDIN, "standard input cannot be read a second time")
    return stdin


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (OSError, ValueError):
        return []
