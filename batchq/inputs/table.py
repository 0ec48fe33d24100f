"""CSV and TSV."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from batchq.errors import InputError
from batchq.inputs.lines import LineReader, Overlong
from batchq.inputs.values import item_id_of
from batchq.model import Record

SNIFFED: Final = ",;\t|"
"""What may separate the cells of a CSV file: what stands most often in its header; of equals the first."""
_NAMED: Final = re.compile(rb"sep=(.)\r?")
"""A first line by which spreadsheets are told what separates cells."""
_QUOTED: Final = re.compile(rb'"[^"]*"?')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
LONGEST_NUMBER: Final = 18
"""Digits of a whole number; a longer one is an id, which other programs would round."""
_WORDS: Final = {"": None, "true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}


class Table(LineReader):
    """CSV and TSV: the first record names the fields, whose values are strings unless `csv_types` is set."""

    def _head(self) -> None:
        super()._head()
        csv.field_size_limit(2**31 - 1)
        self._flaw: str | None = None
        self._row_bytes = 0
        self._delimiter = "\t"
        first = self._first_line()
        named = _NAMED.fullmatch(first)
        if named is not None:
            first = self._first_line()
        line = self._line
        plain = _QUOTED.sub(b"", first)
        if b"\r" in plain.rstrip(b"\r"):
            reason = "its lines end with a lone CR, as on Macs of long ago"
            raise InputError(self._name, reason, line, hint="Convert it: tr '\\r' '\\n' < old.csv > new.csv")
        if named is not None:
            self._delimiter = named[1].decode("latin-1")
        elif not self._source.format.startswith("tsv"):
            self._delimiter = max(SNIFFED, key=lambda sign: plain.count(sign.encode()))
        self._lines = chain([first], self._lines)
        try:
            header = next(self._rows())
        except csv.Error as error:
            raise InputError(self._name, f"its header cannot be read: {self._flaw or error}", line) from error
        except _TooLarge:
            raise InputError(self._name, "its header is larger than --max-item-size", line) from None
        if self._flaw:
            raise InputError(self._name, f"its header cannot be read: {self._flaw}", line)
        self._check_header(header, line)
        self._header = header

    def _first_line(self) -> bytes:
        """The next line that is not empty."""
        line = next((line for line in self._lines if line.strip(b"\r")), None)
        if line is None:
            raise InputError(self._name, "is empty: a CSV file begins with a header")
        return line

    @property
    def columns(self) -> Sequence[str]:
        """The names in the header."""
        return self._header

    def _rows(self) -> Iterator[list[str]]:
        return csv.reader(self._text(), delimiter=self._delimiter, strict=True)

    def _text(self) -> Iterator[str]:
        """Lines for the CSV parser.  A flaw is noted and the line replaced, so that its record is read to its end."""
        for line in self._lines:
            within_cell = self._row_bytes > 0  # else the parser would not have asked for a further line
            self._row_bytes += len(line) + 1
            if self._row_bytes > self._most or isinstance(line, Overlong):
                self._pass_row(line, within_cell)
                raise _TooLarge
            try:
                text = line.decode()
            except UnicodeDecodeError:
                self._flaw = self._flaw or self._not_text(line, "line")
                text = line.decode("utf-8", "replace")
            if "\x00" in text:
                self._flaw = self._flaw or "it holds a NUL byte"
                text = text.replace("\x00", "\ufffd")
            yield text + "\n"

    def _pass_row(self, line: bytes, within_cell: bool) -> None:
        """Read on to the end of a row that is too large, which is where its quotes are closed."""
        while True:
            quotes = line.quotes if isinstance(line, Overlong) else line.count(b'"')
            within_cell ^= quotes % 2 == 1
            following = next(self._lines, None) if within_cell else None
            if following is None:
                return
            line = following

    def _check_header(self, header: list[str], line: int) -> None:
        empty = [index for index, name in enumerate(header, 1) if not name.strip()]
        repeated = sorted({name for name in header if header.count(name) > 1})
        if empty:
            raise InputError(self._name, f"column {empty[0]} has no name in the header", line, hint="Name it.")
        if repeated:
            names = ", ".join(map(repr, repeated))
            raise InputError(self._name, f"the header names {names} twice", line, hint="Rename one.")

    def _read_records(self) -> Iterator[Record]:
        width = len(self._header)
        rows = self._rows()
        types = self._source.csv_types
        while True:
            self._flaw = None
            self._row_bytes = 0
            line = self._line + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                flaw = self._flaw or str(error)
                if flaw == "unexpected end of data":
                    lines = self._line - line + 1
                    flaw = f"a quote that begins here is never closed: all the rest, {lines:,} lines, is in its cell"
                elif flaw.startswith("new-line character"):  # Python's advice is for who has opened the file
                    flaw = "a lone CR stands outside of quotes"
                yield self._bad("", line, self._offset, self._line + 1, None, flaw)
                rows = self._rows()
                continue
            except _TooLarge:
                yield self._too_large("row", "", line, self._offset, self._line + 1)
                rows = self._rows()
                continue
            if not row or (len(row) == 1 < width and row[0].isspace()):
                continue
            reason = self._flaw
            if reason is None and len(row) != width:
                reason = f"{len(row)} cells, but the header names {width} columns"
            if reason is not None:
                yield self._bad(",".join(row), line, self._offset, self._line + 1, None, reason)
                continue
            cells: Sequence[object] = [typed(cell) for cell in row] if types else row
            value = dict(zip(self._header, cells, strict=True))
            payload = json.dumps(value, ensure_ascii=False)
            yield Record(payload, item_id_of(value), line, self._offset, self._line + 1)


def typed(cell: str) -> object:
    """The value that a cell looks like, else its text.

    Example:
        >>> typed("1.5"), typed("-3"), typed("true"), typed(""), typed("007"), typed("1e999")
        (1.5, -3, True, None, '007', '1e999')
    """
    if cell in _WORDS:
        return _WORDS[cell]
    found = _NUMBER.fullmatch(cell)
    if found is None:
        return cell
    if found[1] is None and found[2] is None:
        return int(cell) if len(cell) <= LONGEST_NUMBER else cell
    number = float(cell)
    return number if math.isfinite(number) else cell


class _TooLarge(Exception):
    """A row is larger than an item may be."""
