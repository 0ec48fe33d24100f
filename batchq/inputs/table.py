"""CSV and TSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Final

from batchq.errors import InputError
from batchq.inputs.lines import LineReader
from batchq.inputs.reader import not_utf8
from batchq.inputs.values import item_id_of
from batchq.model import Record

_DELIMITERS: Final = {"csv": ",", "tsv": "\t"}


class Table(LineReader):
    """CSV and TSV: the first record names the fields, whose values are strings."""

    def _head(self) -> None:
        super()._head()
        csv.field_size_limit(2**31 - 1)
        self._flaw: str | None = None
        header: list[str] = []
        line = 1
        try:
            rows = self._rows()
            while not header:
                line = self._line + 1
                header = next(rows)
        except StopIteration:
            raise InputError(self._name, "is empty: a CSV file begins with a header") from None
        except csv.Error as error:
            raise InputError(self._name, f"its header cannot be read: {self._flaw or error}", line) from error
        if self._flaw:
            raise InputError(self._name, f"its header cannot be read: {self._flaw}", line)
        self._check_header(header, line)
        self._header = header

    def _rows(self) -> Iterator[list[str]]:
        return csv.reader(self._text(), delimiter=_DELIMITERS[self._source.format], strict=True)

    def _text(self) -> Iterator[str]:
        """Lines for the CSV parser.  A flaw is noted and the line replaced, so that its record is read to its end."""
        for line in self._lines:
            try:
                text = line.decode()
            except UnicodeDecodeError:
                self._flaw = self._flaw or not_utf8(line, "line")
                text = line.decode("utf-8", "replace")
            if "\x00" in text:
                self._flaw = self._flaw or "it holds a NUL byte"
                text = text.replace("\x00", "\ufffd")
            yield text + "\n"

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
        while True:
            self._flaw = None
            line = self._line + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield self._bad("", line, self._offset, self._line + 1, None, self._flaw or str(error))
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
            value = dict(zip(self._header, row, strict=True))
            payload = json.dumps(value, ensure_ascii=False)
            yield Record(payload, item_id_of(value), line, self._offset, self._line + 1)
