"""Which files an input is: formats by their names, globs, several files as one input."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from batchq.errors import InputError
from batchq.spec import STDIN, SourceSpec

FORMATS: Final = ("jsonl", "json", "csv", "tsv", "txt", "parquet", "arrow")
BINARY: Final = frozenset({"parquet", "arrow"})
"""Formats that are no text: they compress by themselves, and have to be read out of order."""
_EXTENSIONS: Final = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "txt",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
MOST_NAMES: Final = 5000
"""Files of a folder that a name is compared with, to find one that may be meant: that takes long."""
_COMPRESSIONS: Final = {".gz": "gz", ".bz2": "bz2", ".zst": "zst"}


def detect_format(name: str, given: str | None) -> str:
    """The format of an input: the one given, else the one that its name tells; with its compression, if any.

    Raises:
        InputError: there is no such format, or the name tells none.

    Example:
        >>> detect_format("ideas.ndjson", None), detect_format("ideas.csv.gz", None)
        ('jsonl', 'csv.gz')
    """
    path = Path(name)
    compression = None if name == STDIN else _COMPRESSIONS.get(path.suffix.lower())
    found = given
    if given is None:
        found = _EXTENSIONS.get((path.with_suffix("") if compression else path).suffix.lower())
    elif given not in FORMATS:
        raise InputError(name, f"there is no input format {given!r}", hint=f"Formats: {', '.join(FORMATS)}.")
    if found is None:
        reason = "standard input has no name that tells its format" if name == STDIN else "its name tells no format"
        raise InputError(name, reason, hint=f"Say --input-format {'|'.join(FORMATS)}.")
    if found in BINARY and compression:
        raise InputError(name, f"a compressed {found} file cannot be read", hint="Unpack it first.")
    if found in BINARY and name == STDIN:
        raise InputError(name, f"{found} cannot be read from standard input", hint="Write it to a file, and name that.")
    return f"{found}.{compression}" if compression else found


def describe(name: str, given_format: str | None = None, limit: int | None = None) -> SourceSpec:
    """Which input one file, or standard input, is, as a batch stores it.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    if name == STDIN:
        return SourceSpec(STDIN, STDIN, detect_format(name, given_format), limit=limit)
    path = Path(name).absolute()
    if os.path.isdir(path):
        raise InputError(name, "is a folder, not a file", hint="Name a file in it.")
    if not os.path.exists(path):  # unlike Path.exists, for names that no file can have too
        raise InputError(name, "no such file", hint=near_file(name) or "Check the path.")
    if not os.access(path, os.R_OK):
        raise InputError(name, "may not be read", hint="Check its permissions.")
    found = path.stat()
    return SourceSpec(str(path), name, detect_format(name, given_format), found.st_size, found.st_mtime_ns, limit)


def near_file(name: str) -> str:
    """Asks whether a file is meant that is called nearly like one that is not there; empty where there is none."""
    path = Path(name)
    near = difflib.get_close_matches(path.name, _names_in(path.parent)[:MOST_NAMES], 1) if path.name else []
    return f"Did you mean {path.with_name(near[0])}?" if near else ""


def gather(names: Sequence[str], given_format: str | None = None) -> SourceSpec:
    """Which input several names are: files, globs that no shell has expanded, or ``-`` alone.

    Args:
        names: at least one; they are read in this order, the files of a glob by name.
        given_format: of all of them; None tells it by each file's name.

    Raises:
        InputError: one is missing, is named twice, or cannot be read; a glob matches nothing.
    """
    if STDIN in names and len(names) > 1:
        raise InputError(STDIN, "standard input cannot be read beside files", hint="Read one or the other.")
    files = [describe(file, given_format) for name in names for file in _expanded(name)]
    seen: dict[tuple[int, int], str] = {}
    for file in files:
        if file.is_stdin:
            continue
        found = os.stat(file.path)
        same = seen.setdefault((found.st_dev, found.st_ino), file.name)
        if same is not file.name:
            reason = f"is the same file as {same}, and its items would run twice"
            raise InputError(file.name, reason, hint="Name it once.")
    first = files[0]
    if len(files) == 1:
        return first
    formats = {file.format for file in files}
    shown = names[0] if len(names) == 1 else f"{first.name} and {len(files) - 1} more"
    return SourceSpec(first.path, shown, formats.pop() if len(formats) == 1 else "several", files=tuple(files))


def _expanded(name: str) -> Iterator[str]:
    if name == STDIN or not glob.has_magic(name) or os.path.exists(name):
        yield name
        return
    found = sorted(file for file in glob.glob(name, recursive=True) if not os.path.isdir(file))
    if not found:
        raise InputError(name, "matches no file", hint="Check the pattern; ** matches folders, too.")
    yield from found


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (OSError, ValueError):
        return []
