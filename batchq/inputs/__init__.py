"""Readers: one record of an input at a time, with the position behind it and a running hash of what was read.

    file or stdin ─▶ unpacked ─▶ recoded ─▶ lines ─▶ records of JSON lines, CSV, TSV, text ─▶ Record
                                        └─▶ text  ─▶ elements of a JSON array ─────────────▶ Record
    file ─▶ row groups of Parquet and Arrow ───────────────────────────────────────────────▶ Record
    several files, or a choice among their records ─▶ Chosen ──────────────────────────────▶ Record

A record that cannot be read is yielded too, with its error, and the next one follows: nothing vanishes.  Only
what makes the whole input unusable is raised.
"""

from __future__ import annotations

from itertools import islice
from typing import BinaryIO, Final

from batchq.errors import InputChanged, InputError
from batchq.inputs.array import JsonArray
from batchq.inputs.chosen import Chosen
from batchq.inputs.files import BINARY, FORMATS, describe, detect_format, gather
from batchq.inputs.lines import JsonLines, TextLines
from batchq.inputs.reader import Reader, Records, StreamReader
from batchq.inputs.streams import open_stream
from batchq.inputs.table import Table
from batchq.model import Position
from batchq.spec import STDIN, SourceSpec

__all__ = ["FORMATS", "STDIN", "Chosen", "Reader", "Records", "describe", "detect_format", "gather", "open_reader"]

_START: Final = Position()


def open_reader(
    source: SourceSpec,
    position: Position = _START,
    digest: str = "",
    stdin: BinaryIO | None = None,
    *,
    verify: bool = True,
    strict_first: bool = False,
) -> Reader | Chosen:
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
        InputChanged: see `verify`; where files are several, or records are chosen, while it is walked.
        UsageError: there is no such encoding; `--where` cannot be understood, or names no column.
    """
    reader: Reader | Chosen
    if not source.is_plain:
        reader = Chosen(source, position, digest if verify else "", lambda part: _open(part, _START, "", stdin))
    else:
        try:
            reader = _open(source, position, digest, stdin)
        except InputChanged:
            if verify:
                raise
            # Bytes no longer stand where they did: what was read are so many records.
            reader = _open(source, _START, "", stdin)
            for _ in islice(reader, position.records):
                pass
    try:
        if strict_first:
            reader.check_first()
    except BaseException:
        reader.close()
        raise
    return reader


def _open(source: SourceSpec, position: Position, digest: str, stdin: BinaryIO | None) -> Reader:
    try:
        reader = _reader_of(source, position, stdin)
        try:
            reader.begin(digest)
        except BaseException:
            reader.close()
            raise
    except OSError as error:
        raise InputError(source.name, error.strerror or str(error), hint="Put it back, and resume.") from error
    return reader


def _reader_of(source: SourceSpec, position: Position, stdin: BinaryIO | None) -> Reader:
    kind = source.format.partition(".")[0]
    if kind in BINARY:
        from batchq.inputs.columnar import Columnar

        return Columnar(source, position)
    kinds: dict[str, type[StreamReader]] = {"jsonl": JsonLines, "txt": TextLines, "json": JsonArray}
    return kinds.get(kind, Table)(source, open_stream(source, stdin), position)
