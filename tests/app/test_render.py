"""Reports and results of a batch made by hand: what a program reads, and what a spreadsheet must not run."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from batches import fill, make_batch, make_records

from batchq.app import text
from batchq.app.render import NUMBER, csv_line, report_csv, report_json, results_csv, results_jsonl
from batchq.app.report import percentile
from batchq.app.stored import build_report
from batchq.app.words import shorten
from batchq.engine.failures import plain_failure
from batchq.model import FAILED, SUCCESS, Outcome
from batchq.store.connection import open_writer, transaction
from batchq.store.home import BatchFolder
from batchq.store.outcomes import OutcomeWriter
from batchq.store.reading import PAGE_ROWS, reading

ORIGINAL_FIELDS = [
    "batch_id",
    "total_items",
    "processed_items",
    "success_count",
    "failure_count",
    "total_duration",
    "avg_processing_time",
    "started_at",
    "completed_at",
    "failures",
    "config",
]


def record(database: Path, outcomes: dict[int, Any], seconds: float = 0.5) -> None:
    """Record for each seq a result, or the failure where it is an exception; in the order given."""
    made = [
        Outcome(seq, 1, 2, int(seconds * 1e6), 1_700_000_000_000, 1, *_end(value)) for seq, value in outcomes.items()
    ]
    with closing(open_writer(database)) as connection, transaction(connection):
        OutcomeWriter(connection).record(made)


def _end(value: Any) -> tuple[str | None, Any]:
    if isinstance(value, Exception):
        return None, plain_failure(type(value).__name__, str(value), str(value))
    return json.dumps(value, ensure_ascii=False), None


def rows_of(text: str) -> list[dict[str, str]]:
    """CSV as Python's own module reads it."""
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return make_batch(tmp_path, [json.dumps({"n": n}) for n in range(1, 10)])


def test_rows_come_in_the_order_of_the_input_whatever_finished_first(database: Path) -> None:
    record(database, {9: "last", 2: ValueError("no"), 5: "fifth", 1: "first"})
    with reading(database) as reader:
        assert [row.seq for row in reader.results()] == [1, 2, 5, 9]
        assert [row.seq for row in reader.results(only=FAILED)] == [2]
        assert [row.seq for row in reader.results(only=SUCCESS)] == [1, 5, 9]
        assert [json.loads(line)["id"] for line in results_jsonl(reader.results())] == [
            "item-1",
            "item-2",
            "item-5",
            "item-9",
        ]


def test_pages_join_without_a_gap_and_leave_the_log_free_to_be_emptied(tmp_path: Path) -> None:
    count = 2 * PAGE_ROWS + 7
    database = make_batch(tmp_path, ["{}"] * count)
    record(database, {seq: seq for seq in range(count, 0, -1)})
    with reading(database) as reader, closing(open_writer(database)) as writer:
        rows = reader.results()
        seen = [next(rows).seq]
        busy = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        seen += [row.seq for row in rows]
    assert busy == 0, "a reader between two rows holds up the checkpoint"
    assert seen == list(range(1, count + 1))


def test_lines_carry_the_stored_json_unchanged_and_are_strict(database: Path) -> None:
    result = {"title": 'Ä "quoted" 漢字 🙂', "zero": -0.0, "big": 2**63, "nested": [None, True, {}]}
    record(database, {1: result, 2: ValueError('say "no"\nplease\x1b'), 3: None})
    with reading(database) as reader:
        lines = list(results_jsonl(reader.results(with_input=True)))
    first, second, third = (json.loads(line, parse_constant=_refuse) for line in lines)
    assert json.dumps(result, ensure_ascii=False) in lines[0]
    assert first == {
        "seq": 1,
        "id": "item-1",
        "line": 1,
        "status": "success",
        "result": result,
        "attempts": 2,
        "duration": 0.5,
        "input": {"n": 1},
    }
    assert (second["status"], second["error_type"], second["error"]) == (
        "failed",
        "ValueError",
        'say "no"\nplease\x1b',
    )
    assert "result" not in second and third["result"] is None


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


FORMULAS = ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "-5-5", "+", "-", "=5"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_is_a_formula_unless_asked_for(database: Path, formula: str) -> None:
    record(database, {1: formula, 2: ValueError(formula)})
    fill(database, [make_records(["{}"])[0]._replace(item_id=formula)], seq=9)
    record(database, {10: [formula]})
    with reading(database) as reader:
        guarded = rows_of("".join(report_csv(reader.results()))) + rows_of("".join(results_csv(reader.results())))
        raw = rows_of("".join(results_csv(reader.results(), raw=True)))
    cells = [cell for row in guarded for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@\t\r\n\uff1d")) and not NUMBER.fullmatch(cell)]
    assert (raw[0]["result"], raw[1]["error"], raw[2]["id"]) == (formula, formula, formula)


@pytest.mark.parametrize("number", [-5, "-5", "+3", "-1.5e-3", -0.25, "a=b", "'=1", " =1"])
def test_numbers_and_harmless_texts_stay_as_they_are(database: Path, number: object) -> None:
    record(database, {1: number})
    with reading(database) as reader:
        assert rows_of("".join(report_csv(reader.results())))[0]["result"] == str(number)


def test_line_ends_quotes_and_commas_survive_a_csv_reader(database: Path) -> None:
    results = {1: "one\ntwo", 2: 'a "quoted" word, and comma', 3: "lone\rCR and\r\nCRLF", 4: "plain", 5: " ends "}
    record(database, results)
    with reading(database) as reader:
        rows = rows_of("".join(report_csv(reader.results())))
    assert [row["result"] for row in rows] == list(results.values())


def test_csv_report_begins_with_the_columns_of_the_original(database: Path) -> None:
    record(database, {1: {"title": "x" * 500}, 2: KeyError("k")})
    with reading(database) as reader:
        text = "".join(report_csv(reader.results()))
    assert text.splitlines()[0].split(",")[:6] == [
        "idea_id",
        "status",
        "processing_time",
        "attempts",
        "error",
        "result_summary",
    ]
    good, bad = rows_of(text)
    assert json.loads(good["result"]) == {"title": "x" * 500}
    assert len(good["result_summary"]) <= 100
    assert (bad["idea_id"], bad["status"], bad["attempts"], bad["error_type"]) == ("item-2", "failed", "2", "KeyError")


def test_json_report_has_the_originals_fields_first_and_its_failures_one_by_one(database: Path) -> None:
    record(database, {1: "ok", 3: ValueError("=no"), 2: ValueError("neither")})
    report = build_report(BatchFolder(database.parent))
    data = json.loads("".join(report_json(report)), parse_constant=_refuse)
    assert next(iter(data)) == "schema" and list(data)[1:12] == ORIGINAL_FIELDS
    assert [(f["idea_id"], f["error"], f["attempts"]) for f in data["failures"]] == [
        ("item-2", "neither", 2),
        ("item-3", "=no", 2),
    ]
    assert data["config"]["mode"] == "queue" and data["config"]["max_concurrent"] == 5
    assert data["started_at"].endswith("+00:00") and data["completed_at"] is None
    assert {**data, "schema": 0} == {"schema": 0, **json.loads(json.dumps(report.to_dict()))}


def test_failures_are_a_sequence_that_is_read_again_at_each_walk(database: Path) -> None:
    record(database, {2: ValueError("a"), 4: ValueError("b"), 6: ValueError("c")})
    failures = build_report(BatchFolder(database.parent)).failures
    assert len(failures) == 3
    assert [f["error"] for f in failures] == [f["error"] for f in failures] == ["a", "b", "c"]
    assert failures[0]["attempts"] == 2 and failures[-1]["seq"] == 6
    assert [f["seq"] for f in failures[1:]] == [4, 6]
    with pytest.raises(IndexError):
        failures[3]


def test_batch_of_no_items_has_every_form_of_report(tmp_path: Path) -> None:
    folder = BatchFolder(make_batch(tmp_path, []).parent)
    report = build_report(folder)
    data = json.loads("".join(report_json(report)), parse_constant=_refuse)
    assert (data["total_items"], data["avg_processing_time"], data["failures"]) == (0, 0.0, [])
    assert data["success_rate"] is None and data["latency_p50"] is None and data["speedup"] is None
    assert "0 items" in text.report_text(report)
    with reading(folder.database) as reader:
        assert len("".join(report_csv(reader.results())).splitlines()) == 1
        assert list(results_jsonl(reader.results())) == []


def test_text_report_tells_what_failed_most_with_examples_and_what_to_do(database: Path) -> None:
    record(database, {1: 1, 2: ValueError("no text"), 4: KeyError("k\x1b[31m\nline")})
    record(database, {3: ValueError("no text")})
    said = text.report_text(build_report(BatchFolder(database.parent)))
    assert "9: 1 succeeded, 3 failed, 5 to do (25% success)" in said
    failures = said[said.index("Failures") :].splitlines()
    assert failures[1].split()[:3] == ["2", "ValueError:", "no"] and "item-2, item-3" in failures[1]
    assert "\x1b" not in said
    assert "batchq resume b1" in said, "the batch is interrupted: nobody holds its lock"


def test_share_is_rounded_down_so_that_100_percent_means_all(tmp_path: Path) -> None:
    database = make_batch(tmp_path, ["{}"] * 3000)
    record(database, {seq: 1 if seq > 1 else ValueError("x") for seq in range(1, 3001)})
    assert "(99.9% success)" in text.report_text(build_report(BatchFolder(database.parent)))


def test_times_are_seconds_and_paused_time_is_never_negative(database: Path) -> None:
    record(database, {1: 1, 2: 2}, seconds=0.25)
    record(database, {3: 3}, seconds=4.0)
    report = build_report(BatchFolder(database.parent))
    assert report.avg_processing_time == pytest.approx(1.5)
    assert report.latency_p50 == pytest.approx(0.25, rel=0.1) and report.latency_p99 == pytest.approx(4.0, rel=0.1)
    assert report.wall_time >= report.paused_time >= 0


def test_percentile_of_one_item_is_that_item() -> None:
    assert percentile([(100, 1)], 0.5) == percentile([(100, 1)], 0.99)
    assert percentile([], 0.99) is None


def test_csv_line_and_short_texts() -> None:
    assert csv_line(["=1+1", -5, "-5", None, "a, b"]) == '\'=1+1,-5,-5,,"a, b"\n'
    assert shorten("one\n  two\x1b[31m three", 12) == "one two [31…"
    assert len(shorten("x" * 10_000_000)) == 100
