"""A JSON array, read as a stream."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, Final

from batchq.errors import InputError
from batchq.inputs.reader import BLOCK, EXCERPT, Reader, read_some, refuse_foreign
from batchq.inputs.values import DECODER, JSON_SPACE, item_id_of, told
from batchq.model import Record

CUT_TOKEN: Final = 12
"""A parse error so near to the end of the text read so far may be one of a token that is cut in two."""


class JsonArray(Reader):
    """The elements of one JSON array, as they come; positions are elements."""

    def begin(self, digest: str) -> None:
        head = read_some(self._stream, len(codecs.BOM_UTF32_LE))
        refuse_foreign(self._name, head)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._ended = False
        self._text = self._decoder.decode(head)
        self._at = 0
        self._dropped_lines = 0
        self._elements = 0
        self._records = self._read_records()
        if self._position.offset:
            for _ in range(self._position.offset):
                next(self._records, None)
            self._compare(digest)

    def _read_records(self) -> Iterator[Record]:
        try:
            if not self._peek():
                return
            if self._peek() != "[":
                raise InputError(
                    self._name,
                    "its top level is not an array",
                    hint="For a value a line: --input-format jsonl.",
                )
            self._at += 1
            if self._peek() == "]":
                self._at += 1
            else:
                yield from self._read_elements()
            if self._peek():
                yield self._rest_lost("something follows the array")
        except UnicodeDecodeError as error:
            yield self._rest_lost(f"not UTF-8: byte 0x{error.object[error.start]:02x}")

    def _read_elements(self) -> Iterator[Record]:
        while True:
            self._peek()
            line = self._dropped_lines + self._text.count("\n", 0, self._at) + 1
            try:
                value, end = self._decode()
            except (ValueError, RecursionError) as error:
                yield self._rest_lost(told(error)[1], error.pos if isinstance(error, json.JSONDecodeError) else None)
                self._at = len(self._text)
                self._ended = True
                return
            payload = self._text[self._at : end]
            self._at = end
            self._elements += 1
            self._hash.update(payload.encode())
            yield Record(payload, item_id_of(value), line, self._elements, self._line())
            follows = self._peek()
            self._at += 1
            if follows == "]":
                return
            if follows != ",":
                yield self._rest_lost("',' or ']' expected" if follows else "the array is cut off")
                self._at = len(self._text)
                self._ended = True
                return

    def _decode(self) -> tuple[Any, int]:
        """The value at the position, with more text as long as it may be cut off."""
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:
                    return value, end
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - CUT_TOKEN
                if self._ended or not cut:
                    raise
            self._more()

    def _peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            text = self._text
            while self._at < len(text) and text[self._at] in JSON_SPACE:
                self._at += 1
            if self._at < len(text) or self._ended:
                return text[self._at : self._at + 1]
            self._more()

    def _more(self) -> None:
        # As much again as is there, so that a huge element is parsed a few times and not once a block.
        kept = self._text[self._at :]
        self._dropped_lines += self._text.count("\n", 0, self._at)
        block = self._stream.read(max(BLOCK, len(kept)))
        self._ended = not block
        self._text = kept + self._decoder.decode(block, final=not block)
        self._at = 0

    def _line(self) -> int:
        return self._dropped_lines + self._text.count("\n", 0, self._at) + 1

    def _rest_lost(self, reason: str, at: int | None = None) -> Record:
        at = self._at if at is None else at
        line = self._dropped_lines + self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        self._elements += 1
        excerpt = self._text[self._at : self._at + EXCERPT]
        reason = f"{reason}; the rest of the array cannot be read"
        return self._bad(excerpt, line, self._elements, line, column, reason)
