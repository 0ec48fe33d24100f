"""`batchq.open`: a batch that runs elsewhere, or ran yesterday: its status, pause, resume, cancel, retry, results."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import ledger
import pytest
import troubles
from command import wait_until_gone
from durable import SECONDS, Elsewhere, Library, ideas, run
from waiting import wait_until

import batchq
from batchq.errors import BatchBusy, BatchHalted, BatchNotFound, UsageError

pytestmark = pytest.mark.slow

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
    """Open the gate when its workers know, and wait for the end of a batch that was told to stop; the items that ran.

    What was begun is recorded, and nothing more began, but what workers had taken already.
    """
    library.wait_until_told()
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
        task = asyncio.create_task(library.batch(ideas(ITEMS), ledger.held, max_concurrent=SLOTS, grace=SECONDS))
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
    assert program.communicate(timeout=120) == (f"{ITEMS}\n", "")
    wait_until_gone(program.pid)
    assert library.starts() == dict.fromkeys(range(1, ITEMS + 1), 1)


def test_rest_of_a_slow_iterable_is_stored_before_the_batch_is_paused_so_that_anybody_can_go_on(
    library: Library,
) -> None:
    async def slow() -> AsyncIterator[Any]:
        for idea in ideas(60):
            while idea["n"] > 20 and not told.is_set():
                await asyncio.sleep(0.01)
            yield idea

    told = threading.Event()

    library.admit(3)
    batch = Elsewhere(lambda: library.process(slow(), ledger.admitted, max_concurrent=SLOTS))
    wait_until(lambda: len(library.outcomes()) == 3)
    library.handle().pause()
    told.set()
    library.wait_until_told()
    library.admit(60)
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
