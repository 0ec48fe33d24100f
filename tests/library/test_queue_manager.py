"""`QueueManager`, in memory and in a file alike: chunks, progress, processing, pause."""

from __future__ import annotations

import asyncio
import doctest
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from batchq.app import queue_manager
from batchq.app.queue_manager import QueueManager
from batchq.config import QueueConfig, QueueStatus
from batchq.errors import ConfigError, UsageError
from batchq.store import pending

Maker = Callable[..., QueueManager]
IDEAS = [{"id": f"idea-{number}"} for number in range(50)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue_state.json"


@pytest.fixture
def stored(path: Path) -> Iterator[Maker]:
    """Makes managers on one file."""
    with ExitStack() as later:

        def make(**settings: Any) -> QueueManager:
            config = QueueConfig(enable_persistence=True, persistence_path=str(path), **settings)
            return later.enter_context(closing(QueueManager(config)))

        yield make


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, stored: Maker) -> Maker:
    """Makes managers of either kind."""
    if request.param == "file":
        return stored
    return lambda **settings: QueueManager(QueueConfig(**settings))


async def upper(chunk: list[str], max_concurrent: int) -> list[str]:
    return [item.upper() for item in chunk]


class TestChunksAndProgress:
    def test_chunk_of_10_from_50_leaves_40(self, make: Maker) -> None:
        manager = make(chunk_size=10)
        manager.add_items(IDEAS)
        chunk = manager.get_next_chunk()
        assert chunk == IDEAS[:10] == manager.current_chunk
        assert len(manager.queue) == 40

    def test_progress_before_during_and_after_a_chunk(self, make: Maker) -> None:
        manager = make(chunk_size=10)
        manager.add_items(IDEAS)
        assert manager.get_progress() == {
            "total_items": 50,
            "processed_count": 0,
            "remaining_count": 50,
            "current_chunk_size": 0,
            "progress_percentage": 0.0,
            "status": "pending",
        }
        chunk = manager.get_next_chunk()
        during = manager.get_progress()
        assert (during["remaining_count"], during["current_chunk_size"], during["processed_count"]) == (40, 10, 0)
        manager.mark_chunk_processed([{"idea_id": idea["id"], "status": "success"} for idea in chunk])
        after = manager.get_progress()
        assert (after["remaining_count"], after["current_chunk_size"], after["processed_count"]) == (40, 0, 10)
        assert after["progress_percentage"] == 20.0
        assert len(manager.processed) == manager.processed_count == 10

    def test_progress_of_no_items_is_zero_percent(self, make: Maker) -> None:
        progress = make().get_progress()
        assert progress["progress_percentage"] == 0.0
        assert isinstance(progress["progress_percentage"], float)

    def test_new_queue_is_complete_and_pending_and_has_nothing_to_hand_out(self, make: Maker) -> None:
        manager = make()
        assert manager.is_complete() and manager.status is QueueStatus.PENDING
        assert manager.get_next_chunk() == [] == manager.current_chunk
        manager.mark_chunk_processed([])
        assert asyncio.run(manager.process_queue(upper)) == []

    def test_queue_is_complete_when_its_last_chunk_is_marked(self, make: Maker) -> None:
        manager = make(chunk_size=2)
        manager.add_items(["a", "b", "c"])
        manager.get_next_chunk()
        manager.mark_chunk_processed(["A", "B"])
        assert not manager.is_complete()
        assert manager.get_next_chunk() == ["c"]
        assert not manager.is_complete()
        manager.mark_chunk_processed(["C"])
        assert manager.is_complete() and manager.status is QueueStatus.COMPLETED
        manager.add_items(["d"])
        assert not manager.is_complete() and manager.status is QueueStatus.PENDING

    def test_items_beyond_the_bound_are_refused_and_none_is_added(self, make: Maker) -> None:
        manager = make(max_queue_size=3)
        manager.add_items(["a", "b"])
        with pytest.raises(ValueError, match="at most 3") as error:
            manager.add_items(["c", "d"])
        assert isinstance(error.value, ConfigError)
        assert (len(manager.queue), manager.total_items) == (2, 2)
        manager.get_next_chunk()
        manager.add_items(["c", "d", "e"])
        assert (len(manager.queue), manager.total_items) == (3, 5)

    def test_chunk_size_of_zero_is_refused_whenever_it_is_set(self, make: Maker) -> None:
        with pytest.raises(ConfigError, match="chunk size"):
            QueueConfig(chunk_size=0)
        manager = make()
        manager.add_items(["a"])
        manager.config.chunk_size = 0
        with pytest.raises(ConfigError, match="chunk size"):
            manager.get_next_chunk()
        with pytest.raises(ConfigError, match="chunk size"):
            asyncio.run(manager.process_queue(upper))

    def test_items_in_memory_stay_the_very_objects_that_were_added(self) -> None:
        items = [object(), lambda: None, {1, 2}]
        manager = QueueManager()
        manager.add_items(items)
        assert all(got is added for got, added in zip(manager.get_next_chunk(), items, strict=True))

    def test_any_number_of_results_is_kept_and_every_item_of_the_chunk_counts(self, make: Maker) -> None:
        manager = make(chunk_size=2)
        manager.add_items(range(6))
        for results in ([1], [], [4, 5, 6, None]):
            manager.get_next_chunk()
            manager.mark_chunk_processed(results)
        assert manager.processed == [1, 4, 5, 6, None]
        assert manager.processed_count == 6 and manager.is_complete()
        if manager.config.enable_persistence:
            again = QueueManager(manager.config)
            assert again.load_state() and again.processed == [1, 4, 5, 6, None] and again.processed_count == 6

    def test_results_that_are_no_list_are_refused_and_the_chunk_stays_in_flight(self, make: Maker) -> None:
        manager = make()
        manager.add_items(["a"])
        manager.get_next_chunk()
        for results in (None, "text", {"a": 1}):
            with pytest.raises(ConfigError, match="results must be a list"):
                manager.mark_chunk_processed(results)  # type: ignore[arg-type]
        assert manager.current_chunk == ["a"] and manager.processed_count == 0

    def test_chunk_that_is_marked_twice_counts_once(self, make: Maker) -> None:
        manager = make()
        manager.add_items(["a"])
        chunk = manager.get_next_chunk()
        manager.mark_chunk_processed(["A"])
        for again in (None, chunk):
            with pytest.raises(UsageError, match="no such chunk is in flight"):
                manager.mark_chunk_processed(["A"], again)
        assert manager.processed == ["A"] and manager.processed_count == 1

    def test_several_chunks_in_flight_are_marked_by_name_or_the_last_one_first(self, make: Maker) -> None:
        manager = make(chunk_size=1)
        manager.add_items(["a", "b", "c"])
        first, second, third = (manager.get_next_chunk() for _ in range(3))
        manager.mark_chunk_processed(["A"], first)
        assert manager.current_chunk is third
        manager.mark_chunk_processed(["C"])
        assert manager.current_chunk is second and not manager.is_complete()
        manager.mark_chunk_processed(["B"])
        assert manager.is_complete() and manager.processed == ["A", "C", "B"]

    @pytest.mark.parametrize(
        "kind, items", [("memory", 1_000_000), pytest.param("file", 100_000, marks=pytest.mark.slow)]
    )
    def test_many_items_pass_in_chunks(self, kind: str, items: int, stored: Maker) -> None:
        settings = {"chunk_size": 100, "max_queue_size": 1_000_000}
        manager = stored(**settings) if kind == "file" else QueueManager(QueueConfig(**settings))

        async def same(chunk: list[int], max_concurrent: int) -> list[int]:
            return chunk

        manager.add_items(range(items))
        assert asyncio.run(manager.process_queue(same)) == list(range(items))


class TestProcessing:
    def test_async_and_sync_functions_get_each_chunk_and_the_concurrency(self, make: Maker) -> None:
        calls: list[tuple[list[str], int]] = []

        def note(chunk: list[str], max_concurrent: int) -> list[str]:
            calls.append((list(chunk), max_concurrent))
            return [item.upper() for item in chunk]

        async def note_async(chunk: list[str], max_concurrent: int) -> list[str]:
            return note(chunk, max_concurrent)

        class Noting:
            async def __call__(self, chunk: list[str], max_concurrent: int) -> list[str]:
                return note(chunk, max_concurrent)

        functions = [note, note_async, Noting(), partial(note_async), lambda chunk, limit: note_async(chunk, limit)]
        manager = make(chunk_size=2)
        for number, function in enumerate(functions, 1):
            manager.add_items(["a", "b", "c"])
            assert asyncio.run(manager.process_queue(function, max_concurrent=7)) == ["A", "B", "C"] * number
            assert manager.status is QueueStatus.COMPLETED
        assert calls == [(["a", "b"], 7), (["c"], 7)] * len(functions)

    def test_sync_function_leaves_the_event_loop_free(self, make: Maker) -> None:
        turned = threading.Event()

        def wait_for_the_loop(chunk: list[str], max_concurrent: int) -> list[bool]:
            return [turned.wait(30)]

        async def run() -> list[Any]:
            processing = asyncio.create_task(manager.process_queue(wait_for_the_loop))
            await asyncio.sleep(0)
            turned.set()
            return await processing

        manager = make()
        manager.add_items(["a"])
        assert asyncio.run(run()) == [True]

    def test_pause_holds_the_next_chunk_back_until_resume(self, make: Maker) -> None:
        async def pause_at_first(chunk: list[str], max_concurrent: int) -> list[str]:
            if chunk == ["a"]:
                manager.pause()
                paused.set()
            return chunk

        async def run() -> list[Any]:
            processing = asyncio.create_task(manager.process_queue(pause_at_first))
            await paused.wait()
            for _ in range(100):
                await asyncio.sleep(0)
            assert manager.get_progress()["processed_count"] == 1
            assert manager.status is QueueStatus.PAUSED and len(manager.queue) == 2
            # From another thread, as a user interface would.
            await asyncio.to_thread(manager.resume)
            return await processing

        paused = asyncio.Event()
        manager = make(chunk_size=1)
        manager.add_items(["a", "b", "c"])
        assert asyncio.run(run()) == ["a", "b", "c"]
        assert manager.status is QueueStatus.COMPLETED

    def test_pause_in_the_last_chunk_holds_nothing_back(self, make: Maker) -> None:
        async def pause(chunk: list[str], max_concurrent: int) -> list[str]:
            manager.pause()
            return chunk

        manager = make()
        for _ in range(2):
            manager.add_items(["a"])
            asyncio.run(asyncio.wait_for(manager.process_queue(pause), 30))
            assert manager.status is QueueStatus.COMPLETED and manager.is_complete()
        manager.pause()
        asyncio.run(asyncio.wait_for(manager.process_queue(pause), 30))

    def test_pause_before_the_start_holds_the_first_chunk_back(self, make: Maker) -> None:
        async def run() -> list[Any]:
            processing = asyncio.create_task(manager.process_queue(upper))
            for _ in range(100):
                await asyncio.sleep(0)
            assert manager.processed_count == 0 and manager.status is QueueStatus.PAUSED
            manager.resume()
            return await processing

        manager = make()
        manager.pause()
        manager.add_items(["a"])
        assert asyncio.run(run()) == ["A"]

    def test_chunk_whose_function_fails_runs_again_first_at_the_next_call(self, make: Maker) -> None:
        async def fail_at_c(chunk: list[str], max_concurrent: int) -> list[str]:
            if "c" in chunk:
                chunk.clear()  # The list is the function's own.
                raise RuntimeError("no c today")
            return chunk

        manager = make(chunk_size=2)
        manager.add_items("abcdef")
        with pytest.raises(RuntimeError, match="no c today"):
            asyncio.run(manager.process_queue(fail_at_c))
        assert manager.status is QueueStatus.FAILED
        assert manager.processed == ["a", "b"] and len(manager.queue) == 4 and manager.current_chunk == []
        assert asyncio.run(manager.process_queue(upper)) == ["a", "b", "C", "D", "E", "F"]

    def test_chunk_of_a_cancelled_call_runs_again_first_at_the_next_call(self, make: Maker) -> None:
        async def run() -> None:
            begun = asyncio.Event()

            async def hang(chunk: list[str], max_concurrent: int) -> list[str]:
                begun.set()
                await asyncio.Event().wait()
                return chunk

            processing = asyncio.create_task(manager.process_queue(hang))
            await begun.wait()
            processing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await processing

        manager = make(chunk_size=2)
        manager.add_items("abc")
        asyncio.run(run())
        assert manager.status is QueueStatus.PENDING and len(manager.queue) == 3
        assert asyncio.run(manager.process_queue(upper)) == ["A", "B", "C"]

    def test_two_calls_at_once_share_the_chunks(self, make: Maker) -> None:
        async def slow(chunk: list[str], max_concurrent: int) -> list[str]:
            await asyncio.sleep(0)
            return [item.upper() for item in chunk]

        async def run() -> None:
            await asyncio.gather(manager.process_queue(slow), manager.process_queue(slow))

        manager = make(chunk_size=1)
        manager.add_items("abcdefgh")
        asyncio.run(run())
        assert sorted(manager.processed) == list("ABCDEFGH") and manager.is_complete()

    def test_concurrency_of_zero_is_refused(self, make: Maker) -> None:
        manager = make()
        manager.add_items(["a"])
        with pytest.raises(ConfigError, match="max_concurrent"):
            asyncio.run(manager.process_queue(upper, 0))
        assert len(manager.queue) == 1

    def test_signal_handler_may_pause_and_resume_in_the_midst_of_anything(self, make: Maker) -> None:
        manager = make(chunk_size=2)
        signals = iter(range(1_000_000))

        def toggle(*_: object) -> None:
            (manager.resume if next(signals) % 2 else manager.pause)()
            if again:  # one after the other: where this takes longer than the pause between two, all else would starve
                signal.setitimer(signal.ITIMER_REAL, 0.0005)

        again = True
        before = signal.signal(signal.SIGALRM, toggle)
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        try:
            for _ in range(300):
                manager.add_items(["a", "b"])
                manager.mark_chunk_processed(manager.get_next_chunk())
        finally:
            again = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert next(signals) > 0
        assert manager.processed_count == manager.total_items == 600


@pytest.mark.parametrize("module", [queue_manager, pending])
def test_examples_of_the_docstrings_hold(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0
