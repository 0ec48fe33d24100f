"""What all readers share: the limit, the check of the first record, records that cannot be read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Protocol

from batchq.errors import InputChanged, InputError
from batchq.inputs.encoding import not_text
from batchq.inputs.streams import ByteStream
from batchq.model import NONE_SKIPPED, Position, Record
from batchq.spec import SourceSpec

BLOCK: Final = 256 * 1024
EXCERPT: Final = 1000
"""Characters that are kept of a record that cannot be read."""


class Records(Protocol):
    """What fills a batch: records in order, where None says that nothing has come for a while."""

    @property
    def skipped(self) -> Mapping[str, int]:
        """Records that were left out so far, by what left them out."""

    @property
    def unseen(self) -> Collection[tuple[str, str]]:
        """Options that name a field which no record has had so far, and the field."""

    def __iter__(self) -> Iterator[Record | None]:
        """The records that have not been yielded yet."""

    def digest(self) -> str:
        """Hash over all that was consumed up to the last record that was yielded."""

    def whole(self) -> str | None:
        """Of a shard: hash over all that was consumed, whichever shard has it; None of what is not shared out."""

    def close(self) -> None:
        """Nothing more is read."""


class Reader:
    """The records of one input, in order.

    Args:
        source: the input.
        position: the records before it are passed over.
    """

    skipped: Mapping[str, int] = NONE_SKIPPED
    unseen: Collection[tuple[str, str]] = ()

    def __init__(self, source: SourceSpec, position: Position) -> None:
        self._source = source
        self._name = source.name
        self._most = source.max_item_size or 2**62
        self._position = position
        self._hash = hashlib.blake2b(digest_size=16)
        self._left = None if source.limit is None else max(0, source.limit - position.records)
        self._peeked: list[Record] = []
        self._records: Iterator[Record] = iter(())
        self.problem: InputError | None = None
        """What was wrong with the last record that could not be read, and makes one doubt the format."""

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

    @property
    def columns(self) -> Sequence[str] | None:
        """The fields of every record, where the input names them at its beginning."""
        return None

    def close(self) -> None:
        """Nothing more is read."""

    def digest(self) -> str:
        """Hash over all that was consumed up to the last record that was yielded."""
        return self._digest_before_peek if self._peeked else self._digest()

    def whole(self) -> str | None:
        """None: it is no shard."""
        return None

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
            kind = self._source.format.partition(".")[0]
            hint = f"It was read as {kind}; another format is named with --input-format."
            raise InputError(problem.path, problem.reason, problem.line, problem.column, problem.hint or hint)
        self._peeked.append(first)

    def _bad(self, text: str, line: int, position: int, next_line: int, column: int | None, reason: str) -> Record:
        self.problem = InputError(self._name, reason, line, column)
        excerpt = json.dumps(text[:EXCERPT].encode("utf-8", "backslashreplace").decode(), ensure_ascii=False)
        return Record(excerpt, None, line, position, next_line, str(self.problem))

    def _too_large(self, what: str, text: str, line: int, position: int, next_line: int) -> Record:
        """A record of more than `max_item_size` bytes; it says nothing against the format of the input."""
        reason = f"the {what} is larger than {_size(self._most)} (--max-item-size raises that limit)"
        record = self._bad(text, line, position, next_line, None, reason)
        self.problem = None
        return record

    def _pass_over(self, digest: str) -> None:
        """Walk to the position of an input whose positions are records, and compare."""
        for _ in range(self._position.offset):
            next(self._records, None)
        if self._position.offset:
            self._compare(digest)

    def _compare(self, digest: str) -> None:
        if digest and self._hash.hexdigest() != digest:
            raise changed(self._name)


class StreamReader(Reader):
    """A reader of text.

    Args:
        source: the input.
        stream: its bytes, from the beginning.
        position: the records before it are passed over.
    """

    def __init__(self, source: SourceSpec, stream: ByteStream, position: Position) -> None:
        super().__init__(source, position)
        self._stream = stream

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if not self._source.is_stdin:
            self._stream.close()

    def _not_text(self, raw: bytes, what: str) -> str | None:
        """Why bytes are no text in the encoding of the input, or None when they are."""
        return not_text(raw, what, self._source.encoding)


def changed(name: str) -> InputChanged:
    """The error of an input that is not the one that the batch began with."""
    return InputChanged(
        name,
        "the part that was read already has changed since the batch began",
        hint="Put the old file back, start a new batch, or read on with --ignore-changed-input.",
    )


def read_some(stream: ByteStream, least: int, most: int = 0) -> bytes:
    """At least `least` bytes unless the stream ends before; up to `most` where they are there already."""
    read = stream.read1 if hasattr(stream, "read1") else stream.read  # does not wait for all that it may read
    blocks: list[bytes] = []
    size = 0
    while size < least and (block := read(max(least, most) - size)):
        blocks.append(block)
        size += len(block)
    return b"".join(blocks)


def _size(number: int) -> str:
    for unit, factor in (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if number % factor == 0:
            return f"{number // factor}{unit}"
    return f"{number:,} bytes"
