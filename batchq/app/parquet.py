"""Results as Parquet, row group by row group; pyarrow is imported when it is needed, and never before."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from batchq.app.flatten import Columns, flat_row
from batchq.app.render import payload_of, plain
from batchq.errors import UsageError
from batchq.store.rows import ResultRow

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS: Final = 20_000
GROUP_CHARACTERS: Final = 32 * 1024 * 1024
"""A row group ends at whichever comes first, so that memory stays bounded whatever the size of a result."""
OWN: Final[Mapping[str, str]] = {
    "seq": "int",
    "id": "text",
    "line": "int",
    "status": "text",
    "result": "text",
    "error_type": "text",
    "error": "text",
    "attempts": "int",
    "duration": "float",
    "input": "text",
}
"""What the columns are that every table has."""
VALUES: Final[Mapping[str, Callable[[str], Any]]] = {
    "int": int,
    "float": float,
    "bool": lambda text: text == "true",
    "text": lambda text: _sound(plain(text)),
}
"""Makes the value of a cell from its JSON text."""


def write_parquet(sink: BinaryIO, rows: Iterable[ResultRow], with_input: bool = False) -> None:
    """Write rows of results; ``result`` and ``input`` are texts that hold JSON, unchanged.

    Args:
        sink: where to; it need not be able to seek.
        rows: what `ReportReader.results` yields.
        with_input: with the items.

    Raises:
        UsageError: pyarrow is not installed.
    """
    names = [name for name in OWN if with_input or name != "input"]
    _write(sink, {name: OWN[name] for name in names}, ((_plain_row(row), row.size) for row in rows))


def write_flat_parquet(sink: BinaryIO, rows: Iterable[ResultRow], columns: Columns) -> None:
    """The same with the parts of objects as columns of their own.

    A column has the type that all its values have (integers, numbers, booleans); else it is text, as in CSV.

    Args:
        sink: as above.
        rows: the rows that `columns` was made of.
        columns: their columns.
    """
    parts = columns.result.keys() | columns.input.keys()
    kinds = {name: columns.kind(name) if name in parts else OWN[name] for name in columns.names()}

    def cells(row: ResultRow) -> dict[str, Any]:
        return {name: None if text == "null" else VALUES[kinds[name]](text) for name, text in flat_row(row).items()}

    _write(sink, kinds, ((cells(row), row.size) for row in rows))


def _plain_row(row: ResultRow) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "id": str(row.item_id),
        "line": row.line,
        "status": row.status,
        "result": row.result,
        "error_type": row.error_type,
        "error": row.error,
        "attempts": row.attempts,
        "duration": row.duration_us / 1e6,
        "input": payload_of(row),
    }


def _write(sink: BinaryIO, kinds: Mapping[str, str], rows: Iterable[tuple[dict[str, Any], int]]) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow, which is not installed", "pip install 'batchq[parquet]'") from error
    types: dict[str, pa.DataType] = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "text": pa.string()}
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
    with parquet.ParquetWriter(pa.PythonFile(_Counted(sink), "w"), schema) as writer:
        group: list[dict[str, Any]] = []
        size = 0
        for cells, characters in rows:
            group.append(cells)
            size += characters
            if len(group) >= GROUP_ROWS or size >= GROUP_CHARACTERS:
                writer.write_table(_table(group, schema))
                group, size = [], 0
        if group:
            writer.write_table(_table(group, schema))


def _table(group: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns = [pa.array([cells.get(each.name) for cells in group], each.type) for each in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _sound(text: str | None) -> str | None:
    """`text` without half surrogate pairs, which have no UTF-8: they are written out."""
    return text if text is None or text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class _Counted(io.RawIOBase):
    """A stream that knows how far it is, which a pipe does not; closing it leaves the one behind it open."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._at = 0

    def write(self, data: Any) -> int:
        self._sink.write(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def writable(self) -> bool:
        return True
