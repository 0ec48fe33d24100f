"""Outcomes of a QUEUE batch as they come: callbacks and streams, of this run and of earlier ones."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import ledger
import pytest
import troubles
from durable import SECONDS, Library, ideas, run

from batchq import BatchProcessor, BatchResult
from batchq.errors import BatchHalted, InputChanged

pytestmark = pytest.mark.slow


def told_of(library: Library, count: int, function: Any = troubles.square, **settings: Any) -> list[BatchResult]:
    """What the callback of a batch is told."""
    told: list[BatchResult] = []
    library.process(ideas(count), function, "b1", told.append, **settings)
    return told


def test_callback_is_told_of_each_item_once_in_the_thread_of_the_caller(library: Library) -> None:
    threads: set[int] = set()
    told: list[BatchResult] = []

    def on_result(result: BatchResult) -> None:
        threads.add(threading.get_ident())
        told.append(result)

    library.process(ideas(200), troubles.square, "b1", on_result)
    assert threads == {threading.get_ident()}
    assert sorted(result.seq for result in told) == list(range(1, 201))
    first = min(told, key=lambda result: result.seq)
    assert (first.idea_id, first.status, first.result, first.attempts) == ("i1", "success", 1, 1)
    assert (first.error, first.error_type) == (None, None)


def test_callback_is_told_how_an_item_failed(library: Library) -> None:
    failed = [result for result in told_of(library, 3, troubles.succeeds_at_last) if result.status == "failed"]
    assert [(each.idea_id, each.error, each.error_type) for each in failed] == [
        ("i3", "reset by peer", "ConnectionError")
    ]
    assert (failed[0].result, failed[0].attempts) == (None, 3)


def test_callback_is_told_while_the_batch_runs(library: Library) -> None:
    """The second item waits for what the callback does at the first."""
    Path(library.environment()["GATE"]).unlink(missing_ok=True)

    def on_result(result: BatchResult) -> None:
        Path(library.environment()["GATE"]).touch()

    report = library.process(ideas(3), troubles.first_opens_the_gate, "b1", on_result, max_concurrent=2)
    assert report.success_count == 3


MANY = 1000


def test_callback_is_told_of_an_earlier_run_too_and_of_everything_once(library: Library) -> None:
    async def interrupted() -> None:
        library.admit(100)
        task = asyncio.create_task(library.batch(ideas(MANY), ledger.admitted, max_concurrent=3, grace=SECONDS))
        while len(library.outcomes()) < 10:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.to_thread(library.wait_until_told)
        library.admit(MANY)
        await asyncio.wait([task])

    run(interrupted())
    assert 10 <= len(library.outcomes()) < MANY
    for _ in range(2):  # the rest of it; and of one that has ended
        told = told_of(library, MANY, ledger.waits)
        assert sorted(result.seq for result in told) == list(range(1, MANY + 1))
    assert library.starts() == dict.fromkeys(range(1, MANY + 1), 1)


def test_callback_of_a_completed_batch_that_raises_is_heard_and_harms_nothing(library: Library) -> None:
    told_of(library, 10)

    def on_result(result: BatchResult) -> None:
        raise LookupError

    with pytest.raises(LookupError) as caught:
        library.process(ideas(10), troubles.square, "b1", on_result)
    assert caught.value.report.success_count == 10  # type: ignore[attr-defined]
    assert library.handle().status().state == "completed"


# Streams -----------------------------------------------------------------------------------------------------


def stream(library: Library, items: Any, function: Any = troubles.square, **settings: Any) -> Any:
    """The stream of a batch."""
    return BatchProcessor(library.config(**settings)).stream(items, function, "b1")


def test_stream_yields_each_result_once(library: Library) -> None:
    async def main() -> list[BatchResult]:
        return [result async for result in stream(library, ideas(700))]

    for _ in range(2):  # this run's; and of one that has ended
        assert sorted(result.result for result in run(main())) == [n * n for n in range(1, 701)]
    assert library.starts() == dict.fromkeys(range(1, 701), 1)


def test_stream_yields_while_the_batch_runs(library: Library) -> None:
    async def main() -> int:
        count = 0
        async for _ in stream(library, ideas(3), troubles.first_opens_the_gate, max_concurrent=2):
            Path(library.environment()["GATE"]).touch()
            count += 1
        return count

    assert run(main()) == 3


def test_consumer_who_is_slow_misses_nothing_and_does_not_hold_up_a_durable_batch(library: Library) -> None:
    async def main() -> list[int]:
        seqs = []
        async for result in stream(library, ideas(3500), max_concurrent=50):
            while not seqs and library.handle().status().state != "completed":
                await asyncio.sleep(0.01)
            seqs.append(result.seq)
        return seqs

    assert sorted(run(main())) == list(range(1, 3501))


def test_leaving_a_stream_early_interrupts_the_batch_and_the_next_one_has_everything(library: Library) -> None:
    async def leave() -> None:
        library.admit(100)
        results = stream(library, ideas(400), ledger.admitted, max_concurrent=4, grace=SECONDS)
        async for _ in results:
            break
        told = asyncio.create_task(asyncio.to_thread(library.wait_until_told))
        told.add_done_callback(lambda _: library.admit(400))
        await results.aclose()
        assert library.handle().status().state == "interrupted"

    async def all_of_it() -> list[int]:
        return [result.seq async for result in stream(library, ideas(400), ledger.waits, max_concurrent=20)]

    run(leave())
    assert 0 < len(library.outcomes()) < 400
    assert sorted(run(all_of_it())) == list(range(1, 401))
    assert library.starts() == dict.fromkeys(range(1, 401), 1)


def test_stream_raises_what_the_batch_raises(library: Library) -> None:
    told_of(library, 5)

    async def main() -> None:
        async for _ in stream(library, ideas(6)):
            raise AssertionError("a result of other ideas")

    with pytest.raises(InputChanged):
        run(main())


def test_batch_that_no_worker_can_run_is_halted_with_the_reason(library: Library) -> None:
    """The function can be pickled here, and not made again there."""
    with pytest.raises(BatchHalted, match=r"b1.*stopped: .*cannot be loaded: RuntimeError: not here") as caught:
        library.process(ideas(5), troubles.OnlyHere().method)
    assert caught.value.exit_code == 3 and "b1" in caught.value.hint
    assert caught.value.report.state == "failed"  # type: ignore[attr-defined]
    assert (len(caught.value.results), library.stored()) == (0, 5)  # type: ignore[attr-defined]
    assert library.process(ideas(5), troubles.square).success_count == 5
