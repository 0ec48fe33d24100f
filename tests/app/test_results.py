"""Results as files and streams, of batches made by hand: what other programs read of them is what was stored."""

from __future__ import annotations

import csv
import gzip
import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from batches import fill, make_batch, make_records

from batchq.app.flatten import Columns, flat
from batchq.app.render import results_jsonl
from batchq.app.results import Wanted, follow, form_of, items_of, text_of, whole_file, write_table
from batchq.cli.console import run_command
from batchq.cli.run import cli
from batchq.engine.failures import plain_failure
from batchq.errors import OutputError, UsageError
from batchq.inputs import describe, open_reader
from batchq.model import FAILED, Outcome, Record
from batchq.store.connection import open_writer, transaction
from batchq.store.home import BatchFolder
from batchq.store.outcomes import OutcomeWriter
from batchq.store.reading import PAGE_ROWS, reading

ODD = 'say "no" \\ \x00\x01\x1b\x7f\t\r\n \u2028 Ä 漢字 🙂 \ufffd'
NESTED = '{"title": "Tea", "by": {"name": "=A1", "born": 1950, "x.y": []}, "score": 1.50, "ok": true, "none": null}'


def record(database: Path, outcomes: dict[int, str | Exception], run: int = 1) -> None:
    """Record for each seq a result's JSON text, or a failure; in the order given."""
    made = [Outcome(seq, run, 2, 500_000 + seq, 1_700_000_000_000, 1, *_end(value)) for seq, value in outcomes.items()]
    with closing(open_writer(database)) as connection, transaction(connection):
        OutcomeWriter(connection).record(made)


def _end(value: str | Exception) -> tuple[str | None, Any]:
    if isinstance(value, Exception):
        return None, plain_failure(type(value).__name__, str(value), str(value))
    return value, None


def printed(database: Path, wanted: Wanted) -> str:
    with reading(database) as reader:
        return "".join(text_of(reader, wanted))


def table_of(text: str, separator: str = ",") -> list[dict[str, str]]:
    """A table as Python's own module reads it."""
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return make_batch(tmp_path, [json.dumps({"n": n}) for n in range(1, 10)])


def test_lines_made_by_sqlite_say_what_those_made_by_python_say(tmp_path: Path) -> None:
    database = make_batch(tmp_path, ["{}"])
    ids = [ODD, 7, -(2**63), None, "plain"]
    records = [record._replace(item_id=item_id) for record, item_id in zip(make_records(["{}"] * 5), ids, strict=True)]
    fill(database, records, seq=1)
    results = ["[1e400, -0.0, 18446744073709551616, 0.1000]", json.dumps(ODD), "null", '"%s %d %%"', NESTED]
    record(database, {6: results[4], **dict(enumerate(results[:4], 1)), 5: ValueError(ODD)})
    for wanted in (Wanted(), Wanted(with_schema=True)):
        fast = printed(database, wanted).split("\n")
        with reading(database) as reader:
            slow = "".join(results_jsonl(reader.results(), wanted.with_schema)).split("\n")
        assert len(fast) == 7 and fast[-1] == ""
        assert [json.loads(line) for line in fast[:-1]] == [json.loads(line) for line in slow[:-1]]
    for result, line in zip(results[:4], fast, strict=False):
        assert f'"result": {result}, ' in line, "the text of a result has changed"
    assert json.loads(fast[4])["error"] == ODD.replace("\0", "\\x00"), "as it was stored"


def test_pages_of_lines_join_without_a_gap(tmp_path: Path) -> None:
    count = 2 * PAGE_ROWS + 7
    database = make_batch(tmp_path, ["{}"] * count)
    record(database, {seq: str(seq) for seq in range(count, 0, -1)})
    assert [json.loads(line)["seq"] for line in printed(database, Wanted()).splitlines()] == [*range(1, count + 1)]
    followed = [json.loads(line) for line in "".join(follow(BatchFolder(database.parent), Wanted())).splitlines()]
    assert [line["seq"] for line in followed] == [*range(count, 0, -1)], "the order is not that of the commits"
    assert {line["run"] for line in followed} == {1}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_following_shows_both_runs_of_an_item_and_only_what_is_asked_for(database: Path, form: str) -> None:
    record(database, {2: ValueError("first"), 1: "1"})
    with closing(open_writer(database)) as connection:
        connection.execute("UPDATE items SET run = 2 WHERE seq = 2")
    record(database, {2: ValueError("second")}, run=2)
    text = "".join(follow(BatchFolder(database.parent), Wanted(form, only=FAILED, with_input=True)))
    rows: list[Any] = table_of(text) if form == "csv" else [json.loads(line) for line in text.splitlines()]
    assert [(int(row["seq"]), int(row["run"]), row["error"]) for row in rows] == [(2, 1, "first"), (2, 2, "second")]
    assert all(row["input"] in ('{"n": 2}', {"n": 2}) for row in rows)
    assert len(printed(database, Wanted(only=FAILED)).splitlines()) == 1, "without following, the last run counts"


def records_of(path: Path) -> list[Record]:
    """What `start` would read."""
    with closing(open_reader(describe(str(path)))) as reader:
        return list(reader)


def test_items_come_back_as_an_input_that_reads_the_same(tmp_path: Path) -> None:
    source = tmp_path / "source.json"
    source.write_text('[{"id": "a",\n "n": 1.50},\r\n "Ä\\ud83d",\n [1,\n2], NaN]', encoding="utf-8")
    records = records_of(source)
    database = make_batch(tmp_path, ["{}"])
    fill(database, records, seq=1)
    record(database, {seq: ValueError("again") for seq in (4, 2, 3)})
    said: list[str] = []
    again = tmp_path / "again.jsonl"
    with reading(database) as reader, whole_file(str(again), packed=False) as file:
        file.writelines(line.encode() for line in items_of(reader, FAILED, said.append))
    read = records_of(again)
    assert [json.loads(record.payload) for record in read] == [json.loads(record.payload) for record in records[:3]]
    assert [record.item_id for record in read] == ["a", None, None] and '"n": 1.50' in read[0].payload
    assert len(said) == 1 and "1 that could not be read" in said[0]


def test_parts_of_objects_get_names_and_nothing_is_dropped() -> None:
    assert flat("result", NESTED) == {
        "result.title": '"Tea"',
        "result.by.name": '"=A1"',
        "result.by.born": "1950",
        "result.by.x.y": "[]",
        "result.score": "1.50",
        "result.ok": "true",
        "result.none": "null",
    }
    for whole in ("{}", "[{}]", '{"a": {"b": 1}, "a.b": 2}', "[" * 10_000 + "]" * 10_000):
        assert flat("result", whole) == {"result": whole}
    assert flat("r", '{"n": 1e400, "m": [1.0, {"k": 10000000000000000000000}]}') == {
        "r.n": "1e400",
        "r.m": '[1.0, {"k": 10000000000000000000000}]',
    }


@pytest.mark.parametrize("form, separator", [("csv", ","), ("tsv", "\t")])
def test_flat_table_has_the_columns_of_all_rows(database: Path, form: str, separator: str) -> None:
    record(database, {1: NESTED, 2: '{"title": "=1+1", "tags": ["a", "b\\tc"]}', 3: ValueError("no"), 4: '"plain"'})
    rows = table_of(printed(database, Wanted(form, flatten=True, with_input=True)), separator)
    assert list(rows[0]) == [
        *("seq", "id", "line", "status", "result.title", "result.by.name", "result.by.born", "result.by.x.y"),
        *("result.score", "result.ok", "result.none", "result.tags", "result"),
        *("error_type", "error", "attempts", "duration", "input.n"),
    ]
    assert rows[0]["result.by.name"] == "'=A1" and rows[0]["result.score"] == "1.50" and rows[0]["result.tags"] == ""
    assert rows[1]["result.title"] == "'=1+1" and json.loads(rows[1]["result.tags"]) == ["a", "b\tc"]
    assert (rows[2]["error"], rows[2]["result.title"], rows[3]["result"]) == ("no", "", "plain")
    assert [row["input.n"] for row in rows] == ["1", "2", "3", "4"]


def test_flat_lines_are_flat_and_strict(database: Path) -> None:
    record(database, {1: NESTED, 2: ValueError("no")})
    first, second = printed(database, Wanted(flatten=True, with_input=True, with_schema=True)).splitlines()
    assert '"result.score": 1.50' in first and first.startswith('{"schema": 1, "seq": 1, ')
    found = json.loads(first)
    assert (found["result.by.born"], found["result.none"], found["input.n"]) == (1950, None, 1)
    assert not any(isinstance(value, dict) for value in found.values())
    assert json.loads(second)["error"] == "no"


def test_table_with_too_many_columns_is_refused_before_anything_is_written(database: Path) -> None:
    record(database, {1: json.dumps({f"k{n}": n for n in range(10_001)})})
    with pytest.raises(UsageError, match="10,000") as error:
        printed(database, Wanted("csv", flatten=True))
    assert "jsonl" in error.value.hint


def read_parquet(path: Path) -> Any:
    return pytest.importorskip("pyarrow.parquet").ParquetFile(path)


def test_parquet_holds_the_rows_and_the_json_as_it_is(database: Path, tmp_path: Path) -> None:
    record(database, {3: NESTED, 1: ValueError("no"), 2: '"\\ud83d"'})
    path = tmp_path / "out.parquet"
    read_parquet_of(database, Wanted("parquet", with_input=True), path)
    table = read_parquet(path).read()
    names = ["seq", "id", "line", "status", "result", "error_type", "error", "attempts", "duration", "input"]
    assert table.column_names == names
    assert table.column("seq").to_pylist() == [1, 2, 3]
    assert table.column("result").to_pylist() == [None, '"\\ud83d"', NESTED]
    assert table.column("error").to_pylist() == ["no", None, None]
    assert table.column("duration").to_pylist() == [0.500001, 0.500002, 0.500003]
    assert table.column("input").to_pylist()[0] == '{"n": 1}'


def test_flat_parquet_has_types_where_all_values_agree(database: Path, tmp_path: Path) -> None:
    record(
        database,
        {
            1: '{"i": 1, "f": 1, "b": true, "m": 1, "l": 9007199254740993, "t": "\\ud83d"}',
            2: '{"i": null, "f": 2.5, "b": false, "m": "x", "l": 0.5, "t": "Ä"}',
            3: '{"i": -3, "m": [1]}',
        },
    )
    path = tmp_path / "flat.parquet"
    read_parquet_of(database, Wanted("parquet", flatten=True), path)
    table = read_parquet(path).read()
    found = {name: (str(table.schema.field(name).type), table.column(name).to_pylist()) for name in table.column_names}
    assert found["result.i"] == ("int64", [1, None, -3])
    assert found["result.f"] == ("double", [1.0, 2.5, None])
    assert found["result.b"] == ("bool", [True, False, None])
    assert found["result.m"] == ("string", ["1", "x", "[1]"])
    assert found["result.l"] == ("string", ["9007199254740993", "0.5", None]), "a float would not be the same"
    assert found["result.t"] == ("string", ["\\ud83d", "Ä", None])


def test_parquet_is_written_row_group_by_row_group(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("batchq.app.parquet.GROUP_ROWS", 2)
    record(database, {seq: str(seq) for seq in range(1, 6)})
    path = tmp_path / "out.parquet"
    read_parquet_of(database, Wanted("parquet"), path)
    file = read_parquet(path)
    assert file.num_row_groups == 3 and file.read().column("result").to_pylist() == ["1", "2", "3", "4", "5"]


def read_parquet_of(database: Path, wanted: Wanted, path: Path) -> None:
    pytest.importorskip("pyarrow")
    with reading(database) as reader, whole_file(str(path), packed=False) as file:
        write_table(file, reader, wanted)


def test_kinds_of_a_column_without_values_are_text() -> None:
    columns = Columns(result={"result.a": {"null"}})
    assert columns.kind("result.a") == columns.kind("nosuch") == "text"


@pytest.mark.parametrize(
    "options, named",
    [
        ("--as-input --flatten", "--flatten"),
        ("--as-input -f", "--follow"),
        ("--as-input --format csv", "--format csv"),
        ("-f -o out.jsonl", "--output"),
        ("-f --format parquet", "parquet"),
        ("-f --flatten --format csv", "--flatten"),
        ("--json -o out.csv", "--output"),
        ("-o out.xls", "--format jsonl|csv|tsv|parquet"),
    ],
)
def test_options_without_meaning_together_are_refused(
    options: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(cli, ["results", "b1", *options.split()]) == 2
    said = capsys.readouterr().err
    assert named in said and "no batch" not in said


def test_name_tells_the_form(tmp_path: Path) -> None:
    names = {
        "a.jsonl": ("jsonl", False),
        "a.CSV.gz": ("csv", True),
        "a.tsv": ("tsv", False),
        "a.b.ndjson.gz": ("jsonl", True),
    }
    assert {name: form_of(name, None) for name in names} == names
    assert form_of("a.csv", "parquet") == ("parquet", False), "what is said counts more"
    for name in ("titles", "a.xls", "a.parquet.gz"):
        with pytest.raises(OutputError, match=name):
            form_of(name, None)
    target = tmp_path / "titles.jsonl.gz"
    with whole_file(str(target), packed=True) as file:
        file.write(b"pressed")
    assert gzip.decompress(target.read_bytes()) == b"pressed"
