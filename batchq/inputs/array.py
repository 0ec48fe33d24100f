"""A JSON array, read as a stream."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from batchq.errors import InputError
from batchq.inputs.encoding import refuse_foreign
from batchq.inputs.reader import BLOCK, EXCERPT, StreamReader, read_some
from batchq.inputs.values import DECODER, JSON_SPACE, LENIENT, item_id_of, told
from batchq.model import Record

CUT_TOKEN: Final = 12
"""A parse error so near to the end of the text read so far may be one of a token that is cut in two."""
_BEHIND_ELEMENT: Final = (*JSON_SPACE, ",", "]")
_STRUCTURE: Final = re.compile(r'["\[\]{},]')
_IN_TEXT: Final = re.compile(r'\\.|"', re.DOTALL)


class JsonArray(StreamReader):
    """The elements of one JSON array, as they come; positions are elements."""

    def begin(self, digest: str) -> None:
        head = read_some(self._stream, len(codecs.BOM_UTF32_LE))
        refuse_foreign(self._name, head)
        # Bytes that are not UTF-8 become lone surrogates: only the element that holds one is lost.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._ended = False
        self._text = self._decoder.decode(head)
        self._at = 0
        self._elements = 0
        self._counted = 0
        self._newlines = 0
        self._line_start = 0
        if self._peek() not in ("", "["):
            hint = "For a value a line: --input-format jsonl."
            place = self._place(self._at)
            raise InputError(self._name, "its top level is not an array", *place, hint=hint)
        self._records = self._read_records()
        self._pass_over(digest)

    def _read_records(self) -> Iterator[Record]:
        if not self._peek():
            return
        self._at += 1
        if self._peek() == "]":
            self._at += 1
        else:
            yield from self._read_elements()
        if self._peek():
            yield self._rest_lost("something follows the array")

    def _read_elements(self) -> Iterator[Record]:
        while True:
            self._peek()
            line, column = self._place(self._at)
            try:
                yield self._element(line, column)
            except ValueError as error:
                yield self._rest_lost(told(error)[1], error.pos if isinstance(error, json.JSONDecodeError) else None)
                return
            follows = self._peek()
            if follows not in ("]", ","):
                yield self._rest_lost("',' or ']' expected" if follows else "the array is cut off")
                return
            self._at += 1
            if follows == "]":
                return

    def _element(self, line: int, column: int) -> Record:
        try:
            value, end, refused = self._decode()
        except RecursionError as error:
            head, next_line = self._pass_element()
            return self._bad(head, line, self._elements, next_line, column, told(error)[1])
        except _TooLarge:
            head, next_line = self._pass_element()
            return self._too_large("element", head, line, self._elements, next_line)
        payload = self._text[self._at : end]
        self._at = end
        self._elements += 1
        raw = payload.encode("utf-8", "surrogateescape")
        self._hash.update(raw + b",")
        next_line = self._place(end)[0]
        if refused is None and not payload.isascii():
            refused = self._not_text(raw, "element")
        if refused is None:
            return Record(payload, item_id_of(value), line, self._elements, next_line)
        return self._bad(payload, line, self._elements, next_line, column, refused)

    def _pass_element(self) -> tuple[str, int]:
        """Go behind an element that cannot be parsed as a whole; how it begins, and the line behind it."""
        head = self._text[self._at : self._at + EXCERPT]
        self._elements += 1
        depth, within_text, ended = 0, False, False
        while not ended:
            at = self._at
            while found := (_IN_TEXT if within_text else _STRUCTURE).search(self._text, at):
                sign = found[0]
                if sign == '"':
                    within_text = not within_text
                elif sign in "[{":
                    depth += 1
                elif not within_text:
                    ended = depth == 0
                    if ended:
                        break
                    depth -= sign != ","
                at = found.end()
            if found is None:  # an escape that is cut in two is looked at again
                at = max(at, len(self._text) - (within_text and self._text.endswith("\\")))
            else:
                at = found.start()
            self._hash.update(self._text[self._at : at].encode("utf-8", "surrogateescape"))
            self._at = at
            if not ended:
                ended = self._ended
                self._more()
        return head, self._place(self._at)[0]

    def _decode(self) -> tuple[Any, int, str | None]:
        """The value at the position, its end, and why it is refused; with more text as long as it may be cut off."""
        decoder, refused = DECODER, None
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._at)
                if self._ended or self._is_whole(end):
                    if end - self._at > self._most:
                        raise _TooLarge
                    return value, end, refused
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - CUT_TOKEN
                if self._ended or not cut:
                    raise
            except ValueError as error:  # NaN, or an integer that is too long: where it ends can be told
                if decoder is LENIENT:
                    raise
                decoder, refused = LENIENT, told(error)[1]
                continue
            if len(self._text) - self._at > self._most:
                raise _TooLarge
            self._more()

    def _is_whole(self, end: int) -> bool:
        """False when the value that ends there may be a number whose rest is still to come (``1.`` and then ``5``)."""
        text = self._text
        return text[end - 1] in '}]"' or end + 2 < len(text) or text[end : end + 1] in _BEHIND_ELEMENT

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
        # At least as much again as is there, so that a huge element is parsed a few times and not once a block.
        line, column = self._place(self._at)
        self._newlines, self._line_start, self._counted = line - 1, 1 - column, 0
        kept = self._text[self._at :]
        block = read_some(self._stream, max(1, len(kept)), BLOCK)
        self._ended = not block
        self._text = kept + self._decoder.decode(block, final=not block)
        self._at = 0

    def _place(self, at: int) -> tuple[int, int]:
        """Line and column of a place in the text; places are asked for in order."""
        self._newlines += self._text.count("\n", self._counted, at)
        self._line_start = self._text.rfind("\n", self._counted, at) + 1 or self._line_start
        self._counted = at
        return self._newlines + 1, at - self._line_start + 1

    def _rest_lost(self, reason: str, at: int | None = None) -> Record:
        """The record that stands for all that cannot be read; the input is at its end then."""
        line, column = self._place(self._at if at is None else at)
        excerpt = self._text[self._at : self._at + EXCERPT]
        self._elements += 1
        self._at = len(self._text)
        self._ended = True
        self._hash.update(reason.encode("utf-8", "backslashreplace"))
        reason = f"{reason}; the rest of the array cannot be read"
        return self._bad(excerpt, line, self._elements, line, column, reason)


class _TooLarge(Exception):
    """An element is larger than an item may be."""
