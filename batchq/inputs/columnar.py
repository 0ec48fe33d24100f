"""Parquet and Arrow (Feather, IPC): rows as objects, read group by group.

What JSON has no value for becomes text: dates and times in ISO 8601 (to the microsecond), decimals digit by digit,
bytes in base64; durations become seconds, NaN and the infinities null, a map an array of pairs.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from batchq.errors import InputError
from batchq.inputs.reader import Reader
from batchq.inputs.streams import open_file
from batchq.inputs.values import item_id_of, json_text
from batchq.model import Position, Record
from batchq.spec import SourceSpec

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS: Final = 1000
"""Rows that are turned into Python objects at once."""


class Columnar(Reader):
    """The rows of a Parquet or Arrow file; positions are rows."""

    def __init__(self, source: SourceSpec, position: Position) -> None:
        super().__init__(source, position)
        self._close: Callable[[], object] = lambda: None

    def begin(self, digest: str) -> None:
        try:
            import pyarrow as pa
        except ImportError:
            kind = self._source.format
            hint = "Install it: pip install 'batchq[parquet]'"
            raise InputError(
                self._name, f"{kind} needs the package pyarrow, which is not installed", hint=hint
            ) from None
        file = open_file(self._source)  # what the system has to say about it is told by the caller
        try:
            self._schema, self._batches = self._open(pa, file)
        except Exception as error:  # whatever is in the file
            file.close()
            raise self._damaged(error) from error
        names = list(self._schema.names)
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InputError(self._name, f"two columns are called {repeated[0]!r}", hint="Rename one.")
        self._records = self._read_records()
        self._pass_over(digest)

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns."""
        return list(self._schema.names)

    def close(self) -> None:
        """Close the file."""
        self._close()

    def _open(self, pa: Any, opened: BinaryIO) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        if self._source.format == "parquet":
            from pyarrow import parquet

            table = parquet.ParquetFile(opened)
            self._close = opened.close
            return table.schema_arrow, table.iter_batches(batch_size=BATCH_ROWS)
        from pyarrow import ipc

        self._close = opened.close
        file = pa.PythonFile(opened, "r")
        try:
            found = ipc.open_file(file)
            return found.schema, (found.get_batch(number) for number in range(found.num_record_batches))
        except pa.ArrowInvalid:
            file.seek(0)
            stream = ipc.open_stream(file)
            return stream.schema, iter(stream)

    def _read_records(self) -> Iterator[Record]:
        row = 0
        batches = self._batches
        while True:
            try:
                batch = next(batches, None)
                if batch is not None:
                    batch.validate(full=True)  # a damaged file would have Arrow read whatever lies in memory
                parts = (
                    [] if batch is None else [batch.slice(at, BATCH_ROWS) for at in range(0, len(batch), BATCH_ROWS)]
                )
                listed = [(part, _rows(part)) for part in parts]
            except Exception as error:
                raise self._damaged(error, row) from error
            if batch is None:
                return
            for part, rows in listed:
                for at in range(len(part)):
                    row += 1
                    yield self._record(row, rows[at] if rows is not None else None, part, at)

    def _record(self, row: int, value: dict[str, Any] | None, part: pa.RecordBatch, at: int) -> Record:
        try:
            found = plain(value if value is not None else _rows_of(part.slice(at, 1))[0])
            payload = json_text(found)
        except Exception as error:  # a moment before the year 1, say
            self._hash.update(b"?")
            return self._bad("", row, row, row + 1, None, f"a value of this row has no JSON form: {error}")
        self._hash.update(payload.encode() + b",")
        if len(payload) > self._most:
            return self._too_large("row", payload, row, row, row + 1)
        return Record(payload, item_id_of(found), row, row, row + 1)

    def _damaged(self, error: Exception, row: int | None = None) -> InputError:
        told = " ".join(str(error).split()) or type(error).__name__
        where = "" if row is None else f" behind row {row:,}"
        return InputError(self._name, f"cannot be read as {self._source.format}{where}: {told}")


def _rows(part: pa.RecordBatch) -> list[dict[str, Any]] | None:
    """The rows as dicts; None where one of them cannot be one, so that they are looked at singly."""
    try:
        return _rows_of(part)
    except Exception:
        return None


def _rows_of(part: pa.RecordBatch) -> list[dict[str, Any]]:
    import pyarrow as pa

    schema = pa.schema([field.with_type(_coarser(field.type)) for field in part.schema])
    if schema != part.schema:
        columns = [column.cast(field.type, safe=False) for column, field in zip(part.columns, schema, strict=True)]
        part = pa.RecordBatch.from_arrays(columns, schema=schema)
    rows: list[dict[str, Any]] = part.to_pylist()
    return rows


def _coarser(kind: pa.DataType) -> pa.DataType:
    """The type with microseconds for nanoseconds, which Python does not know."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_time64(kind) and kind.unit == "ns":
        return pa.time64("us")
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_coarser(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_coarser(field.type)) for field in kind])
    return kind


def plain(value: Any) -> Any:
    """A value of a column as JSON can hold it.

    Example:
        >>> plain({"day": dt.date(2026, 11, 26), "price": decimal.Decimal("1.50"), "raw": b"ab", "gap": math.nan})
        {'day': '2026-11-26', 'price': '1.50', 'raw': 'YWI=', 'gap': None}
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is dict:
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    return json.loads(json.dumps(value, default=str))
