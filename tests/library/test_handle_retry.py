"""`BatchHandle.retry`: failed items run again in the same batch; what succeeded never does."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import troubles
from command import ended
from durable import Elsewhere, Library, ideas
from waiting import wait_until

from batchq.errors import BatchBusy, ConfigError


def open_gate(library: Library) -> None:
    """Mend what makes the items fail."""
    Path(library.environment()["GATE"]).touch()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Batch b1 of 30 items: ten have failed after two attempts each, five of a reset, five of a timeout."""
    library = Library(tmp_path_factory.mktemp("original"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LEDGER", "GATE"):
            patch.setenv(name, library.environment()[name])
        report = library.process(ideas(30), troubles.fails_until_mended, retry_attempts=2)
    assert (report.success_count, report.failure_count) == (20, 10)
    return library


@pytest.fixture
def failed(original: Library, library: Library) -> Library:
    """A copy of it."""
    shutil.copytree(original.home, library.home)
    return library


def test_retry_runs_the_failed_items_again_and_none_that_succeeded(failed: Library) -> None:
    open_gate(failed)
    report = failed.handle().retry()
    assert (report.state, report.success_count, report.failure_count) == ("completed", 30, 0)
    assert failed.starts() == dict.fromkeys(range(3, 31, 3), 1)
    assert [each["result"] for each in report.results] == list(range(1, 31))
    assert list(report.failures) == []
    assert failed.broken_invariants() == []
    status = failed.handle().status()
    assert (status.tally.success, status.tally.failed, status.groups) == (30, 0, ())


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [
        ({"error": "no answer for (6|12)$"}, [6, 12]),
        ({"items": ["i9", "i30", "i1", "nobody"]}, [9, 30]),
        ({"items": {"i9", "i30"}, "error": "TimeoutError"}, [30]),
        ({"items": ["#9", "#10", "i30"]}, [9, 30]),
        ({"error": "something else"}, []),
    ],
    ids=["regex", "items", "both", "places", "none"],
)
def test_retry_runs_what_is_chosen_and_leaves_the_rest_failed(
    chosen: dict[str, Any], numbers: Any, failed: Library
) -> None:
    open_gate(failed)
    report = failed.handle().retry(**chosen)
    assert failed.starts() == dict.fromkeys(numbers, 1)
    assert (report.state, report.failure_count) == ("completed", 10 - len(numbers))
    left = sorted(set(range(3, 31, 3)) - set(numbers))
    assert [failure["idea_id"] for failure in report.failures] == [f"i{n}" for n in left]
    assert failed.broken_invariants() == []


def test_retry_that_fails_again_counts_its_own_attempts_and_keeps_the_history(failed: Library) -> None:
    before = failed.handle().report()
    report = failed.handle().retry()
    assert failed.starts() == dict.fromkeys(range(3, 31, 3), 2)
    assert (report.success_count, report.failure_count) == (20, 10)
    assert {failure["attempts"] for failure in report.failures} == {2}, "of this run"
    assert report.attempts == before.attempts + 20
    groups = {group["error_type"]: (group["failed"], group["attempts"]) for group in report.failure_groups}
    assert groups == {"ConnectionError": (5, 20), "TimeoutError": (5, 20)}
    open_gate(failed)
    mended = failed.handle().retry()
    assert (mended.success_count, mended.attempts) == (30, report.attempts + 10)
    groups = {group["error_type"]: (group["failed"], group["attempts"]) for group in mended.failure_groups}
    assert groups == {"ConnectionError": (0, 20), "TimeoutError": (0, 20)}
    rows = dict(failed.content())
    runs = [(run, number) for _, seq, run, number, *_ in rows["attempts"] if seq == 3]
    assert runs == [(1, 1), (1, 2), (2, 1), (2, 2)], "the attempts of both failed runs are kept"
    assert sum(items for _, items in rows["latency"]) == 30, "one duration for each item"
    assert failed.broken_invariants() == []


def test_key_of_an_item_that_is_retried_is_another_one_for_each_run(library: Library) -> None:
    def handler(item: Any, ctx: Any) -> str:
        if not os.path.exists(os.environ["GATE"]):
            raise ValueError(ctx.idempotency_key)
        return str(ctx.idempotency_key)

    report = library.process(ideas(2), handler, retry_attempts=3)
    first = [failure["error"] for failure in report.failures]
    open_gate(library)
    again = [each["result"] for each in library.handle().retry().results]
    assert again == [f"{key}:r2" for key in first]
    assert re.fullmatch(r"[0-9a-f-]{36}:1", first[0])


def test_error_that_is_no_regular_expression_is_refused_and_nothing_runs(failed: Library) -> None:
    before = failed.content()
    with pytest.raises(ConfigError, match="regular expression"):
        failed.handle().retry(error="(")
    assert failed.content() == before


def test_retry_while_the_batch_runs_is_done_by_its_own_supervisor(library: Library) -> None:
    """Eight items have failed, and the four slots are busy."""
    batch = Elsewhere(lambda: library.process(ideas(60), troubles.third_fails_until_mended, max_concurrent=4))
    wait_until(lambda: library.database.exists() and library.handle().status().tally.done == 22)
    wait_until(lambda: sum(library.starts().values()) == 14 + 4)  # a free slot would run the eight again, in vain
    assert library.handle().status().tally.failed == 8
    with pytest.raises(BatchBusy):
        library.handle().retry()
    assert library.handle().status().tally.failed == 0
    open_gate(library)
    report = batch.result()
    assert (report.state, report.success_count) == ("completed", 60)
    assert library.broken_invariants() == []


def test_command_line_and_handle_see_the_same_batch(failed: Library) -> None:
    open_gate(failed)
    failed.handle().retry()
    process = failed.begin("status", "b1")
    assert ended(process) == 0
    shown = failed.run("results", "b1", "--only", "failed")
    assert (shown.returncode, shown.stdout) == (0, "")
