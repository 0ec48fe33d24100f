"""`batchq.open`: a batch that runs elsewhere, or ran yesterday: its status, pause, resume, cancel, retry, results."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import ledger
import pytest
import troubles
from command import ended, wait_until_gone
from durable import Elsewhere, Library, ideas, run
from waiting import wait_until

import batchq
from batchq.errors import BatchBusy, BatchHalted, BatchNotFound, ConfigError, UsageError

ITEMS = 600
SLOTS = 4


def running(library: Library, items: int = ITEMS, function: Callable[..., Any] = ledger.held) -> Elsewhere:
    """Batch b1, which runs in another thread; its items end when the gate is opened."""
    batch = Elsewhere(lambda: library.process(ideas(items), function, max_concurrent=SLOTS, workers=2))
    wait_until(lambda: len(library.starts()) >= SLOTS)
    return batch


def open_gate(library: Library) -> None:
    """Let handlers end; they take no time then."""
    Path(library.environment()["GATE"]).touch()


def report_of_halted(batch: Elsewhere, state: str) -> Any:
    """Whoever called `process_batch` hears that it has stopped, and gets the report all the same."""
    with pytest.raises(BatchHalted, match=f"'b1' stopped: it is {state}") as caught:
        batch.result()
    return caught.value.report  # type: ignore[attr-defined]


def stopped(library: Library, batch: Elsewhere, state: str) -> set[int]:
    """Open the gate, and wait for the end of a batch that was told to stop; the items that ran.

    What was begun is recorded, and nothing more began, but what workers had taken already.
    """
    open_gate(library)
    report = report_of_halted(batch, state)
    notes = ledger.read(library.ledger)
    begun = {n for word, n in notes if word == "start"}
    assert begun == {n for word, n in notes if word == "end"} == set(library.outcomes())
    assert SLOTS <= len(begun) < ITEMS / 2
    assert (report.state, report.processed_items, report.total_items) == (state, len(begun), ITEMS)
    status = library.handle().status()
    assert (status.state, status.holder, status.tally.done) == (state, None, len(begun))
    assert library.broken_invariants() == []
    return begun


# Status ------------------------------------------------------------------------------------------------------


def test_status_follows_a_batch_that_another_thread_runs(library: Library) -> None:
    batch = running(library, items=10)
    handle = library.handle()
    now = handle.status()
    assert (now.state, now.tally.done) == ("running", 0)
    assert now.holder is not None and f"process {os.getpid()}," in now.holder
    assert now.ended_at is None and now.to_dict()["completed_at"] is None
    open_gate(library)
    batch.result()
    then = handle.status()
    assert (then.state, then.tally.success, then.holder) == ("completed", 10, None)
    assert then.to_dict()["completed_at"].endswith("+00:00")
    assert "b1" in repr(handle)


def test_unknown_id_is_not_found_and_a_near_one_is_named(library: Library) -> None:
    library.process(ideas(1), troubles.square, "titles-2026")
    with pytest.raises(BatchNotFound, match="no batch 'title-2026'") as caught:
        library.handle("title-2026")
    assert caught.value.hint == "Did you mean titles-2026?"
    with pytest.raises(BatchNotFound) as caught:
        library.handle("something else")
    assert "batchq status" in caught.value.hint
    assert library.handle("titles-2026").batch_id == "titles-2026"


def test_home_is_that_of_the_environment_unless_one_is_given(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    library.process(ideas(1), troubles.square)
    monkeypatch.setenv("BATCHQ_HOME", str(library.home))
    assert batchq.open("b1").status().state == "completed"
    monkeypatch.setenv("BATCHQ_HOME", str(library.folder / "other"))
    with pytest.raises(BatchNotFound):
        batchq.open("b1")
    assert batchq.open("b1", library.home).batch_id == "b1"


# Pause and resume --------------------------------------------------------------------------------------------


def test_paused_batch_begins_nothing_more_and_ends_its_supervisor(library: Library) -> None:
    batch = running(library)
    assert library.handle().pause() == "pausing"
    ran = stopped(library, batch, "paused")
    assert library.handle().pause() == "paused", "twice is once"
    report = library.handle().resume()
    assert (report.state, report.success_count) == ("completed", ITEMS)
    assert library.starts() == dict.fromkeys(range(1, ITEMS + 1), 1)
    assert ran < set(library.starts())
    assert library.broken_invariants() == []


def test_items_in_flight_finish_however_long_they_take_when_a_batch_is_paused(library: Library) -> None:
    batch = running(library)
    assert library.handle().pause() == "pausing"
    assert library.handle().pause() == "pausing"
    assert library.handle().status().state == "pausing"
    assert "end" not in dict(ledger.read(library.ledger))
    stopped(library, batch, "paused")


def test_batch_is_paused_from_another_process_and_goes_on_by_the_same_call(library: Library) -> None:
    batch = running(library)
    done = library.program('import batchq\nprint(batchq.open("b1").pause())')
    assert (done.returncode, done.stdout) == (0, "pausing\n"), done.stderr
    stopped(library, batch, "paused")
    assert library.process(ideas(ITEMS), ledger.held, max_concurrent=20).state == "completed"
    assert library.starts() == dict.fromkeys(range(1, ITEMS + 1), 1)


def test_resume_of_a_batch_that_is_just_pausing_lets_its_own_supervisor_go_on(library: Library) -> None:
    batch = running(library, items=20)
    with pytest.raises(BatchBusy, match=f"process {os.getpid()}"):
        library.handle().resume()
    library.handle().pause()
    assert library.handle().resume().state in ("filling", "running")
    open_gate(library)
    assert batch.result().state == "completed"
    assert library.starts() == dict.fromkeys(range(1, 21), 1)


def test_verbs_on_a_completed_batch_change_nothing(library: Library) -> None:
    library.process(ideas(5), troubles.square)
    before = library.content()
    handle = library.handle()
    assert handle.pause() == handle.cancel() == "completed"
    assert handle.resume().state == "completed"
    assert handle.retry().success_count == 5
    assert library.content() == before
    assert library.starts() == dict.fromkeys(range(1, 6), 1)


def test_interrupted_batch_goes_on_in_another_program_by_its_handle(library: Library) -> None:
    async def interrupted() -> None:
        task = asyncio.create_task(library.batch(ideas(ITEMS), ledger.held, max_concurrent=SLOTS))
        while len(library.starts()) < SLOTS or not library.handle().status().input_done:
            await asyncio.sleep(0.01)
        task.cancel()
        while not library.is_stopping():
            await asyncio.sleep(0.01)
        open_gate(library)
        await asyncio.wait([task])

    run(interrupted())
    assert library.handle().status().state == "interrupted"
    program = library.begin_program('import batchq\nprint(batchq.open("b1").resume().success_count)')
    assert program.communicate(timeout=60) == (f"{ITEMS}\n", "")
    wait_until_gone(program.pid)
    assert library.starts() == dict.fromkeys(range(1, ITEMS + 1), 1)


def test_rest_of_a_slow_iterable_is_stored_before_the_batch_is_paused_so_that_anybody_can_go_on(
    library: Library,
) -> None:
    async def slow() -> AsyncIterator[Any]:
        for idea in ideas(60):
            await asyncio.sleep(0.01)
            yield idea

    batch = Elsewhere(lambda: library.process(slow(), ledger.waits, max_concurrent=SLOTS))
    wait_until(lambda: len(library.outcomes()) >= 3)
    library.handle().pause()
    report = report_of_halted(batch, "paused")
    assert (report.state, report.total_items) == ("paused", 60)
    assert report.processed_items < 60
    assert library.handle().resume().success_count == 60
    assert library.starts() == dict.fromkeys(range(1, 61), 1)


def test_resume_shows_no_bar_where_there_is_no_terminal(library: Library, capfd: pytest.CaptureFixture[str]) -> None:
    batch = running(library)
    library.handle().pause()
    stopped(library, batch, "paused")
    assert library.handle().resume(progress=True).success_count == ITEMS
    assert capfd.readouterr() == ("", "")


# Cancel ------------------------------------------------------------------------------------------------------


def test_rest_of_a_cancelled_batch_never_runs(library: Library) -> None:
    batch = running(library)
    assert library.handle().cancel() == "cancelling"
    ran = stopped(library, batch, "cancelled")
    handle = library.handle()
    assert handle.cancel() == handle.pause() == "cancelled"
    assert handle.resume().state == "cancelled"
    with pytest.raises(BatchHalted, match="cancelled"):
        library.process(ideas(ITEMS), ledger.held)
    with pytest.raises(UsageError, match="cancelled") as caught:
        handle.retry()
    assert "new batch" in caught.value.hint
    assert set(library.starts()) == ran
    assert handle.report().completed_at is not None


def test_batch_that_nobody_runs_is_cancelled_at_once(library: Library) -> None:
    batch = running(library)
    library.handle().pause()
    stopped(library, batch, "paused")
    assert library.handle().cancel() == "cancelled"
    assert library.handle().resume().state == "cancelled"


def test_batch_whose_iterable_never_ends_can_be_cancelled(library: Library) -> None:
    def endless() -> Iterator[Any]:
        for n in itertools.count(1):
            time.sleep(0.001)  # an API that is asked for one after another
            yield {"id": f"i{n}", "n": n}

    batch = Elsewhere(lambda: library.process(endless(), ledger.waits, max_concurrent=SLOTS))
    wait_until(lambda: len(library.outcomes()) >= 20)
    library.handle().cancel()
    assert report_of_halted(batch, "cancelled").state == "cancelled"
    assert set(library.starts()) == set(library.outcomes())
    assert library.broken_invariants() == []


# Results and report ------------------------------------------------------------------------------------------


def test_results_are_read_while_they_are_walked_in_the_order_of_the_input(library: Library) -> None:
    library.process(ideas(1200), troubles.fails_until_mended, retry_attempts=1, max_concurrent=50)
    handle = library.handle()
    results = handle.results()
    assert iter(results) is iter(results)
    first = list(islice(results, 3))
    assert [each["idea_id"] for each in first] == ["i1", "i2", "i3"]
    assert (first[0]["status"], first[0]["result"]) == ("success", 1)
    assert (first[2]["status"], first[2]["error"], first[2]["error_type"]) == (
        "failed",
        "reset by peer",
        "ConnectionError",
    )
    assert [each["seq"] for each in results] == list(range(4, 1201))
    assert [each["seq"] for each in handle.results("failed")] == list(range(3, 1201, 3))
    assert sum(1 for _ in handle.results(only="success")) == 800
    report = handle.report()
    assert (report.success_count, report.failure_count, len(report.failures)) == (800, 400, 400)


def test_results_of_a_batch_that_runs_are_those_so_far(library: Library) -> None:
    batch = running(library, function=troubles.held_from_21)
    wait_until(lambda: len(library.outcomes()) == 20)
    assert [each["result"] for each in library.handle().results()] == [n * n for n in range(1, 21)]
    report = library.handle().report()
    assert (report.state, report.processed_items, report.completed_at) == ("running", 20, None)
    open_gate(library)
    batch.result()
    assert len(list(library.handle().results())) == ITEMS


# Retry -------------------------------------------------------------------------------------------------------


@pytest.fixture
def failed(library: Library) -> Library:
    """Batch b1 of 30 items: ten have failed after two attempts each, five of a reset, five of a timeout."""
    library.process(ideas(30), troubles.fails_until_mended, retry_attempts=2)
    assert library.handle().report().failure_count == 10
    library.ledger.unlink()
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
        ({"error": "^ConnectionError: reset"}, range(3, 31, 6)),
        ({"error": "no answer for (6|12)$"}, [6, 12]),
        ({"items": ["i9", "i30", "i1", "nobody"]}, [9, 30]),
        ({"items": {"i9", "i30"}, "error": "TimeoutError"}, [30]),
        ({"error": "something else"}, []),
    ],
    ids=["error", "regex", "items", "both", "none"],
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
    batch = Elsewhere(
        lambda: library.process(ideas(ITEMS), troubles.third_fails_until_mended, max_concurrent=SLOTS, workers=2)
    )
    wait_until(lambda: library.database.exists() and library.handle().status().tally.failed >= 3)
    open_gate(library)
    with pytest.raises(BatchBusy):
        library.handle().retry()
    report = batch.result()
    assert (report.state, report.success_count) == ("completed", ITEMS)
    assert library.broken_invariants() == []


def test_command_line_and_handle_see_the_same_batch(failed: Library) -> None:
    open_gate(failed)
    failed.handle().retry()
    process = failed.begin("status", "b1")
    assert ended(process) == 0
    shown = failed.run("results", "b1", "--only", "failed")
    assert (shown.returncode, shown.stdout) == (0, "")
