"""CSV and TSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Final

from batchq.errors import InputError
from batchq.inputs.lines import LineReader
from batchq.inputs.values import item_id_of
from batchq.model import Record

_DELIMITERS: Final = {"csv": ",", "tsv": "\t"}


class _BadLine(Exception):
    """A physical line that a CSV record cannot contain."""


class Table(LineReader):
    """CSV and TSV: the first record names the fields, whose values are strings."""

    def _head(self) -> None:
        super()._head()
        csv.field_size_limit(2**31 - 1)
        self._lines = self._read_lines()
        rows = self._rows()
        header: list[str] = []
        try:
            while not header:
                header = next(rows)
        except StopIteration:
            raise InputError(self._name, "is empty: a CSV file begins with a header") from None
        except (csv.Error, _BadLine, UnicodeDecodeError) as error:
            raise InputError(self._name, f"its header cannot be read: {error}", line=1) from error
        self._header = header
        self._check_header(header)

    def begin(self, digest: str) -> None:
        super().begin(digest)
        if not self._position.offset:
            self._lines = self._header_lines
            self._records = self._read_records()

    def _rows(self) -> Iterator[list[str]]:
        self._header_lines = self._lines
        return csv.reader(self._text(), delimiter=_DELIMITERS[self._source.format], strict=True)

    def _text(self) -> Iterator[str]:
        for line in self._lines:
            if b"\x00" in line:
                raise _BadLine("it holds a NUL byte")
            yield line.decode() + "\n"

    def _check_header(self, header: list[str]) -> None:
        empty = [index for index, name in enumerate(header, 1) if not name.strip()]
        repeated = sorted({name for name in header if header.count(name) > 1})
        if empty:
            raise InputError(self._name, f"column {empty[0]} has no name in the header", line=1, hint="Name it.")
        if repeated:
            raise InputError(
                self._name,
                f"the header names {', '.join(map(repr, repeated))} twice",
                line=1,
                hint="Rename one.",
            )

    def _read_records(self) -> Iterator[Record]:
        width = len(self._header)
        rows = csv.reader(self._text(), delimiter=_DELIMITERS[self._source.format], strict=True)
        while True:
            line = self._line + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except UnicodeDecodeError as error:
                yield self._undecodable(bytes(error.object), self._line, error)
                rows = csv.reader(self._text(), delimiter=_DELIMITERS[self._source.format], strict=True)
                continue
            except (csv.Error, _BadLine) as error:
                yield self._bad("", line, self._offset, self._line + 1, None, str(error))
                rows = csv.reader(self._text(), delimiter=_DELIMITERS[self._source.format], strict=True)
                continue
            if not row:
                continue
            if len(row) != width:
                reason = f"{len(row)} cells, but the header names {width} columns"
                yield self._bad(",".join(row), line, self._offset, self._line + 1, None, reason)
                continue
            value = dict(zip(self._header, row, strict=True))
            payload = json.dumps(value, ensure_ascii=False)
            yield Record(payload, item_id_of(value), line, self._offset, self._line + 1)
