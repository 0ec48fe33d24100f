"""What all readers share: the limit, the check of the first record, records that cannot be read."""

from __future__ import annotations

import codecs
import hashlib
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from batchq.errors import InputChanged, InputError
from batchq.model import Position, Record
from batchq.spec import STDIN, SourceSpec

BLOCK: Final = 256 * 1024
EXCERPT: Final = 1000
"""Characters that are kept of a record that cannot be read."""
_FOREIGN: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_FOREIGN_ZEROS: Final[dict[tuple[bool, ...], str]] = {
    (False, True, True, True): "UTF-32LE",
    (True, True, True, False): "UTF-32BE",
    (False, True, False, True): "UTF-16LE",
    (True, False, True, False): "UTF-16BE",
}
"""Where the first four bytes are zero when there is no mark and the text begins with ASCII."""


class Reader:
    """The records of one input, in order.

    Args:
        source: the input.
        stream: its bytes, from the beginning.
        position: the records before it are passed over.
    """

    def __init__(self, source: SourceSpec, stream: BinaryIO, position: Position) -> None:
        self._source = source
        self._name = source.name
        self._stream = stream
        self._position = position
        self._hash = hashlib.blake2b(digest_size=16)
        self._left = None if source.limit is None else max(0, source.limit - position.records)
        self._peeked: list[Record] = []
        self._records: Iterator[Record] = iter(())
        self.problem: InputError | None = None
        """What was wrong with the last record that could not be read."""

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        if self._left is not None:
            if self._left <= 0:
                raise StopIteration
            self._left -= 1
        if self._peeked:
            return self._peeked.pop()
        return next(self._records)

    def begin(self, digest: str) -> None:
        """Go to the position, and compare what lies before it with `digest` unless that is empty."""
        raise AssertionError("each kind of input has its own")

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if not self._source.is_stdin:
            self._stream.close()

    def digest(self) -> str:
        """Hash over all that was consumed up to the last record that was yielded."""
        return self._digest_before_peek if self._peeked else self._digest()

    def _digest(self) -> str:
        return self._hash.hexdigest()

    def check_first(self) -> None:
        """Raise `InputError` when the first record cannot be read; it is yielded later all the same."""
        self._digest_before_peek = self._digest()
        first = next(self._records, None)
        if first is None:
            return
        if first.error is not None and self.problem is not None:
            problem = self.problem
            hint = f"It was read as {self._source.format}; another format is named with --input-format."
            raise InputError(problem.path, problem.reason, problem.line, problem.column, problem.hint or hint)
        self._peeked.append(first)

    def _bad(self, text: str, line: int, position: int, next_line: int, column: int | None, reason: str) -> Record:
        self.problem = InputError(self._name, reason, line, column)
        excerpt = json.dumps(text[:EXCERPT].encode("utf-8", "backslashreplace").decode(), ensure_ascii=False)
        return Record(excerpt, None, line, position, next_line, str(self.problem))

    def _compare(self, digest: str) -> None:
        if digest and self._hash.hexdigest() != digest:
            raise InputChanged(
                self._name,
                "the part that was read already has changed since the batch began",
                hint="Put the old file back, start a new batch, or read on with --ignore-changed-input.",
            )


def read_some(stream: BinaryIO, least: int, most: int = 0) -> bytes:
    """At least `least` bytes unless the stream ends before; up to `most` where they are there already."""
    read = stream.read1 if hasattr(stream, "read1") else stream.read  # does not wait for all that it may read
    blocks: list[bytes] = []
    size = 0
    while size < least and (block := read(max(least, most) - size)):
        blocks.append(block)
        size += len(block)
    return b"".join(blocks)


def refuse_foreign(name: str, head: bytes) -> None:
    """Raise when the first four bytes are not those of UTF-8."""
    marked = next((encoding for mark, encoding in _FOREIGN if head.startswith(mark)), None)
    encoding = marked or _FOREIGN_ZEROS.get(tuple(byte == 0 for byte in head))
    if encoding is not None:
        command = f"iconv -f {encoding} -t UTF-8"
        if name != STDIN:
            command += f" {shlex.quote(name)} > {shlex.quote(f'utf8-{Path(name).name}')}"
        raise InputError(name, f"is {encoding}, not UTF-8", hint=f"Convert it: {command}")


def not_utf8(raw: bytes, what: str) -> str | None:
    """Why bytes are not UTF-8, or None when they are."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start} of the {what}"
    return None
