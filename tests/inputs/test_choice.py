"""Several files, and the choice among their records: which become items, in which order, and after a crash the same."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fuzz_inputs import Read, read_all

from batchq.errors import InputChanged, InputError, UsageError
from batchq.inputs import describe, gather, open_reader
from batchq.inputs.where import Where
from batchq.model import Position
from batchq.spec import BatchSpec, SourceSpec

PEOPLE = [
    {"id": 1, "name": "ann", "age": 31, "lang": "en", "work": {"city": "Bonn", "tags": ["a", "b"]}},
    {"id": 2, "name": "bob", "age": None, "lang": "de", "work": {"city": "Rome"}},
    {"id": 3, "name": "cy", "lang": "fr", "active": True},
    {"id": 4, "name": "ann", "age": 7, "lang": "en", "work": None},
]


@pytest.fixture
def people(tmp_path: Path) -> SourceSpec:
    path = tmp_path / "people.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in PEOPLE))
    return describe(str(path))


def numbered(folder: Path, count: int, name: str = "n.jsonl") -> SourceSpec:
    path = folder / name
    path.write_text("".join(f'{{"id": {n}, "even": {n - n % 2}}}\n' for n in range(count)))
    return describe(str(path))


def ids(records: Read) -> list[Any]:
    return [record.item_id for record in records]


def skipped(source: SourceSpec) -> dict[str, int]:
    reader = open_reader(source)
    list(reader)
    return dict(reader.skipped)


# --where


@pytest.mark.parametrize(
    "expression, wanted",
    [
        ("age > 10", [1]),
        ("age <= 31 and name == 'ann'", [1, 4]),
        ("10 < age < 40", [1]),
        ("age == null", [2, 3]),
        ("not age", [2, 3]),
        ("age != None and not age < 10", [1]),
        ("lang in ('en', 'de')", [1, 2, 4]),
        ("lang not in ['en', 'de']", [3]),
        ("'n' in name", [1, 4]),
        ("'b' in work.tags", [1]),
        ("'b' not in work.tags", [2, 3, 4]),
        ("work.city == 'Rome' or active", [2, 3]),
        ("work['city'] == 'Bonn' and work.tags[1] == 'b'", [1]),
        ("_['name'] == 'cy'", [3]),
        ("active == true", [3]),
        ("active == 1", []),
        ("id == -1 or id == 2.0", [2]),
        ("name < 5 or age > 'x'", []),
        ("null in (null, 1) and id == 3", [3]),
    ],
)
def test_where_takes_the_records_that_fulfil_it(people: SourceSpec, expression: str, wanted: list[int]) -> None:
    assert ids(read_all(replace(people, where=expression))) == wanted
    assert skipped(replace(people, where=expression)).get("where", 0) == 4 - len(wanted)


@pytest.mark.parametrize(
    "expression, column, part",
    [
        ("age >", 6, "invalid syntax"),
        ("age > 10 and name = 'x'", None, "name"),
        ("__import__('os').system('true')", 1, "__import__('os')"),
        ("name.upper() == 'X'", 1, "name.upper()"),
        ("age + 1 > 2", 1, "age + 1"),
        ("[x for x in name]", 1, "[x for x in name]"),
        ("lambda: 1", 1, "lambda: 1"),
        ("name is null", 1, "name is null"),
        ("f'{name}' == 'x'", 1, "f'{name}'"),
        ("b'x' == name", 1, "b'x'"),
        ("", None, ""),
        ("(" * 500 + "age" + ")" * 500, None, ""),
        ("not " * 5000 + "age", None, ""),
    ],
)
def test_where_that_is_no_condition_is_told_with_its_column(expression: str, column: int | None, part: str) -> None:
    with pytest.raises(UsageError, match="--where") as error:
        Where(expression)
    assert part in str(error.value) and "\n" not in str(error.value)
    assert column is None or f"column {column}" in str(error.value)


def test_cells_of_a_table_are_compared_with_numbers_as_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,price\n007,9.5\n8,12\n9,\n")
    source = describe(str(tmp_path / "a.csv"))
    assert ids(read_all(replace(source, where="price < 10"))) == ["007"]
    assert ids(read_all(replace(source, where="id == 7 or id in (9, 10)"))) == ["007", "9"]
    assert ids(read_all(replace(source, where="price == null", csv_types=True))) == [9]


@pytest.mark.parametrize(
    "choice", [{"where": "prize > 1"}, {"unique": "prize"}, {"select": ("id", "prize")}, {"id_field": "prize"}]
)
def test_column_that_a_table_does_not_have_is_named_before_anything_runs(
    tmp_path: Path, choice: dict[str, Any]
) -> None:
    (tmp_path / "a.csv").write_text("id,price\n1,2\n")
    with pytest.raises(UsageError, match=r"(?s)--.*must be a column of .*a\.csv \(id, price\), not 'prize'"):
        open_reader(replace(describe(str(tmp_path / "a.csv")), **choice), strict_first=True)


# Fields


def test_select_keeps_the_fields_asked_for_and_the_id(people: SourceSpec) -> None:
    records = read_all(replace(people, select=("name", "work.city", "nothing")))
    assert [json.loads(record.payload) for record in records] == [
        {"name": "ann", "work": {"city": "Bonn"}},
        {"name": "bob", "work": {"city": "Rome"}},
        {"name": "cy"},
        {"name": "ann"},
    ]
    assert ids(records) == [1, 2, 3, 4]


def test_select_that_cannot_write_a_number_again_fails_that_record_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1e999, "b": 1}\n{"a": "\\ud800", "b": 2}\n')
    first, second = read_all(replace(describe(str(tmp_path / "a.jsonl")), select=("a",)))
    assert first.error is not None and "line 1" in first.error
    assert second.error is None and second.payload == '{"a": "\\ud800"}'


def test_id_is_taken_from_the_field_that_is_named(people: SourceSpec) -> None:
    assert ids(read_all(replace(people, id_field="work.city"))) == ["Bonn", "Rome", None, None]


# --unique, --skip, --limit, --sample, --shuffle


def test_unique_takes_the_first_record_of_each_value_and_all_without_one(people: SourceSpec) -> None:
    assert ids(read_all(replace(people, unique="name"))) == [1, 2, 3]
    assert skipped(replace(people, unique="name")) == {"unique": 1}
    assert ids(read_all(replace(people, unique="active"))) == [1, 2, 3, 4]


def test_choices_are_made_in_the_order_that_the_help_names(tmp_path: Path) -> None:
    source = replace(numbered(tmp_path, 20), where="id >= 4", unique="even", skip=2, limit=3)
    assert ids(read_all(source)) == [8, 10, 12]


def test_sample_is_of_that_size_keeps_the_order_and_follows_from_the_seed(tmp_path: Path) -> None:
    source = replace(numbered(tmp_path, 1000), sample=50)
    first = ids(read_all(replace(source, seed=1)))
    assert len(first) == 50 and first == sorted(first) and max(first) > 500
    assert ids(read_all(replace(source, seed=1))) == first != ids(read_all(replace(source, seed=2)))
    assert skipped(source) == {"sample": 950}
    assert len(read_all(replace(source, sample=5000))) == 1000


def test_each_record_is_as_likely_as_another_to_be_in_a_sample(tmp_path: Path) -> None:
    source = replace(numbered(tmp_path, 20), sample=5)
    counts = [0] * 20
    for seed in range(400):
        for each in ids(read_all(replace(source, seed=seed))):
            counts[each] += 1
    assert min(counts) > 60 and max(counts) < 140  # 100 expected; 4.6 standard deviations


def test_shuffle_is_another_order_of_all_and_follows_from_the_seed(tmp_path: Path) -> None:
    source = replace(numbered(tmp_path, 200), shuffle=True)
    first = ids(read_all(replace(source, seed=1)))
    assert sorted(first) == list(range(200)) != first
    assert ids(read_all(replace(source, seed=1))) == first != ids(read_all(replace(source, seed=2)))
    assert ids(read_all(replace(source, seed=1, limit=7))) == first[:7]


CHOICES: list[dict[str, Any]] = [
    {"where": "id > 2"},
    {"unique": "even", "skip": 3},
    {"sample": 9, "seed": 3},
    {"shuffle": True, "seed": 3},
    {"select": ("id",), "limit": 12},
]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: "-".join(choice))
def test_reading_on_after_any_item_gives_the_rest_and_the_same_counts(tmp_path: Path, choice: dict[str, Any]) -> None:
    source = replace(numbered(tmp_path, 20), **choice)
    whole = read_all(source)
    for count in range(1, len(whole)):
        reader = open_reader(source, Position(1, 1, count), whole.digests[count - 1])
        assert [record for record in reader if record is not None] == whole[count:]
        assert dict(reader.skipped) == skipped(source)


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: "-".join(choice))
def test_item_that_has_changed_since_is_noticed(tmp_path: Path, choice: dict[str, Any]) -> None:
    source = replace(numbered(tmp_path, 20), **choice)
    whole = read_all(source)
    path = Path(source.path)
    path.write_text(path.read_text().replace(f'"id": {whole[2].item_id},', '"id": 12345,'))
    found = read_all(source, Position(1, 1, 5), whole.digests[4])
    assert isinstance(found.broke, InputChanged) and not found


def test_many_records_that_are_left_out_let_others_look_up(tmp_path: Path) -> None:
    reader = open_reader(replace(numbered(tmp_path, 5000), where="id == 4999"))
    assert [None if record is None else record.item_id for record in reader] == [None] * 4 + [4999]


# Several files


def test_files_of_several_formats_are_read_one_after_the_other_and_on(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n{"id": 2}')  # no newline at its end
    (tmp_path / "b.csv").write_text("id\n3\n")
    (tmp_path / "c.json").write_text('[{"id": 4}, nonsense')
    source = gather([str(tmp_path / name) for name in ("c.json", "a.jsonl", "b.csv")])
    whole = read_all(source)
    assert ids(whole) == [4, None, 1, 2, "3"]
    assert str(whole[1].error).startswith(str(tmp_path / "c.json"))
    for count in range(1, 5):
        last = whole[count - 1]
        assert list(read_all(source, Position(last.position, 1, count), whole.digests[count - 1])) == whole[count:]


def test_pattern_is_read_in_the_order_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.jsonl", "a.jsonl", "deep/c.jsonl", "[x].jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'{{"id": "{name}"}}\n')
    monkeypatch.chdir(tmp_path)
    assert ids(read_all(gather(["[ab].jsonl", "**/c.jsonl"]))) == ["a.jsonl", "b.jsonl", "deep/c.jsonl"]
    assert ids(read_all(gather(["[x].jsonl"]))) == ["[x].jsonl"]  # there is a file of that name
    with pytest.raises(InputError, match="matches no file"):
        gather(["nothing*.csv"])
    with pytest.raises(InputError, match="same file"):
        gather(["a.jsonl", "*.jsonl"])
    with pytest.raises(InputError, match="beside files"):
        gather(["-", "a.jsonl"])


def test_file_that_cannot_be_read_is_found_before_anything_runs(tmp_path: Path) -> None:
    numbered(tmp_path, 3)
    (tmp_path / "z.csv").write_text("")
    source = gather([str(tmp_path / "n.jsonl"), str(tmp_path / "z.csv")])
    with pytest.raises(InputError, match=r"z\.csv: is empty"):
        open_reader(source, strict_first=True)


def test_all_that_was_asked_for_is_stored_with_the_batch(tmp_path: Path) -> None:
    numbered(tmp_path, 3)
    numbered(tmp_path, 3, "m.jsonl")
    source = replace(
        gather([str(tmp_path / "*.jsonl")]),
        where="id > 1",
        select=("id",),
        unique="id",
        sample=2,
        encoding="latin-1",
    )
    spec = BatchSpec("f:g", "/", "/", "python", source)
    assert BatchSpec.from_json(spec.to_json()) == spec


def test_batch_of_an_earlier_release_is_read_as_it_was() -> None:
    source = {"path": "/a.csv", "name": "a.csv", "format": "csv"}
    stored = json.dumps({"target": "f:g", "folder": "/", "cwd": "/", "python": "p", "source": source})
    found = BatchSpec.from_json(stored).source
    assert found.is_plain and found.max_item_size is None and found.encoding == "utf-8"


# Where it is easy to be wrong


def test_nothing_is_no_value_that_two_records_could_share(tmp_path: Path) -> None:
    path = tmp_path / "mails.csv"
    path.write_text("id,mail\n1,\n2,a\n3,\n4,a\n5,\n")
    assert ids(read_all(replace(describe(str(path)), unique="mail"))) == ["1", "2", "3", "5"]


def test_field_that_no_record_has_is_told(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": 1, "lang": "en"}\n{"id": 2}\n')
    source = replace(describe(str(path)), where="lang == 'en' or lnag", unique="id", select=("id", "nme"))
    with closing(open_reader(source)) as reader:
        assert len(list(reader)) == 1
    assert sorted(reader.unseen) == [("--select", "nme"), ("--where", "lnag")]


@pytest.mark.parametrize("expression, found", [("n == 9007199254740993", 1), ("n > 1e15", 2), ("n == 'inf'", 1)])
def test_cells_are_compared_digit_by_digit(tmp_path: Path, expression: str, found: int) -> None:
    path = tmp_path / "in.csv"
    path.write_text("n\n9007199254740993\n9007199254740992\ninf\n1_0\n")
    assert len(read_all(replace(describe(str(path)), where=expression))) == found


def test_same_file_by_another_name_is_refused(tmp_path: Path) -> None:
    numbered(tmp_path, 3)
    (tmp_path / "link.jsonl").symlink_to("n.jsonl")
    with pytest.raises(InputError, match=r"link\.jsonl: is the same file as"):
        gather([str(tmp_path / "n.jsonl"), str(tmp_path / "link.jsonl")])


@pytest.mark.parametrize("first", ["0,", "0,vv", "10000,v"])
def test_changed_input_is_read_on_by_records_and_not_by_bytes(tmp_path: Path, first: str) -> None:
    path = tmp_path / "a.csv"
    lines = [f"{n},v" for n in range(20)]
    path.write_text("id,k\n" + "\n".join(lines) + "\n")
    begun = read_all(replace(describe(str(path)), limit=10))
    path.write_text("id,k\n" + "\n".join([first, *lines[1:]]) + "\n")
    last = begun[-1]
    position = Position(last.position, last.next_line, 10)
    with pytest.raises(InputChanged):
        open_reader(describe(str(path)), position, begun.digests[-1])
    with closing(open_reader(describe(str(path)), position, begun.digests[-1], verify=False)) as reader:
        rest = list(reader)
    assert [record and record.item_id for record in rest] == [str(n) for n in range(10, 20)]


def test_record_that_cannot_be_cut_to_its_fields_names_its_file(tmp_path: Path) -> None:
    numbered(tmp_path, 2, "a.jsonl")
    (tmp_path / "b.jsonl").write_text('{"id": 3}\n{"id": 1e999}\n')
    records = read_all(replace(gather([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]), select=("id",)))
    assert str(records[-1].error).startswith(f"{tmp_path / 'b.jsonl'}, line 2:")
