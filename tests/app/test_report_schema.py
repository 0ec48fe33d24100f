"""The JSON of a report is what its published schema says, in every state of a batch, and stays within one moment."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from batches import fill, make_batch, make_records
from earlier import make_earlier
from reported import make_reported, set_state

from batchq import BatchConfig, BatchProcessor
from batchq.app.merged import merge
from batchq.app.parts import Part
from batchq.app.render import report_json, report_schema
from batchq.app.report_generator import ReportGenerator
from batchq.app.report_html import report_html
from batchq.app.stored import build_report
from batchq.engine.failures import plain_failure
from batchq.model import Outcome
from batchq.spec import SourceSpec
from batchq.store.batch import BatchStore
from batchq.store.connection import open_writer, transaction
from batchq.store.home import BatchFolder
from batchq.store.outcomes import OutcomeWriter
from batchq.store.repair import repair
from batchq.store.rerun import rerun

SCHEMA: dict[str, Any] = json.loads(report_schema())


def strict(schema: Any) -> Any:
    """The schema with no room for a field that it does not explain."""
    if isinstance(schema, dict):
        made = {key: strict(value) for key, value in schema.items()}
        return made | {"additionalProperties": False} if "properties" in made and "required" in made else made
    return [strict(each) for each in schema] if isinstance(schema, list) else schema


def check(data: dict[str, Any]) -> dict[str, Any]:
    jsonschema.Draft202012Validator(strict(SCHEMA), format_checker=jsonschema.FormatChecker()).validate(data)
    return data


def report_of(database: Path) -> dict[str, Any]:
    return check(json.loads("".join(report_json(build_report(BatchFolder(database.parent))))))


def test_the_schema_is_one_and_asks_for_the_originals_fields() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    said = [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors({})]
    for field in ("batch_id", "total_items", "success_count", "failure_count", "total_duration", "failures", "config"):
        assert any(f"'{field}' is a required property" in each for each in said)


@pytest.mark.parametrize("state", ["completed", "paused", "cancelled", "failed", "running", "queued", "pausing"])
def test_report_of_a_batch_in_this_state_is_valid(tmp_path: Path, state: str) -> None:
    database = make_reported(tmp_path, 300)
    set_state(database, state, "because" if state == "failed" else None)
    data = report_of(database)
    shown = {"running": "interrupted", "pausing": "paused"}.get(state, state)
    assert (data["state"], data["total_items"]) == (shown, 300)


def test_report_of_no_items_of_an_expired_batch_and_of_one_in_memory_is_valid(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty = report_of(make_batch(tmp_path / "empty", []))
    assert (empty["attempts_needed"], empty["workers"], empty["latency_histogram"]) == ([], [], [])
    (tmp_path / "late").mkdir()
    late = make_batch(tmp_path / "late", ["1"], deadline=1000.0)
    set_state(late, "cancelled")
    assert report_of(late)["state"] == "expired"
    processor = BatchProcessor(BatchConfig(retry_attempts=1))
    in_memory = asyncio.run(processor.process_batch([{"n": 1}, {}], lambda idea: idea["n"]))
    check(json.loads(ReportGenerator().to_json(in_memory)))


def test_report_on_several_batches_is_valid_and_adds_up(tmp_path: Path) -> None:
    reports, parts = [], []
    for number, items in enumerate((100, 300, 200), 1):
        (tmp_path / f"b{number}").mkdir()
        reports.append(build_report(BatchFolder(make_reported(tmp_path / f"b{number}", items, seed=number).parent)))
        parts.append(Part(f"b{number}", SourceSpec("/in", "in", "jsonl", 100, shard=f"{number}/4")))
    merged = merge(parts, reports)
    data = check(json.loads("".join(report_json(merged))))
    assert (data["total_items"], data["troubles"]) == (600, ["shard 4/4 is missing"])
    assert sum(each["items"] for each in data["latency_histogram"]) == data["processed_items"]
    assert sum(each["success"] + each["failed"] for each in data["attempts_needed"]) == data["processed_items"]
    recorded = sum(each["success"] + each["failed"] for report in reports for each in report.throughput["counts"])
    assert sum(each["success"] + each["failed"] for each in data["throughput"]["counts"]) == recorded
    assert min(report.latency_p50 for report in reports) <= data["latency_p50"] <= data["latency_p99"]
    assert sum(group["failed"] for group in data["failure_groups"]) == data["failure_count"] == len(data["failures"])
    one = reports[0].total_duration
    assert one <= data["total_duration"] < 1.2 * one, "they worked at the same time"
    assert merged.failures[-1]["batch_id"] == reports[-1].batch_id
    assert [dict(each) for each in merged.failures[3:9:2]] == data["failures"][3:9:2]
    html = "".join(report_html(merged))
    assert "shard 4/4 is missing" in html and "Batches" in html


def test_counts_of_attempts_workers_and_time_add_up_to_the_items(tmp_path: Path) -> None:
    data = report_of(make_reported(tmp_path, 900))
    done = data["processed_items"]
    assert done == 900 == data["success_count"] + data["failure_count"]
    assert sum(each["success"] + each["failed"] for each in data["attempts_needed"]) == done
    assert sum(each["success"] for each in data["attempts_needed"] if each["attempts"] > 1) == data["recovered"] > 0
    assert sum(each["items"] for each in data["workers"]) == done and data["worker_count"] == len(data["workers"])
    assert sum(each["share"] for each in data["workers"]) == pytest.approx(1, abs=1e-4)
    busy = sum(each["busy_seconds"] for each in data["workers"])
    assert busy / done == pytest.approx(data["avg_processing_time"], rel=1e-4)
    assert sum(each["items"] for each in data["latency_histogram"]) == done
    seen = data["throughput"]
    assert sum(each["failed"] for each in seen["counts"]) == data["failure_count"]
    assert len(seen["worked"]) == 3, "the pause and the night are no part of it"
    assert all(group["first"] <= group["last"] for group in data["failure_groups"])


def test_retry_and_repair_keep_the_counts_true(tmp_path: Path) -> None:
    database = make_reported(tmp_path, 400)
    before = report_of(database)
    assert rerun(database, "normal", lambda row: True) == before["failure_count"] > 0
    after = report_of(database)
    assert after["failure_count"] == 0 and after["attempts_needed"] == [
        {**each, "failed": 0} for each in before["attempts_needed"] if each["success"]
    ]
    assert after["workers"] == before["workers"], "what a worker has done stays done"
    with closing(BatchStore(database)) as store:
        assert store.check() == []
        store.connection.execute("UPDATE tries SET success = success + 1")
        assert store.check() != []
    assert repair(database, "normal", 50) == []
    assert report_of(database)["attempts_needed"] == after["attempts_needed"]


def test_report_of_a_file_of_an_earlier_batchq_leaves_out_what_that_did_not_count(tmp_path: Path) -> None:
    database = make_reported(tmp_path, 50)
    make_earlier(database)
    assert report_of(database)["attempts_needed"] == []
    open_writer(database).close()
    data = report_of(database)
    assert sum(each["success"] + each["failed"] for each in data["attempts_needed"]) == 50
    assert sum(each["items"] for each in data["workers"]) == 50


def test_all_counts_are_of_one_moment_and_no_failure_is_listed_that_is_not_counted(tmp_path: Path) -> None:
    database = make_batch(tmp_path, ["{}"] * 20)
    failed = plain_failure("ValueError", "no", "no")
    with closing(open_writer(database)) as connection:
        writer = OutcomeWriter(connection)
        with transaction(connection):
            writer.record([Outcome(seq, 1, 1, 1000, 0, 1, None, failed) for seq in range(5, 10)])
        report = build_report(BatchFolder(tmp_path))
        with transaction(connection):
            writer.record([Outcome(seq, 1, 1, 1000, 0, 1, None, failed) for seq in range(11, 20)])
    data = check(json.loads("".join(report_json(report))))
    assert data["failure_count"] == len(data["failures"]) == 5


def test_a_snapshot_does_not_see_what_is_recorded_meanwhile(tmp_path: Path) -> None:
    from batchq.store.reading import reading

    database = make_batch(tmp_path, ["1", "2"])
    with closing(open_writer(database)) as connection, reading(database) as reader:
        with reader.snapshot():
            before = reader.tally()
            with transaction(connection):
                OutcomeWriter(connection).record([Outcome(1, 1, 1, 1000, 0, 1, "1", None)])
            assert (reader.tally(), reader.tries(), reader.latency()) == (before, [], [])
        assert reader.tally().success == 1 and len(reader.tries()) == 1


def test_items_that_could_not_be_read_needed_no_attempt(tmp_path: Path) -> None:
    database = make_batch(tmp_path, ["1"])
    fill(database, [make_records(["2"])[0]._replace(error="bad")], seq=1)
    data = report_of(database)
    assert data["attempts_needed"] == [{"attempts": 0, "success": 0, "failed": 1}]
    assert [(each["session"], each["worker"]) for each in data["workers"]] == [(0, 0)]
