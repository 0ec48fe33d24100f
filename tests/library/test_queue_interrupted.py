"""A QUEUE batch that is interrupted: its task is cancelled, Ctrl-C, a callback that raises. Nothing is lost."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ledger
import pytest
import troubles
from command import ended, wait_until_gone
from durable import SECONDS, Elsewhere, Idea, Library, ideas, run
from in_memory import carrier
from waiting import wait_until

from batchq.errors import BatchHalted

pytestmark = pytest.mark.slow

ITEMS = 1000
SLOTS = 4


async def cancelled_after(library: Library, items: int, task: asyncio.Task[Any]) -> None:
    """Cancel `task` when so many items have begun, and return when the supervisor and its workers know."""
    while len(library.starts()) < items:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.to_thread(library.wait_until_told)


async def end_of(task: asyncio.Task[Any]) -> Any:
    """The error that a cancelled task ends with."""
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return carrier(caught.value)


def check_interrupted(library: Library, carried: Any) -> None:
    """What was begun is recorded, the rest waits, and `carried` tells of it."""
    notes = ledger.read(library.ledger)
    begun = {n for word, n in notes if word == "start"}
    assert begun == {n for word, n in notes if word == "end"} == set(library.outcomes())
    assert 0 < len(begun) < ITEMS
    report = carried.report
    assert (report.state, report.processed_items, report.success_count) == ("interrupted", len(begun), len(begun))
    assert [result["idea_id"] for result in carried.results] == [f"i{n}" for n in sorted(begun)]
    assert report.completed_at is None
    assert library.handle().status().state == "interrupted"
    assert library.broken_invariants() == []


def check_goes_on(library: Library) -> None:
    """The next call does the rest, and nothing twice."""
    report = library.process(ideas(ITEMS), ledger.waits, max_concurrent=20)
    assert (report.state, report.success_count) == ("completed", ITEMS)
    assert library.starts() == dict.fromkeys(range(1, ITEMS + 1), 1)
    assert {n: count for n, (count, _) in library.outcomes().items()} == dict.fromkeys(range(1, ITEMS + 1), 1)


# The caller's task is cancelled ------------------------------------------------------------------------------


def test_items_in_flight_finish_when_the_task_is_cancelled_and_the_next_call_goes_on(library: Library) -> None:
    async def main() -> Any:
        settings = {"max_concurrent": SLOTS, "workers": 2, "grace": SECONDS}
        task = asyncio.create_task(library.batch(ideas(ITEMS), ledger.held, **settings))
        await cancelled_after(library, SLOTS, task)
        Path(library.environment()["GATE"]).touch()
        return await end_of(task)

    check_interrupted(library, run(main()))
    check_goes_on(library)


def test_items_that_take_longer_than_the_grace_time_are_abandoned_and_run_again(library: Library) -> None:
    async def main() -> Any:
        settings = {"max_concurrent": SLOTS, "workers": 2, "grace": 0.2}
        task = asyncio.create_task(library.batch(ideas(6), ledger.held, **settings))
        while len(library.starts()) < SLOTS:
            await asyncio.sleep(0.01)
        task.cancel()
        began = time.monotonic()
        carried = await end_of(task)
        assert time.monotonic() - began < SECONDS / 2
        return carried

    report = run(main()).report
    assert (report.state, report.processed_items) == ("interrupted", 0)
    assert library.process(ideas(6), ledger.waits).success_count == 6
    assert library.starts() == {1: 2, 2: 2, 3: 2, 4: 2, 5: 1, 6: 1}
    assert library.handle().report().interruptions == SLOTS


def test_second_cancellation_does_not_wait_for_the_grace_time(library: Library) -> None:
    async def main() -> Any:
        task = asyncio.create_task(library.batch(ideas(6), ledger.held, max_concurrent=SLOTS, grace=2 * SECONDS))
        await cancelled_after(library, SLOTS, task)
        task.cancel()
        return await end_of(task)

    assert run(main()).report.state == "interrupted"
    assert library.process(ideas(6), ledger.waits).success_count == 6


def test_endless_iterable_is_drawn_no_further_when_the_task_is_cancelled(library: Library) -> None:
    def endless() -> Iterator[Idea]:
        for n in itertools.count(1):
            time.sleep(0.001)  # an API that is asked for one after another
            yield {"id": f"i{n}", "n": n}

    async def main() -> Any:
        library.admit(20)
        task = asyncio.create_task(library.batch(endless(), ledger.admitted, grace=SECONDS))
        while len(library.outcomes()) < 20 or library.stored() < 50:
            await asyncio.sleep(0.01)
        await cancelled_after(library, 20, task)
        library.admit(10**6)
        return await end_of(task)

    report = run(main()).report
    assert report.state == "interrupted"
    assert 0 < report.processed_items < report.total_items
    assert library.broken_invariants() == []


def test_task_that_is_cancelled_while_it_compares_the_ideas_changes_nothing(library: Library) -> None:
    assert library.process(ideas(20), troubles.square).success_count == 20

    async def main() -> None:
        compared = asyncio.Event()

        async def slow() -> Any:
            for idea in ideas(20):
                if idea["n"] == 10:
                    compared.set()
                    await asyncio.Event().wait()
                yield idea

        task = asyncio.create_task(library.batch(slow(), troubles.fails))
        await compared.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert library.process(ideas(20), troubles.fails).success_count == 20


# A callback that raises --------------------------------------------------------------------------------------


class Enough(Exception):
    """Raised by a callback."""


@pytest.mark.parametrize("error", [Enough, asyncio.CancelledError], ids=["error", "cancellation"])
def test_callback_that_raises_ends_the_batch_and_the_next_call_goes_on(
    error: type[BaseException], library: Library
) -> None:
    told: list[str] = []

    def on_result(result: Any) -> None:
        told.append(result.idea_id)
        if len(told) == 10:
            raise error

    library.admit(100)
    mended = Elsewhere(lambda: (library.wait_until_told(), library.admit(ITEMS)))
    with pytest.raises(error) as caught:
        settings = {"max_concurrent": SLOTS, "workers": 2, "grace": SECONDS}
        library.process(ideas(ITEMS), ledger.admitted, "b1", on_result, **settings)
    mended.result()
    check_interrupted(library, carrier(caught.value))
    assert len(told) == 10
    check_goes_on(library)


# Ctrl-C ------------------------------------------------------------------------------------------------------

HEAD = f"""
import asyncio, itertools, os, sys, time
import batchq, ledger, troubles
from batchq import BatchConfig, BatchProcessor

ideas = [{{"id": f"i{{n}}", "n": n}} for n in range(1, {ITEMS} + 1)]
settings = dict(max_concurrent={SLOTS}, workers=2, grace=600.0)

def slowly(ideas):
    for idea in ideas:
        time.sleep(0.005)
        yield idea

async def main():
    config = BatchConfig(mode="queue", **settings)
    await BatchProcessor(config).process_batch(ideas, ledger.admitted, "b1")
"""
CALLS = {
    "process_batch": "asyncio.run(main())",
    "run_until_complete": "asyncio.new_event_loop().run_until_complete(main())",
    "run-while-drawing": 'batchq.run(slowly(ideas), ledger.admitted, batch_id="b1", **settings)',
    "resume": 'batchq.open("b1").resume()',
    "run-in-a-running-loop": """
async def in_a_loop():
    batchq.run(ideas, ledger.admitted, batch_id="b1", **settings)
asyncio.run(in_a_loop())
""",
}


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_lets_what_is_in_flight_finish_and_ends_the_program_as_it_should(call: str, library: Library) -> None:
    if call == "resume":
        paused_before_its_items_ran(library)
    library.admit(600)  # so that what is in flight is seldom held: not every way to be interrupted waits long for it
    program = library.begin_program(HEAD + CALLS[call])
    wait_until(lambda: len(library.starts()) >= 20 or program.poll() is not None)
    program.send_signal(signal.SIGINT)
    wait_until(lambda: library.is_stopping() or program.poll() is not None)
    if program.poll() is None:
        library.wait_until_told()
    library.admit(ITEMS)
    stderr = program.communicate(timeout=120)[1]
    assert program.returncode == -signal.SIGINT, stderr
    assert "KeyboardInterrupt" in stderr and "never retrieved" not in stderr and "Warning" not in stderr
    wait_until_gone(program.pid)
    notes = ledger.read(library.ledger)
    begun = {n for word, n in notes if word == "start"}
    assert begun == {n for word, n in notes if word == "end"} == set(library.outcomes())
    assert 0 < len(begun) < ITEMS
    assert library.handle().status().state == "interrupted"
    check_goes_on(library)


@pytest.mark.parametrize("call", ["process_batch", "resume"])
def test_program_stays_for_what_is_in_flight_after_ctrl_c(call: str, library: Library) -> None:
    if call == "resume":
        paused_before_its_items_ran(library)
    program = library.begin_program(f"{HEAD}try:\n    {CALLS[call]}\nfinally:\n    open('left', 'w')")
    wait_until(lambda: len(library.starts()) == (SLOTS if call == "process_batch" else 2))
    program.send_signal(signal.SIGINT)
    library.wait_until_told()
    assert not (library.folder / "left").exists()
    library.admit(ITEMS)
    assert ended(program) == -signal.SIGINT
    assert len(library.starts()) == len(library.outcomes()) < ITEMS


def paused_before_its_items_ran(library: Library) -> None:
    """All but one."""

    async def main() -> None:
        settings = {"max_concurrent": 1, "workers": 1, "grace": SECONDS}
        task = asyncio.create_task(library.batch(ideas(ITEMS), ledger.admitted, **settings))
        while not library.starts():
            await asyncio.sleep(0.01)
        library.handle().pause()
        await asyncio.to_thread(library.wait_until_told)
        library.admit(1)
        with pytest.raises(BatchHalted, match="paused"):
            await task

    run(main())


@pytest.mark.slow
def test_second_ctrl_c_ends_a_program_whose_items_hang(library: Library) -> None:
    hangs = HEAD + 'batchq.run(ideas, ledger.held, batch_id="b1", **settings)'
    program = library.begin_program(hangs)
    wait_until(lambda: len(library.starts()) == SLOTS)

    program.send_signal(signal.SIGINT)
    wait_until(lambda: library.is_stopping())
    program.send_signal(signal.SIGINT)
    assert ended(program) == -signal.SIGINT
    wait_until_gone(program.pid)
    assert library.handle().status().state == "interrupted"
    assert library.process(ideas(ITEMS), ledger.waits, max_concurrent=20).success_count == ITEMS
    assert library.broken_invariants() == []
