"""``start --out``: which files it takes, and what is written to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from batchq.app.results import EXTENSIONS, JSONL, PARQUET, Wanted, next_page
from batchq.engine.outfile import OutFile, is_written
from batchq.errors import OutputError, UsageError
from batchq.spec import BatchSpec
from batchq.store.home import BatchFolder
from batchq.store.reading import ReportReader


def check_new(name: str | None, overwrite: bool, sources: Sequence[str], say_so: str = "Say --overwrite") -> str | None:
    """The absolute path of a file that a new batch is to write; None where none is named.

    Args:
        name: as the user named it.
        overwrite: a file that exists may be replaced.
        sources: paths of the batch's input.
        say_so: how the user allows to replace it, for messages.

    Raises:
        OutputError: it cannot be written, exists already, or is the input.
        UsageError: there is nothing to overwrite.
    """
    if name is None:
        if overwrite:
            raise UsageError("--overwrite is of use with --out only")
        return None
    path = Path(name).absolute()
    if EXTENSIONS.get(path.suffix.lower(), PARQUET) == PARQUET:
        raise OutputError(
            name,
            "a file that grows must be .jsonl, .csv or .tsv",
            "`batchq results ID -o FILE` writes the others when the batch has ended.",
        )
    _check_place(name, path)
    if path.exists():
        if any(os.path.exists(source) and os.path.samefile(source, path) for source in sources):
            raise OutputError(name, "it is the input")
        if not overwrite:
            raise OutputError(name, "it exists already", f"{say_so} to replace it, or name another file.")
        if is_written(path):
            raise OutputError(name, "another batch is writing it", "Name another file.")
    return str(path)


def outfile_of(spec: BatchSpec) -> OutFile | None:
    """The file that a batch writes its results to; None where there is none.

    Raises:
        OutputError: it can no longer be written.
    """
    if spec.out is None:
        return None
    path = Path(spec.out)
    _check_place(spec.out, path)
    wanted = Wanted(EXTENSIONS[path.suffix.lower()])

    def page(reader: ReportReader, number: int, with_header: bool) -> tuple[int, str]:
        return next_page(reader, wanted, number, with_header)

    return OutFile(path, page, b'{"seq": ' if wanted.form == JSONL else b"")


def write_rest(folder: BatchFolder, spec: BatchSpec, note: Callable[[str], None]) -> None:
    """Bring the file of a batch that has ended up to date: it may have ended while no process supervised it.

    A file that holds everything already is the user's, and left alone.

    Args:
        folder: the batch.
        spec: what it is; its seal has been checked.
        note: as in `OutFile.begin`.

    Raises:
        OutputError: the file can no longer be written.
        OutputFailed: it could not be written to its end.
        BatchBusy: another process supervises the batch.
    """
    outfile = outfile_of(spec)
    if outfile is None:
        return
    if outfile.is_whole(folder):
        return
    lock = folder.supervise()
    try:
        outfile.begin(folder, spec.durability, note, lambda: None)
        outfile.finish()
    finally:
        lock.release()
    if outfile.fault is not None:
        raise outfile.fault


def _check_place(name: str, path: Path) -> None:
    if not path.parent.is_dir():
        raise OutputError(name, f"there is no folder {path.parent}", "Make it first.")
    if path.exists() and not path.is_file():
        raise OutputError(name, "is no regular file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise OutputError(name, "permission denied")
