"""The same batch id once more: after the end, with other ideas, after a crash, and while it runs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import ledger
import pytest
import troubles
from command import ended, kill, members, wait_until_gone
from durable import Idea, Library, ideas, run
from in_memory import carrier, results
from waiting import wait_until

from batchq.errors import BatchBusy, BatchHalted, InputChanged, UsageError

pytestmark = pytest.mark.slow

SLOTS = 8
ITEMS = 150
PROGRAM = f"""
import os, time
import batchq, ledger

def ideas():
    for n in range(1, {ITEMS} + 1):
        while n == int(os.environ.get("STOPS_AT", 0)) and not os.path.exists("more"):
            time.sleep(0.01)
        yield {{"id": f"i{{n}}", "n": n}}

report = batchq.run(ideas(), ledger.admitted, batch_id="b1", max_concurrent={SLOTS}, workers=2, chunk_size=7)
print(report.state, report.success_count, report.total_items)
"""


# After the end -----------------------------------------------------------------------------------------------


def test_completed_batch_returns_its_report_and_runs_nothing(library: Library) -> None:
    first = library.process(ideas(40), troubles.succeeds_at_last)
    before = library.content()
    for again in (ideas(40), iter(ideas(40))):
        second = library.process(again, troubles.fails, max_concurrent=3, retry_attempts=1)
        assert (second.state, second.success_count, second.failure_count) == ("completed", 39, 1)
        assert results(second) == results(first)
        assert second.failures == first.failures
        assert (second.started_at, second.completed_at) == (first.started_at, first.completed_at)
        assert second.config == first.config, "it tells how the batch ran, not how it was asked for today"
    assert library.content() == before
    assert library.starts() == dict.fromkeys(range(1, 41), 3)


def test_cancelled_batch_tells_so_and_runs_nothing(library: Library) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(library.batch(ideas(300), ledger.held))
        while not library.starts():
            await asyncio.sleep(0.01)
        library.handle().cancel()
        await asyncio.to_thread(library.wait_until_told)
        library.admit(300)
        with pytest.raises(BatchHalted, match="it is cancelled"):
            await task

    run(cancelled())
    ran = library.starts()
    with pytest.raises(BatchHalted, match="it was cancelled") as caught:
        library.process(ideas(300), ledger.held)
    report = caught.value.report  # type: ignore[attr-defined]
    assert (report.state, report.processed_items) == ("cancelled", len(ran))
    assert library.starts() == ran
    assert 0 < len(ran) < 300


OTHERS: dict[str, Callable[[list[Idea]], list[Idea]]] = {
    "first": lambda items: [{**items[0], "n": 99}, *items[1:]],
    "last": lambda items: [*items[:-1], {**items[-1], "n": 99}],
    "fewer": lambda items: items[:-1],
    "more": lambda items: [*items, {"id": "more", "n": 99}],
    "order": lambda items: items[::-1],
    "none": lambda items: [],
}


@pytest.mark.parametrize("completed", [True, False], ids=["completed", "unfinished"])
def test_other_ideas_under_the_id_of_a_batch_are_refused_and_nothing_is_touched(
    completed: bool, library: Library
) -> None:
    if completed:
        library.process(ideas(30), troubles.square)
    else:
        interrupt(library, ideas(30))
    before = library.content()
    for name, change in OTHERS.items():
        with pytest.raises(InputChanged, match="not the ones that the batch of that id began with") as caught:
            library.process(change(ideas(30)), troubles.fails)
        assert "batch_id" in caught.value.hint, name
        assert library.content() == before, name
    report = library.process(ideas(30), troubles.square)
    assert (report.state, report.success_count) == ("completed", 30)
    assert library.starts() == dict.fromkeys(range(1, 31), 1)


def interrupt(library: Library, items: list[Idea]) -> None:
    """Begin a batch, store all items, and let its task be cancelled before any has an outcome."""

    async def begin() -> None:
        task = asyncio.create_task(library.batch(items, ledger.held, max_concurrent=2, workers=2, grace=0.0))
        while not (library.starts() and library.handle().status().input_done):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert carrier(caught.value).report.processed_items == 0

    run(begin())
    library.ledger.unlink()


def test_unfinished_batch_goes_on_with_the_function_and_the_settings_of_today(library: Library) -> None:
    interrupt(library, ideas(30))
    bonus = 1000
    report = library.process(ideas(30), lambda item: item["n"] + bonus, max_concurrent=7, retry_attempts=1)
    assert results(report) == list(range(1001, 1031))
    assert (report.config["max_concurrent"], report.config["retry_attempts"]) == (7, 1)


def test_batch_that_reads_a_file_is_no_batch_of_ideas(library: Library) -> None:
    library.write_input(3)
    assert ended(library.start("waits", "-q")) == 0
    before = library.content()
    with pytest.raises(InputChanged, match=r"input\.jsonl.*not ideas of a program"):
        library.process(ideas(3), troubles.square)
    assert library.content() == before


@pytest.mark.parametrize("left", [[], ["batch.new", "lock"]], ids=["folder", "files"])
def test_id_whose_making_was_cut_short_can_be_used(left: list[str], library: Library) -> None:
    """The program was killed between making the folder and making the file."""
    folder = library.home / "b1"
    folder.mkdir(parents=True)
    for name in left:
        (folder / name).write_bytes(b"half")
    assert library.process(ideas(3), troubles.square).success_count == 3


# After a crash -----------------------------------------------------------------------------------------------


class Killed:
    """A program that was killed in the middle, and what must hold when it has run again.

    Args:
        library: where.
        items: items that are recorded when it is killed, at least; as many more may be, and there it halts.
        whole: its workers are killed with it.
    """

    def __init__(self, library: Library, items: int, whole: bool = False, **environment: str) -> None:
        self._library = library
        library.admit(2 * items)
        process = library.begin_program(PROGRAM, **environment)
        wait_until(lambda: len(library.outcomes()) >= items or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        kill(members(process.pid)[: None if whole else 1])
        library.admit(ITEMS)
        assert ended(process) == -signal.SIGKILL
        wait_until_gone(process.pid)
        self._cut_short = set(library.starts()) - set(library.outcomes())
        assert whole or not self._cut_short, "workers that live on finish what is in flight"

    def check_completed(self) -> None:
        library = self._library
        assert library.outcomes() == {n: (1, n * n) for n in range(1, ITEMS + 1)}
        assert library.broken_invariants() == []
        assert library.handle().status().state == "completed"
        assert library.starts() == {n: 2 if n in self._cut_short else 1 for n in range(1, ITEMS + 1)}


@pytest.mark.parametrize(
    ("stops_at", "whole"),
    [(0, False), (0, True), (90, True)],
    ids=["alone", "with-its-workers", "half-stored"],
)
def test_program_that_is_killed_and_run_again_loses_nothing_and_repeats_nothing_that_is_recorded(
    stops_at: int, whole: bool, library: Library
) -> None:
    killed = Killed(library, 40, whole, STOPS_AT=str(stops_at))
    (library.folder / "more").touch()
    done = library.program(PROGRAM)
    assert (done.returncode, done.stdout) == (0, f"completed {ITEMS} {ITEMS}\n"), done.stderr
    killed.check_completed()


def test_program_that_is_run_again_while_its_orphans_still_work_waits_for_them(library: Library) -> None:
    first = library.begin_program(PROGRAM)
    wait_until(lambda: len(library.starts()) == SLOTS)
    kill(members(first.pid)[:1])
    second = library.begin_program(PROGRAM)
    wait_until(lambda: library.handle().status().holder is not None)
    library.admit(ITEMS)
    assert second.communicate(timeout=120)[0] == f"completed {ITEMS} {ITEMS}\n"
    ended(first)
    assert library.starts() == dict.fromkeys(range(1, ITEMS + 1), 1)
    assert all(count == 1 for count, _ in library.outcomes().values())


@pytest.mark.parametrize("point", ["filling:1", "before-commit:1", "claimed:2"])
def test_program_that_is_killed_at_the_worst_moment_goes_on(point: str, library: Library, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    library.admit(ITEMS)
    done = library.program(PROGRAM, BATCHQ_PROBE=point, BATCHQ_PROBE_WITNESS=str(witness))
    assert witness.exists(), "the kill did not happen"
    if point == "filling:1":
        assert done.returncode == -signal.SIGKILL
        assert library.stored() == 0
        done = library.program(PROGRAM)
    assert (done.returncode, done.stdout) == (0, f"completed {ITEMS} {ITEMS}\n"), done.stderr
    assert library.outcomes() == {n: (1, n * n) for n in range(1, ITEMS + 1)}
    assert library.broken_invariants() == []


def test_ideas_that_only_the_killed_program_knows_are_asked_of_it(library: Library) -> None:
    killed = Killed(library, 40, STOPS_AT="90")
    refused = library.run("resume", "b1")
    assert refused.returncode == 2
    assert "run that again with the same batch_id" in refused.stderr and "--input-ended" in refused.stderr
    with pytest.raises(UsageError, match="known only to the program that began it"):
        library.handle().resume()
    (library.folder / "more").touch()
    assert library.program(PROGRAM).returncode == 0
    killed.check_completed()


def test_batch_that_another_program_has_gone_on_with_meanwhile_is_left_to_that(library: Library) -> None:
    """The second one begins to compare when 20 items are stored, and ends when 40 are."""

    async def first(count: int) -> None:
        async def some() -> AsyncIterator[Idea]:
            for idea in ideas(count):
                yield idea
            while len(library.outcomes()) < count:
                await asyncio.sleep(0.01)
            raise OSError

        with pytest.raises(OSError, match=r"^$"):
            await library.batch(some(), troubles.square)

    async def second() -> None:
        async def all_of_them() -> AsyncIterator[Idea]:
            for idea in ideas(50):
                if idea["n"] == 10:
                    await first(40)
                yield idea

        with pytest.raises(InputChanged, match="another program has gone on") as caught:
            await library.batch(all_of_them(), troubles.square)
        assert "again" in caught.value.hint

    run(first(20))
    run(second())
    assert library.stored() == 40
    assert library.process(ideas(50), troubles.square).success_count == 50
    assert library.outcomes() == {n: (1, n * n) for n in range(1, 51)}
    assert library.broken_invariants() == []


# While it runs -----------------------------------------------------------------------------------------------


def test_second_program_on_one_id_is_refused_at_once_and_told_who_runs_it(library: Library) -> None:
    first = library.begin_program(PROGRAM)
    wait_until(lambda: len(library.starts()) >= SLOTS)
    drawn: list[int] = []
    items = ({"id": f"i{n}", "n": drawn.append(n) or n} for n in range(1, ITEMS + 1))
    with pytest.raises(BatchBusy, match=f"'b1' is already running: process {first.pid}, since ") as caught:
        library.process(items, ledger.held)
    assert caught.value.exit_code == 75
    assert not drawn, "refused before the ideas are drawn"
    with pytest.raises(BatchBusy):
        library.handle().resume()
    assert first.poll() is None
    library.admit(ITEMS)
    assert first.communicate(timeout=120)[0] == f"completed {ITEMS} {ITEMS}\n"
    assert library.starts() == dict.fromkeys(range(1, ITEMS + 1), 1)


def test_two_programs_that_begin_at_once_on_a_new_id_run_each_item_once(library: Library) -> None:
    both = [library.begin_program(PROGRAM, STOPS_AT="1") for _ in range(2)]
    library.admit(ITEMS)
    (library.folder / "more").touch()
    said = [process.communicate(timeout=120) for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes[0] == 0, said
    if codes[1] != 0:
        loser = next(said[index][1] for index in range(2) if both[index].returncode)
        assert "BatchBusy" in loser
    assert library.starts() == dict.fromkeys(range(1, ITEMS + 1), 1)
    assert library.outcomes() == {n: (1, n * n) for n in range(1, ITEMS + 1)}


def test_two_tasks_of_one_program_on_one_id_run_each_item_once(library: Library) -> None:
    async def both() -> list[Any]:
        tasks = [asyncio.create_task(library.batch(ideas(60), ledger.held, workers=2)) for _ in range(2)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        library.admit(60)
        return await asyncio.gather(*tasks, return_exceptions=True)

    ends = run(both())
    reports = [end for end in ends if not isinstance(end, BaseException)]
    assert [report.success_count for report in reports] == [60], ends
    assert [type(end) for end in ends if isinstance(end, BaseException)] == [BatchBusy]
    assert library.starts() == dict.fromkeys(range(1, 61), 1)
