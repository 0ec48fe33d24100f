"""What holds for any input: the same items come back, nothing but an InputError is raised, reading on is seamless."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchq.errors import InputError
from batchq.inputs import FORMATS, STDIN, open_reader
from batchq.model import Position, Record
from batchq.spec import SourceSpec

quick = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

texts = st.text(max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
names = cells.filter(lambda name: name.strip() != "" and not name.startswith("\ufeff"))
tables = st.lists(names, min_size=1, max_size=4, unique=True).flatmap(
    lambda header: st.lists(st.fixed_dictionaries(dict.fromkeys(header, cells)), min_size=1, max_size=6)
)
fragments = st.sampled_from(
    [
        *(b'"', b",", b"\n", b"\r", b"\t", b"[", b"]", b"{", b"}", b":", b"1", b"1.", b"e5", b"NaN", b"null", b" "),
        *(b'{"id": "a"}', b"\\u", b"\\ud800", b"\xef\xbb\xbf", b"\xe9", b"\0", b"\xff\xfe"),
        *(b"id,v\n", b"id\tv\n", b'"a\nb"', b"a,b\n"),
    ]
)
anything = st.binary(max_size=60) | st.lists(fragments, max_size=25).map(b"".join)
arrays = st.lists(fragments, max_size=20).map(lambda pieces: b"[" + b"".join(pieces))
formats = st.sampled_from(FORMATS)


def read(kind: str, content: bytes) -> list[Record]:
    return list(open_reader(SourceSpec(STDIN, STDIN, kind), stdin=io.BytesIO(content)))


def items(records: list[Record]) -> list[Any]:
    assert [record.error for record in records] == [None] * len(records)
    return [strict(record.payload) for record in records]


def strict(text: str) -> Any:
    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is not strict JSON")

    text.encode()
    return json.loads(text, parse_constant=refuse)


class Trickle(io.BytesIO):
    """A stream that gives few bytes at a time."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(3 if size is None or size < 0 else min(3, size))


@quick
@given(st.lists(values), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n \n"]))
def test_json_values_come_back_from_lines(given_items: list[Any], ascii_only: bool, newline: str) -> None:
    content = newline.join(
        json.dumps(item, ensure_ascii=True if _has_half(item) else ascii_only) for item in given_items
    )
    assert items(read("jsonl", content.encode())) == given_items


@quick
@given(st.lists(values), st.sampled_from([None, 1, "\t"]))
def test_json_values_come_back_from_an_array(given_items: list[Any], indent: int | str | None) -> None:
    content = json.dumps(given_items, indent=indent).encode()
    records = read("json", content)
    assert items(records) == given_items
    assert list(open_reader(SourceSpec(STDIN, STDIN, "json"), stdin=Trickle(content))) == records


@quick
@given(tables, st.sampled_from(["\n", "\r\n"]), st.sampled_from([("csv", ","), ("tsv", "\t")]))
def test_rows_come_back_from_tables(rows: list[dict[str, str]], newline: str, kind: tuple[str, str]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator=newline, delimiter=kind[1], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    assert items(read(kind[0], text.getvalue().encode())) == rows


@settings(quick, max_examples=300)
@given(formats, anything | arrays)
def test_any_bytes_give_records_of_strict_json_or_an_input_error(kind: str, content: bytes) -> None:
    try:
        records = read(kind, content)
    except InputError as error:
        assert "\n" not in str(error)
        return
    for record in records:
        strict(record.payload)
        assert record.error is None or record.error.startswith(f"{STDIN}, line ")
        assert record.item_id is None or str(record.item_id).encode()
    lines = [record.line for record in records]
    assert lines == sorted(lines)
    assert max(lines, default=1) <= content.count(b"\n") + 1


@settings(quick, max_examples=150)
@given(formats, anything | arrays)
def test_small_reads_give_the_same_as_large_ones(kind: str, content: bytes) -> None:
    source = SourceSpec(STDIN, STDIN, kind)
    try:
        expected = read(kind, content)
    except InputError as error:
        with pytest.raises(InputError) as other:
            open_reader(source, stdin=Trickle(content))
        assert str(other.value) == str(error)
    else:
        trickled = list(open_reader(source, stdin=Trickle(content)))
        assert [(r.line, r.position, r.error) for r in trickled] == [(r.line, r.position, r.error) for r in expected]


@settings(quick, max_examples=150)
@given(formats, anything | arrays)
def test_reading_in_two_parts_equals_reading_at_once(
    tmp_path_factory: pytest.TempPathFactory, kind: str, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "input"
    path.write_bytes(content)
    _check_every_boundary(path, kind)


@quick
@given(tables)
def test_tables_are_read_on_at_any_record(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "input"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    _check_every_boundary(path, "csv")


def _check_every_boundary(path: Path, kind: str) -> None:
    source = SourceSpec(str(path), path.name, kind)
    try:
        reader = open_reader(source)
    except InputError:
        return
    whole: list[Record] = []
    digests: list[str] = []
    for record in reader:
        whole.append(record)
        digests.append(reader.digest())
    final = reader.digest()
    reader.close()
    for count, (record, digest) in enumerate(zip(whole, digests, strict=True), 1):
        rest = open_reader(source, Position(record.position, record.next_line, count), digest)
        assert list(rest) == whole[count:]
        assert rest.digest() == final
        rest.close()


def _has_half(value: Any) -> bool:
    """A half surrogate can stand in JSON as an escape only."""
    return any("\ud800" <= character <= "\udfff" for character in json.dumps(value, ensure_ascii=False))
