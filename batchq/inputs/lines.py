"""Inputs of lines: JSON lines and text."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Iterator, Sequence

from batchq.inputs.encoding import refuse_foreign
from batchq.inputs.reader import BLOCK, EXCERPT, StreamReader, read_some
from batchq.inputs.values import DECODER, JSON_SPACE, item_id_of, told
from batchq.model import Record


class Overlong(bytes):
    """Stands for a line that is larger than an item may be.

    Its bytes are no text, so that whoever decodes lines needs no further look at each of them.
    """

    head: bytes
    """How the line begins."""
    quotes: int
    """Quotes in the whole of it: a table has to know whether it ends within a cell."""

    @classmethod
    def of(cls, head: bytes, quotes: int) -> Overlong:
        """The stand-in for a line that begins with `head`."""
        line = cls(b"\xff")
        line.head, line.quotes = head[:EXCERPT], quotes
        return line


class LineReader(StreamReader):
    """An input of lines: positions are bytes."""

    def begin(self, digest: str) -> None:
        self._offset = 0
        self._line = 0
        self._buffer = b""
        self._buffer_start = self._hashed = 0
        self._lines = self._read_lines()
        self._head()
        if self._position.offset:
            self._skip_to(self._position.offset)
            self._compare(digest)
            self._line = self._position.line - 1
            self._lines = self._read_lines()
        self._records = self._read_records()

    def _digest(self) -> str:
        self._hash_to(self._offset)
        return self._hash.hexdigest()

    def _head(self) -> None:
        """Look at the first bytes; a kind that has a header reads it here."""
        self._buffer = read_some(self._stream, len(codecs.BOM_UTF32_LE))
        refuse_foreign(self._name, self._buffer)

    def _read_records(self) -> Iterator[Record]:
        raise AssertionError("each kind of input has its own")

    def _read_lines(self) -> Iterator[bytes]:
        """Lines without their newline; `_offset` and `_line` are behind the line when it is yielded."""
        read = self._stream.read1 if hasattr(self._stream, "read1") else self._stream.read
        pieces: list[bytes] = []
        size = 0
        block = self._buffer or read(BLOCK)
        while block:
            pieces.append(block)
            size += len(block)
            if b"\n" in block:
                # A long line is joined once, when its end has come.
                buffer = b"".join(pieces)
                lines = buffer.split(b"\n")
                rest = lines.pop()
                self._buffer, self._buffer_start = buffer, self._offset
                yield from self._each(lines) if len(buffer) <= self._most else self._each_in_bounds(lines)
                self._hash_to(self._offset)
                pieces, size = [rest], len(rest)
            elif size > self._most:
                line, block = self._pass_line(b"".join(pieces))
                yield line
                pieces, size = [], 0
                if block:
                    continue
            block = read(BLOCK)
        last = b"".join(pieces)
        if last:
            self._buffer, self._buffer_start = last, self._offset
            self._offset += len(last)
            self._line += 1
            yield self._unmarked(last) if size <= self._most else Overlong.of(last, last.count(b'"'))

    def _each(self, lines: Sequence[bytes]) -> Iterator[bytes]:
        for line in lines:
            self._offset += len(line) + 1
            self._line += 1
            yield line if self._line > 1 else self._unmarked(line)

    def _each_in_bounds(self, lines: Sequence[bytes]) -> Iterator[bytes]:
        for line in self._each(lines):
            yield line if len(line) <= self._most else Overlong.of(line, line.count(b'"'))

    def _pass_line(self, begun: bytes) -> tuple[bytes, bytes]:
        """Read on to the end of a line that is too long, of which no more is kept; and what follows that."""
        read = self._stream.read1 if hasattr(self._stream, "read1") else self._stream.read
        head, block, quotes, rest = begun[:EXCERPT], begun, 0, b""
        while block:
            end = block.find(b"\n") + 1
            part, rest = (block[:end], block[end:]) if end else (block, b"")
            self._hash.update(part)
            self._offset += len(part)
            quotes += part.count(b'"')
            if end:
                break
            block = read(BLOCK)
        self._hashed = self._buffer_start = self._offset
        self._buffer = b""
        self._line += 1
        return Overlong.of(head, quotes), rest

    def _unmarked(self, line: bytes) -> bytes:
        return line.removeprefix(codecs.BOM_UTF8) if self._line == 1 else line

    def _hash_to(self, offset: int) -> None:
        if offset > self._hashed:
            start = self._buffer_start
            self._hash.update(memoryview(self._buffer)[self._hashed - start : offset - start])
            self._hashed = offset

    def _skip_to(self, offset: int) -> None:
        self._stream.seek(0)
        self._hash = hashlib.blake2b(digest_size=16)
        left = offset
        while left and (block := self._stream.read(min(left, BLOCK))):
            self._hash.update(block)
            left -= len(block)
        self._buffer = b""
        self._offset = self._buffer_start = self._hashed = offset

    def _undecodable(self, line: bytes, error: UnicodeDecodeError) -> Record:
        if isinstance(line, Overlong):
            return self._too_large(
                "line", line.head.decode("utf-8", "replace"), self._line, self._offset, self._line + 1
            )
        reason = self._not_text(line, "line") or str(error)
        text = line.decode("utf-8", "replace")
        return self._bad(text, self._line, self._offset, self._line + 1, error.start + 1, reason)


class JsonLines(LineReader):
    """A JSON value a line; its text is kept as it stands."""

    def _read_records(self) -> Iterator[Record]:
        decode, make = DECODER.raw_decode, Record._make  # a tuple is made in half the time of a call by names
        for line in self._lines:
            try:
                whole = line.decode()
                text = whole.strip(JSON_SPACE)
                if not text:
                    continue
                value, end = decode(text)
                if end != len(text):
                    raise json.JSONDecodeError("a second value in the line", text, end)
            except UnicodeDecodeError as error:
                yield self._undecodable(line, error)
            except (ValueError, RecursionError) as error:
                column, reason = told(error)
                if column is not None:
                    column += len(whole) - len(whole.lstrip(JSON_SPACE))
                yield self._bad(text, self._line, self._offset, self._line + 1, column, reason)
            else:
                line_number = self._line
                yield make((text, item_id_of(value), line_number, self._offset, line_number + 1, None))


class TextLines(LineReader):
    """A line is an item: a string."""

    def _read_records(self) -> Iterator[Record]:
        for line in self._lines:
            try:
                text = line.decode().rstrip("\r")
            except UnicodeDecodeError as error:
                yield self._undecodable(line, error)
                continue
            if text.strip():
                payload = json.dumps(text, ensure_ascii=False)
                yield Record(payload, None, self._line, self._offset, self._line + 1)
