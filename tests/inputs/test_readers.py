"""Readers of each kind: what is a record, what is refused, what is named when a record cannot be read."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from batchq.errors import InputChanged, InputError
from batchq.inputs import STDIN, describe, detect_format, open_reader
from batchq.inputs.reader import BLOCK
from batchq.model import Position, Record
from batchq.spec import SourceSpec

UTF8_BOM = b"\xef\xbb\xbf"
TWO_ITEMS = {
    "a.jsonl": b'{"v": "1"}\n{"v": "2"}\n',
    "a.ndjson": b'{"v": "1"}\r\n\r\n{"v": "2"}',
    "a.json": b'[{"v": "1"},\n {"v": "2"}]\n',
    "a.csv": b"v\n1\n2\n",
    "A.CSV": b"v\r\n1\r\n2",
    "a.tsv": b"v\n1\n2\n",
}


def write(folder: Path, name: str, content: bytes | str) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def read(path: str, **options: Any) -> list[Record]:
    limit = options.pop("limit", None)
    reader = open_reader(describe(path, limit=limit), **options)
    try:
        return list(reader)
    finally:
        reader.close()


def items(records: list[Record]) -> list[Any]:
    return [json.loads(record.payload) for record in records if record.error is None]


def ids(records: list[Record]) -> list[Any]:
    return [record.item_id for record in records]


def errors(records: list[Record]) -> list[tuple[int, str]]:
    return [(record.line, record.error) for record in records if record.error is not None]


# Kinds


@pytest.mark.parametrize("name", TWO_ITEMS)
@pytest.mark.parametrize("mark", [b"", UTF8_BOM], ids=["plain", "BOM"])
def test_each_kind_is_read_with_and_without_a_bom(tmp_path: Path, name: str, mark: bytes) -> None:
    records = read(write(tmp_path, name, mark + TWO_ITEMS[name]), strict_first=True)
    assert items(records) == [{"v": "1"}, {"v": "2"}]
    assert errors(records) == []


@pytest.mark.parametrize("mark", [b"", UTF8_BOM], ids=["plain", "BOM"])
def test_line_of_text_is_a_string_without_its_newline(tmp_path: Path, mark: bytes) -> None:
    records = read(write(tmp_path, "a.txt", mark + "one\r\n\r\n  \n tw\ro é \nthree".encode()))
    assert items(records) == ["one", " tw\ro é ", "three"]
    assert [record.line for record in records] == [1, 4, 5]


def test_format_is_told_by_the_name_or_given() -> None:
    assert detect_format("x.NDJSON", None) == "jsonl"
    assert detect_format(STDIN, "csv") == "csv"
    for name, given in [("x.data", None), ("x", None), (STDIN, None), ("x.csv", "xml")]:
        with pytest.raises(InputError) as error:
            detect_format(name, given)
        assert "jsonl" in error.value.hint


@pytest.mark.parametrize("name", [*TWO_ITEMS, "a.txt"])
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)  # the first of each writes a mark
def test_other_encodings_are_refused_by_their_name(tmp_path: Path, name: str, encoding: str) -> None:
    content = TWO_ITEMS.get(name, b"ideas").decode().encode(encoding)
    with pytest.raises(InputError, match=encoding[:6].upper()) as error:
        read(write(tmp_path, name, content))
    assert "iconv" in error.value.hint


# Lines that cannot be read


BAD_LINES = {
    "trailing comma": (b'{"a": 1,}', "not JSON"),
    "two values": (b'{"a": 1} {"a": 2}', "second value"),
    "cut off": (b'{"a": ', "not JSON"),
    "word": (b"hello", "not JSON"),
    "NaN": (b'{"a": NaN}', "NaN is not JSON"),
    "infinity": (b"[-Infinity]", "-Infinity is not JSON"),
    "not UTF-8": (b'{"a": "caf\xe9"}', "byte 0xe9 at offset 10"),
    "raw control character": (b'"\x01"', "not JSON"),
    "NUL": (b'\x00{"a": 1}', "not JSON"),
    "too deep": (b"[" * 200_000, "nested too deeply"),
}


@pytest.mark.parametrize("line, reason", BAD_LINES.values(), ids=BAD_LINES)
def test_bad_line_names_file_line_and_reason_and_the_rest_is_read(tmp_path: Path, line: bytes, reason: str) -> None:
    path = write(tmp_path, "ideas.jsonl", b'{"a": 1}\n\n' + line + b'\n{"a": 2}\n')
    records = read(path, strict_first=True)
    assert items(records) == [{"a": 1}, {"a": 2}]
    [(number, error)] = errors(records)
    assert number == 3
    assert error.startswith(f"{path}, line 3") and reason in error
    assert all(json.loads(record.payload) is not None for record in records)


def test_bad_last_line_without_newline_is_reported(tmp_path: Path) -> None:
    records = read(write(tmp_path, "a.jsonl", '1\n[2]\n"x"\nnull\n{"a'))
    assert items(records) == [1, [2], "x", None]
    assert [line for line, _ in errors(records)] == [5]


def test_first_record_that_is_bad_raises_only_when_strict(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '\n  {"a": 1,}\n{"a": 2}\n')
    with pytest.raises(InputError) as error:
        read(path, strict_first=True)
    assert (error.value.line, error.value.path) == (2, path)
    assert error.value.column in (10, 11)  # Pythons differ: the comma, or what follows
    assert "jsonl" in error.value.hint
    records = read(path)
    assert items(records) == [{"a": 2}] and len(errors(records)) == 1


@pytest.mark.parametrize(
    "name, content",
    [("a.csv", b"a,b\n1\n2,3\n"), ("a.txt", b"\xff\nx\n"), ("a.json", b'[{"a": NaN}, 1]'), ("a.json", b"[}")],
)
def test_first_bad_record_of_other_kinds_raises_only_when_strict(tmp_path: Path, name: str, content: bytes) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(InputError, match="line"):
        read(path, strict_first=True)
    assert read(path)[0].error is not None


def test_check_of_the_first_record_loses_and_hashes_nothing_early(tmp_path: Path) -> None:
    source = describe(write(tmp_path, "a.jsonl", "1\n2\n"))
    strict, lenient = open_reader(source, strict_first=True), open_reader(source)
    for _ in range(3):
        assert strict.digest() == lenient.digest()
        assert next(strict, None) == next(lenient, None)
    strict.close()
    lenient.close()


def test_line_of_text_that_is_not_utf8_does_not_stop_the_rest(tmp_path: Path) -> None:
    records = read(write(tmp_path, "a.txt", b"one\ncaf\xe9\nthree\n"))
    assert items(records) == ["one", "three"]
    assert "line 2, column 4: not UTF-8: byte 0xe9" in errors(records)[0][1]


def test_long_record_that_is_bad_is_kept_as_an_excerpt(tmp_path: Path) -> None:
    records = read(write(tmp_path, "a.jsonl", "x" * 1_000_000 + "\n1\n"))
    assert len(records[0].payload) < 2000 and items(records) == [1]


# CSV


def test_quoted_newlines_are_kept_and_records_are_counted(tmp_path: Path) -> None:
    rows = b'id,text\r\n1,"one\ntwo"\r\n2,"a ""quoted"", comma"\r\n3,"lone\rCR and\r\nCRLF"\r\n4,plain\r\n'
    records = read(write(tmp_path, "a.csv", rows))
    expected = ["one\ntwo", 'a "quoted", comma', "lone\rCR and\r\nCRLF", "plain"]
    assert [item["text"] for item in items(records)] == expected
    assert ids(records) == ["1", "2", "3", "4"]
    assert [record.line for record in records] == [2, 4, 5, 7]
    assert [record.next_line for record in records] == [4, 5, 7, 8]


def test_ragged_rows_are_bad_records_that_name_their_line(tmp_path: Path) -> None:
    records = read(write(tmp_path, "a.csv", "id,v\n1,a\n2\n\n   \n3,b,c\n4,d\n"))
    assert items(records) == [{"id": "1", "v": "a"}, {"id": "4", "v": "d"}]
    assert [line for line, _ in errors(records)] == [3, 6]
    assert "1 cells, but the header names 2 columns" in errors(records)[0][1]


def test_quoted_empty_cell_is_a_record_of_a_single_column(tmp_path: Path) -> None:
    assert items(read(write(tmp_path, "a.csv", 'v\n""\n\n  \nx\n'))) == [{"v": ""}, {"v": "  "}, {"v": "x"}]


@pytest.mark.parametrize(
    "row, reason",
    [
        (b'2,"a\x00\nb,c"', "NUL byte"),
        (b'2,"caf\xe9\nb,c"', "byte 0xe9"),
        (b'2,"b"c', "expected after"),
        (b"2,a\rb", "a lone CR"),
    ],
)
def test_row_that_cannot_be_read_is_lost_as_a_whole_and_alone(tmp_path: Path, row: bytes, reason: str) -> None:
    records = read(write(tmp_path, "a.csv", b"id,v\n1,a\n" + row + b"\n3,d\n"))
    assert items(records) == [{"id": "1", "v": "a"}, {"id": "3", "v": "d"}]
    [(line, error)] = errors(records)
    assert line == 3 and reason in error


def test_quote_that_is_never_closed_is_told_with_the_line_where_it_opens(tmp_path: Path) -> None:
    records = read(write(tmp_path, "a.csv", 'id,v\n1,a\n2,"b\n3,c\n'))
    assert items(records) == [{"id": "1", "v": "a"}]
    assert [line for line, _ in errors(records)] == [3]


@pytest.mark.parametrize(
    "header, reason",
    [
        (b"id,v,v", "'v' twice"),
        (b"id,,v", "column 2 has no name"),
        (b"id, ,v", "column 2 has no name"),
        (b"i\x00d,v", "NUL"),
        (b"caf\xe9,v", "0xe9"),
        (b'id,"v', "header cannot be read"),
    ],
)
def test_header_that_cannot_be_used_is_refused_with_its_line(tmp_path: Path, header: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as error:
        read(write(tmp_path, "a.csv", b"\n" + header + b"\n1,2,3\n"))
    assert error.value.line == 2


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("content", [b"", UTF8_BOM, b"\n\r\n"])
def test_table_without_a_header_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(InputError, match="begins with a header"):
        read(write(tmp_path, name, content))


def test_tabs_separate_the_cells_of_a_tsv(tmp_path: Path) -> None:
    assert items(read(write(tmp_path, "a.tsv", 'a\tb\n1,2\t"x\ty"\n'))) == [{"a": "1,2", "b": "x\ty"}]


def test_cell_may_be_larger_than_the_limit_of_the_csv_module(tmp_path: Path) -> None:
    [record] = read(write(tmp_path, "a.csv", b"v\n" + b"x" * 300_000 + b"\n"))
    assert len(items([record])[0]["v"]) == 300_000


# Nothing to read


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.jsonl", b""),
        ("a.jsonl", UTF8_BOM),
        ("a.jsonl", b"\n \r\n\t"),
        ("a.txt", b"\n\n"),
        ("a.json", b""),
        ("a.json", b" \n"),
        ("a.json", b"[]"),
        ("a.json", UTF8_BOM + b" [ \n] \n"),
        ("a.csv", b"id,v\n"),
        ("a.csv", b"id,v"),
        ("a.tsv", b"id\tv\r\n\r\n"),
    ],
)
def test_input_without_records_is_no_error(tmp_path: Path, name: str, content: bytes) -> None:
    assert read(write(tmp_path, name, content), strict_first=True) == []


# JSON arrays


@pytest.mark.parametrize("content", ['{"a": [1]}', '\n "text"', "12", "hello"])
def test_json_file_whose_top_level_is_no_array_is_refused_with_a_way_out(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match="not an array") as error:
        open_reader(describe(write(tmp_path, "a.json", content)))
    assert "jsonl" in error.value.hint
    assert error.value.line == content.count("\n") + 1


@pytest.mark.parametrize(
    "content, good, reason",
    [
        ("[1, 2", 2, "cut off"),
        ("[1, 2,", 2, "not JSON"),
        ("[1, 2,]", 2, "not JSON"),
        ("[1, 2, {]", 2, "not JSON"),
        ('[1, 2, "abc', 2, "not JSON: unterminated"),
        ("[1, 2 3]", 2, "expected"),
        ("[1, 2] 3", 2, "something follows the array"),
        ("[", 0, "not JSON"),
        ("[1,\n 2,\n\n  nonsense, 3]", 2, "line 4, column 3: not JSON"),
    ],
)
def test_broken_array_yields_what_comes_before_and_one_error(
    tmp_path: Path, content: str, good: int, reason: str
) -> None:
    records = read(write(tmp_path, "a.json", content))
    assert items(records) == [1, 2][:good]
    [(_, error)] = errors(records)
    assert reason in error and "the rest of the array cannot be read" in error
    assert records[-1].error is not None


@pytest.mark.parametrize(
    "element, reason",
    [
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"-Infinity", "-Infinity is not JSON"),
        (b'{"a": "caf\xe9"}', "byte 0xe9 at offset 10 of the element"),
        (b'"\xed\xa0\x80"', "byte 0xed at offset 1"),
    ],
)
def test_bad_element_names_file_line_and_reason_and_the_rest_is_read(
    tmp_path: Path, element: bytes, reason: str
) -> None:
    path = write(tmp_path, "a.json", b'["one",\n  ' + element + b',\n "three"]')
    records = read(path)
    assert items(records) == ["one", "three"]
    [(line, error)] = errors(records)
    assert line == 2 and error.startswith(f"{path}, line 2, column 3: ") and reason in error
    assert [record.position for record in records] == [1, 2, 3]


def test_element_of_5_mb_is_read_whole_and_parsed_a_few_times_only(tmp_path: Path) -> None:
    huge = {"text": "é\n" * 2_500_000, "numbers": list(range(1000))}
    path = write(tmp_path, "a.json", json.dumps([1, huge, 2], ensure_ascii=False))
    start = time.process_time()
    assert items(read(path)) == [1, huge, 2]
    assert time.process_time() - start < 5


def test_many_small_elements_take_time_in_proportion_to_their_number(tmp_path: Path) -> None:
    spent = []
    for name, count in [("few.json", 5_000), ("many.json", 50_000)]:
        path = write(tmp_path, name, "[" + "1,\n" * count + "1" + ",1" * count + "]")
        start = time.process_time()
        records = read(path)
        spent.append(time.process_time() - start)
        assert len(records) == 2 * count + 1
        assert records[-1].line == count + 1
    assert spent[1] < 40 * spent[0]  # ten times as many; in proportion to the square it would be a hundred


@pytest.mark.parametrize("value", ["1.25", "-1e+10", "1E-5", "true", '"\\ud83d\\ude00é\U0001f600"', "[1.5, {}]", "NaN"])
def test_element_may_be_cut_anywhere_between_two_reads(value: str) -> None:
    content = f"[{value}, \n {value} ]".encode()
    for pieces in [[content[:cut], content[cut:]] for cut in range(1, len(content))]:
        reader = open_reader(SourceSpec(STDIN, STDIN, "json"), stdin=io.BufferedReader(Pieces(pieces)))
        records = list(reader)
        assert [record.line for record in records] == [1, 2]
        assert all((record.error is None) == (value != "NaN") for record in records)
        if value != "NaN":
            assert [record.payload for record in records] == [value, value]


class Pieces(io.RawIOBase):
    """A stream whose reads end where the pieces do, as a pipe's."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = list(pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._pieces:
            return 0
        piece = self._pieces.pop(0)
        taken = piece[: len(buffer)]
        if piece[len(taken) :]:
            self._pieces.insert(0, piece[len(taken) :])
        buffer[: len(taken)] = taken
        return len(taken)


# Limit and ids


@pytest.mark.parametrize("name", TWO_ITEMS)
@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_limit_bounds_the_records_of_a_batch_across_resumes(tmp_path: Path, name: str, limit: int) -> None:
    path = write(tmp_path, name, TWO_ITEMS[name])
    records = read(path, limit=limit, strict_first=True)
    assert len(records) == min(limit, 2)
    if limit:
        position = Position(records[0].position, records[0].next_line, 1)
        assert len(read(path, limit=limit, position=position)) == min(limit, 2) - 1


@pytest.mark.parametrize(
    "record, item_id",
    [
        ('{"id": "a", "idea_id": "b", "custom_id": "c"}', "a"),
        ('{"custom_id": "c", "idea_id": "b"}', "b"),
        ('{"id": null, "custom_id": "c"}', "c"),
        ('{"id": 7}', 7),
        ('{"id": 0}', 0),
        ('{"id": 9223372036854775807}', 2**63 - 1),
        ('{"id": -9223372036854775808}', -(2**63)),
        ('{"id": 9223372036854775808}', "9223372036854775808"),
        ('{"id": 1.5}', "1.5"),
        ('{"id": true}', "True"),
        ('{"id": ""}', None),
        ('{"id": [1]}', None),
        ('{"id": {"id": 1}}', None),
        ('{"id": "\\ud800x"}', "\\ud800x"),
        ('{"id": "é"}', "é"),
        ('{"v": 1}', None),
        ('[{"id": 1}]', None),
        ('"id"', None),
    ],
)
def test_id_comes_from_the_record_and_can_always_be_stored(tmp_path: Path, record: str, item_id: object) -> None:
    for path in (write(tmp_path, "a.jsonl", record), write(tmp_path, "a.json", f"[{record}]")):
        [found] = read(path)
        assert found.item_id == item_id and type(found.item_id) is type(item_id)
        str(found.item_id).encode()
        assert found.payload == record


def test_id_of_a_table_is_a_string(tmp_path: Path) -> None:
    assert ids(read(write(tmp_path, "a.csv", "idea_id,v\n007,a\n,b\n"))) == ["007", None]


# Files and streams


@pytest.mark.parametrize("name", ["idea.jsonl", "ideas.json"])
def test_missing_file_is_told_with_the_nearest_name(tmp_path: Path, name: str) -> None:
    write(tmp_path, "ideas.jsonl", "1\n")
    with pytest.raises(InputError, match="no such file") as error:
        describe(str(tmp_path / name))
    assert error.value.hint == f"Did you mean {tmp_path / 'ideas.jsonl'}?"


@pytest.mark.parametrize("name", ["nowhere/ideas.jsonl", "x" * 5000 + ".jsonl", "a\0b.jsonl", "file.jsonl/ideas.jsonl"])
def test_name_that_no_file_has_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    write(tmp_path, "file.jsonl", "1\n")
    with pytest.raises(InputError, match="no such file") as error:
        describe(str(tmp_path / name))
    assert error.value.hint and "\n" not in str(error.value)


def test_folder_is_no_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        describe(str(tmp_path))


def test_file_that_has_gone_since_is_an_input_error(tmp_path: Path) -> None:
    source = describe(write(tmp_path, "a.jsonl", "1\n"))
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(InputError, match="No such file"):
        open_reader(source)


@pytest.mark.parametrize("name", TWO_ITEMS)
def test_standard_input_is_read_from_memory_and_from_a_pipe(name: str) -> None:
    source = describe(STDIN, detect_format(name, None))
    memory = io.BytesIO(TWO_ITEMS[name])
    reader = open_reader(source, stdin=memory, strict_first=True)
    expected = list(reader)
    reader.close()
    assert not memory.closed
    out, into = os.pipe()
    os.write(into, TWO_ITEMS[name])
    os.close(into)
    with os.fdopen(out, "rb") as stream:
        assert list(open_reader(source, stdin=stream, strict_first=True)) == expected
    assert items(expected) == [{"v": "1"}, {"v": "2"}]


@pytest.mark.parametrize("name", TWO_ITEMS)
def test_record_from_a_pipe_is_yielded_before_the_next_one_comes(name: str) -> None:
    content = TWO_ITEMS[name]
    cut = content.index(b"2", content.index(b"1"))  # in the middle of the second record
    out, into = os.pipe()
    os.write(into, content[:cut])
    with os.fdopen(out, "rb") as stream:
        reader = open_reader(describe(STDIN, detect_format(name, None)), stdin=stream)
        assert items([next(reader)]) == [{"v": "1"}]
        os.write(into, content[cut:])
        os.close(into)
        assert items(list(reader)) == [{"v": "2"}]


def test_standard_input_cannot_be_read_again() -> None:
    with pytest.raises(InputError, match="second time"):
        open_reader(SourceSpec(STDIN, STDIN, "jsonl"))
    with pytest.raises(InputError):
        out, into = os.pipe()
        os.close(into)
        with os.fdopen(out, "rb") as stream:
            open_reader(SourceSpec(STDIN, STDIN, "jsonl"), Position(5, 2, 1), stdin=stream)


# Reading on


LINES = {
    "a.jsonl": b'{"v": 1}\n{"v": 2}\n{"v": 3}\n',
    "a.txt": b"v1\nv2\nv3\n",
    "a.csv": b"v\n1\n2\n3\n",
    "a.tsv": b"v\n1\n2\n3\n",
    "a.json": b"[1, 2, 3]",
}


def stopped_after_two(path: str) -> tuple[SourceSpec, Position, str, list[Record]]:
    source = describe(path)
    reader = open_reader(source)
    records = [next(reader), next(reader)]
    digest = reader.digest()
    reader.close()
    return source, Position(records[1].position, records[1].next_line, 2), digest, records


@pytest.mark.parametrize("name", LINES)
def test_unchanged_input_is_read_on(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, LINES[name])
    source, position, digest, records = stopped_after_two(path)
    assert records + read(path, position=position, digest=digest) == read(path)
    assert source == describe(path)


@pytest.mark.parametrize("name", LINES)
def test_change_behind_the_position_is_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, LINES[name])
    _, position, digest, _ = stopped_after_two(path)
    write(tmp_path, name, LINES[name].replace(b"3", b"4"))
    [record] = read(path, position=position, digest=digest)
    assert "4" in record.payload


@pytest.mark.parametrize("name", LINES)
def test_change_before_the_position_raises_unless_it_is_not_verified(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, LINES[name])
    _, position, digest, _ = stopped_after_two(path)
    write(tmp_path, name, LINES[name].replace(b"1", b"9"))
    with pytest.raises(InputChanged) as error:
        read(path, position=position, digest=digest)
    assert "--ignore-changed-input" in error.value.hint
    [record] = read(path, position=position, digest=digest, verify=False)
    assert "3" in record.payload


@pytest.mark.parametrize("name", LINES)
def test_input_that_became_shorter_has_changed(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, LINES[name])
    _, position, digest, _ = stopped_after_two(path)
    short = LINES[name][: LINES[name].index(b"2")]
    write(tmp_path, name, short)
    with pytest.raises(InputChanged):
        read(path, position=position, digest=digest)


@pytest.mark.parametrize("before, after", [("[1, 23, 4]", "[12, 3, 4]"), ("[1, 2x]", "[1, 2, 3]")])
def test_array_whose_elements_moved_has_changed(tmp_path: Path, before: str, after: str) -> None:
    path = write(tmp_path, "a.json", before)
    reader = open_reader(describe(path))
    records = list(reader)[:3]
    reader.close()
    full = open_reader(describe(path))
    wanted = 2 if before.endswith("4]") else len(records)
    for _ in range(wanted):
        last = next(full)
    digest = full.digest()
    full.close()
    write(tmp_path, "a.json", after)
    with pytest.raises(InputChanged):
        read(path, position=Position(last.position, last.next_line, wanted), digest=digest)


def test_input_of_many_blocks_is_read_on_anywhere(tmp_path: Path) -> None:
    rows = [f'{{"id": {number}, "text": "{"x" * (number % 300)}"}}\n' for number in range(5000)]
    path = write(tmp_path, "a.jsonl", "".join(rows))
    assert os.path.getsize(path) > 2 * BLOCK
    reader = open_reader(describe(path))
    for number, record in enumerate(reader):
        if number % 1000 == 999:
            position = Position(record.position, record.next_line, number + 1)
            rest = read(path, position=position, digest=reader.digest())
            assert ids(rest) == list(range(number + 1, 5000))
            assert not rest or rest[0].line == number + 2
    reader.close()


def test_first_line_may_name_what_separates_cells(tmp_path: Path) -> None:
    path = write(tmp_path, "excel.csv", b"sep=;\r\nid;note\r\n1;a,b,c\r\n2;d\r\n")
    assert items(read(path)) == [{"id": "1", "note": "a,b,c"}, {"id": "2", "note": "d"}]
    assert items(read(write(tmp_path, "odd.csv", b"sep=^\nid^note\n1^x\n"))) == [{"id": "1", "note": "x"}]
    with pytest.raises(InputError, match="begins with a header"):
        read(write(tmp_path, "none.csv", b"sep=;\n"))


def test_lines_of_old_macs_are_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lone CR") as error:
        read(write(tmp_path, "mac.csv", b"id,note\r1,a\r2,b\r"))
    assert "tr " in error.value.hint


def test_quote_that_is_never_closed_says_how_much_it_has_swallowed(tmp_path: Path) -> None:
    records = read(write(tmp_path, "open.csv", b'id,note\n1,a\n2,"oops\n3,c\n4,d\n'))
    assert len(records) == 2 and "line 3: a quote that begins here is never closed" in str(records[1].error)
    assert "3 lines" in str(records[1].error)
