"""Parquet and Arrow: rows as objects, with a documented form for what JSON does not have."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fuzz_inputs import read_all
from pyarrow import feather, parquet

from batchq.errors import InputError
from batchq.inputs import describe, detect_format
from batchq.model import Position

TABLE = pa.table(
    {
        "id": [1, 2],
        "at": pa.array([dt.datetime(2026, 11, 26, 18, 30, tzinfo=dt.timezone.utc), None], pa.timestamp("ns", "UTC")),
        "day": [dt.date(2026, 11, 26)] * 2,
        "price": [decimal.Decimal("1.10"), decimal.Decimal("-0.05")],
        "raw": [b"ab", b""],
        "score": [1.5, float("nan")],
        "kind": pa.array(["a", "b"]).dictionary_encode(),
        "tags": [["x"], None],
        "inner": [{"t": dt.time(9, 5), "n": None}] * 2,
        "took": pa.array([1500, 0], pa.duration("ms")),
    }
)
SHARED = {"day": "2026-11-26", "inner": {"t": "09:05:00", "n": None}}
FIRST = {"id": 1, "at": "2026-11-26T18:30:00+00:00", "price": "1.10", "raw": "YWI=", "score": 1.5, "kind": "a"}
SECOND = {"id": 2, "at": None, "price": "-0.05", "raw": "", "score": None, "kind": "b"}
ROWS: list[dict[str, Any]] = [
    {**FIRST, **SHARED, "tags": ["x"], "took": 1.5},
    {**SECOND, **SHARED, "tags": None, "took": 0.0},
]


def write(path: Path, table: pa.Table) -> str:
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=700)
    elif path.suffix == ".feather":
        feather.write_feather(table, path)
    else:
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    return str(path)


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.arrow"])
def test_rows_are_objects_and_other_types_have_their_form(tmp_path: Path, name: str) -> None:
    records = read_all(describe(write(tmp_path / name, TABLE)))
    assert [json.loads(record.payload) for record in records] == ROWS
    assert [record.item_id for record in records] == [1, 2]


@pytest.mark.parametrize("name", ["a.parquet", "a.feather"])
def test_file_of_many_groups_is_read_on_anywhere(tmp_path: Path, name: str) -> None:
    source = describe(write(tmp_path / name, pa.table({"id": list(range(3000))})))
    whole = read_all(source)
    assert [record.item_id for record in whole] == list(range(3000))
    rest = read_all(source, Position(whole[1199].position, 1, 1200), whole.digests[1199])
    assert list(rest) == whole[1200:]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_file_of_something_else_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b'{"id": 1}\n')
    with pytest.raises(InputError, match=f"cannot be read as {path.suffix[1:]}") as error:
        read_all(describe(str(path)))
    assert "\n" not in str(error.value)


def test_they_are_not_read_from_a_pipe_nor_unpacked() -> None:
    for name, kind in [("-", "parquet"), ("a.parquet.gz", None)]:
        with pytest.raises(InputError, match="cannot be read"):
            detect_format(name, kind)
