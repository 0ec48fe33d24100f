"""What QUEUE mode draws its items from: streams of any length, slow ones, and those that go wrong on the way."""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from typing import Any

import ledger
import pytest
import troubles
from durable import SECONDS, Idea, Library, ideas, run
from in_memory import carrier, results, statuses
from waiting import wait_until

from batchq import BatchProcessor, BatchReport
from batchq.errors import InputError

pytestmark = pytest.mark.slow

DRAWN_BYTES = 40 * 1024 * 1024
KEPT_BYTES = 30 * 1024 * 1024


class Source:
    """An iterable and an async iterable over the same items, which knows how far it was drawn.

    Args:
        items: what it yields.
        before: called before each item with the items drawn so far; what it returns is awaited, or called until true.
    """

    def __init__(self, items: Any, before: Callable[[int], Any] = lambda drawn: True) -> None:
        self._items = items
        self._before = before
        self.drawn = 0
        self.threads: set[int] = set()
        self.closed = False

    def plain(self) -> Iterator[Idea]:
        """As a generator."""
        for item in self._items:
            wait_until(lambda: self._before(self.drawn), SECONDS / 2)
            self._note()
            yield item

    async def streamed(self) -> AsyncIterator[Idea]:
        """As an async generator."""
        try:
            for item in self._items:
                while not self._before(self.drawn):
                    await asyncio.sleep(0.01)
                self._note()
                yield item
        finally:
            self.closed = True

    def _note(self) -> None:
        self.drawn += 1
        self.threads.add(threading.get_ident())


either_source = pytest.mark.parametrize("kind", ["plain", "streamed"])


@either_source
def test_first_items_run_before_the_next_is_drawn(kind: str, library: Library) -> None:
    """Each item is there only when the one before has run."""
    source = Source(ideas(6), lambda drawn: drawn < 2 or len(library.starts()) >= drawn - 1)
    report = library.process(getattr(source, kind)(), troubles.square)
    assert results(report) == [1, 4, 9, 16, 25, 36]
    assert source.drawn == 6


def test_items_of_a_slow_iterable_run_while_it_is_slow(library: Library) -> None:
    """It yields 20 a second until some have run: an item waits for a tenth of a second, not for a full group."""

    async def slow() -> AsyncIterator[Idea]:
        for idea in ideas(int(SECONDS / 2 / 0.05)):
            await asyncio.sleep(0.05)
            yield idea
            if len(library.starts()) > 10:
                return
        raise AssertionError("nothing ran while items were drawn")

    report = library.process(slow(), troubles.square, workers=1)
    assert report.success_count == report.total_items > 10


@either_source
def test_ideas_are_drawn_in_the_thread_of_the_caller(kind: str, library: Library) -> None:
    source = Source(ideas(50))
    library.process(getattr(source, kind)(), troubles.square)
    assert source.threads == {threading.get_ident()}


def test_cursor_of_a_database_may_hand_over_its_rows(library: Library) -> None:
    """A cursor of sqlite3 refuses every thread but its own."""
    with closing(sqlite3.connect(library.folder / "ideas.db")) as connection:
        connection.execute("CREATE TABLE ideas (id INTEGER, text TEXT)")
        connection.executemany("INSERT INTO ideas VALUES (?, ?)", [(n, f"idea {n}") for n in range(1500)])
        report = library.process(connection.execute("SELECT * FROM ideas ORDER BY id"), lambda row: row[1])
    assert results(report) == [f"idea {n}" for n in range(1500)]


def test_others_in_the_loop_have_their_turn_while_a_long_iterable_is_drawn(library: Library) -> None:
    drawn = 0

    def long() -> Iterator[Idea]:
        nonlocal drawn
        for idea in ideas(1500):
            time.sleep(0.001)  # two seconds for all of it, in this thread
            drawn += 1
            yield idea

    async def main() -> tuple[BatchReport, list[int]]:
        task = asyncio.create_task(library.batch(long(), troubles.square, max_concurrent=20))
        beats = [drawn]
        while not task.done():
            await asyncio.sleep(0.005)
            beats.append(drawn)
        return await task, beats

    report, beats = run(main())
    assert report.success_count == 1500
    between = max(second - first for first, second in itertools.pairwise(beats))
    assert 0 < between <= 100, "drawn while the others waited: ten of them are due after as many milliseconds"


MEMORY_PROGRAM = f"""
import resource
import batchq, troubles

PAYLOAD = "x" * 10_000
seen = 0

def ideas():
    for n in range({DRAWN_BYTES} // len(PAYLOAD)):
        yield {{"n": n, "pad": PAYLOAD}}

def look(result):
    global seen
    seen += len(result.result)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

batchq.run([{{"n": 0, "pad": PAYLOAD}}], troubles.pad, batch_id="warm-up")
before = peak()
report = batchq.run(ideas(), troubles.pad, batch_id="b1", max_concurrent=50, on_result=look)
assert report.success_count == report.total_items == {DRAWN_BYTES} // len(PAYLOAD), report
assert seen == report.total_items * len(PAYLOAD), seen
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_items(library: Library) -> None:
    """40 MB go in, and 40 MB come back by a callback."""
    done = library.program(MEMORY_PROGRAM)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < KEPT_BYTES


# An iterable that raises -------------------------------------------------------------------------------------


class BrokenPipe(Exception):
    """What an iterable raises on its way."""


def breaking(items: list[Idea], at: int) -> Iterator[Idea]:
    """Raises instead of item number `at`."""
    yield from items[: at - 1]
    raise BrokenPipe("the connection is gone")


async def breaking_stream(items: list[Idea], at: int) -> AsyncIterator[Idea]:
    """Likewise."""
    for item in breaking(items, at):
        yield item


@pytest.mark.parametrize("broken", [breaking, breaking_stream])
def test_what_was_drawn_before_the_iterable_raised_runs_and_a_mended_one_goes_on(
    broken: Callable[[list[Idea], int], Any], library: Library
) -> None:
    with pytest.raises(BrokenPipe, match="the connection is gone") as caught:
        library.process(broken(ideas(50), 31), troubles.square)
    report = caught.value.report  # type: ignore[attr-defined]
    assert (report.total_items, report.success_count) == (30, 30)
    assert [result["result"] for result in caught.value.results] == [n * n for n in range(1, 31)]  # type: ignore[attr-defined]
    assert report.state == "failed" and "BrokenPipe: the connection is gone" in report.reason
    assert library.process(ideas(50), troubles.square).state == "completed"
    assert library.starts() == dict.fromkeys(range(1, 51), 1)
    assert library.outcomes() == {n: (1, n * n) for n in range(1, 51)}
    assert library.broken_invariants() == []


@pytest.mark.parametrize("broken", [breaking, breaking_stream])
def test_iterable_that_raises_at_once_leaves_nothing_behind(
    broken: Callable[[list[Idea], int], Any], library: Library
) -> None:
    with pytest.raises(BrokenPipe):
        library.process(broken(ideas(5), 1), troubles.square)
    assert not library.home.exists()


def test_iterable_that_raises_a_cancellation_of_its_own_ends_the_batch_like_any_other(library: Library) -> None:
    async def cancelled_inside() -> AsyncIterator[Idea]:
        for idea in ideas(5):
            yield idea
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError) as caught:
        library.process(cancelled_inside(), troubles.square)
    assert carrier(caught.value).report.success_count == 5
    assert library.process(ideas(6), troubles.square).success_count == 6


@pytest.mark.parametrize("ending", ["ends", "raises", "cancelled", "refused"])
def test_async_iterable_is_closed_however_the_batch_ends(ending: str, library: Library) -> None:
    source = Source(ideas(5000), lambda drawn: drawn < 20 or ending != "cancelled")

    def on_result(result: Any) -> None:
        if ending == "raises":
            raise BrokenPipe

    async def main() -> None:
        items = source.streamed()
        task = asyncio.create_task(library.batch(items, troubles.square, on_result=on_result, max_concurrent=50))
        if ending == "cancelled":
            while not library.starts():
                await asyncio.sleep(0.01)
            task.cancel()
        await asyncio.wait([task])
        assert source.closed
        if ending == "ends":
            assert task.result().success_count == 5000
        elif ending == "cancelled":
            assert task.cancelled()
        else:
            assert isinstance(task.exception(), BrokenPipe if ending == "raises" else InputError)
        await items.aclose()

    if ending == "refused":
        library.process(ideas(3), troubles.square)
    run(main())


# Ideas that JSON cannot hold ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_first_idea_that_json_cannot_hold_is_refused_with_its_path_and_nothing_is_stored(
    make: Callable[[Any], Any], library: Library
) -> None:
    idea = {"id": "a1", "session": {"lock": threading.Lock()}}
    with pytest.raises(InputError, match=r"item 1 .*\$\.session\.lock is lock") as caught:
        library.process(make([idea, {"id": "a2"}]), troubles.square)
    assert "dicts, lists" in caught.value.hint
    assert not library.home.exists()


BAD_PARTS = {
    "lock": (threading.Lock(), "$.n is lock"),
    "deep": ({"a": [1, {2, 3}, object()]}, "$.n.a[2] is object"),
    "nan": (float("nan"), "$.n is float (nan is not JSON)"),
    "key": ({(1, 2): "tea"}, "$.n key (1, 2) is tuple"),
}


def test_later_ideas_that_json_cannot_hold_fail_alone_and_name_path_and_type(library: Library) -> None:
    bad = [{"id": name, "n": part} for name, (part, _) in BAD_PARTS.items()]
    items = [*ideas(1), *bad, *ideas(1, first=6)]
    report = library.process(items, troubles.square)
    assert statuses(report) == ["success", "failed", "failed", "failed", "failed", "success"]
    for seq, failure in enumerate(report.failures, 2):
        words = BAD_PARTS[failure["idea_id"]][1]
        assert (failure["seq"], failure["error_type"], failure["attempts"]) == (seq, "InvalidInput", 0)
        assert words in failure["error"] and f"item {seq} " in failure["error"]
    assert library.process(items, troubles.square).failure_count == 4
    again = library.handle().retry()
    assert (again.success_count, again.failure_count) == (2, 4), "there is nothing of them to run"
    assert library.starts() == {1: 1, 6: 1}
    assert library.broken_invariants() == []


def test_stored_idea_is_the_one_that_was_handed_over_whatever_becomes_of_it_later(library: Library) -> None:
    """The program may use one dict for all ideas, as cursors do."""
    shared: Idea = {}

    def reused() -> Iterator[Idea]:
        for n in range(1, 101):
            shared.update(id=f"i{n}", n=n)
            yield shared

    report = library.process(reused(), troubles.square)
    assert results(report) == [n * n for n in range(1, 101)]
    assert json.loads(json.dumps(report.results[99]))["idea_id"] == "i100"
    assert [n for word, n in sorted(ledger.read(library.ledger)) if word == "start"] == list(range(1, 101))


def test_processor_counts_what_was_drawn_so_far(library: Library) -> None:
    processor = BatchProcessor(library.config())
    seen: list[tuple[int, int]] = []

    async def slow() -> AsyncIterator[Idea]:
        for idea in ideas(3):
            yield idea
        while processor.processed_items < 3:
            await asyncio.sleep(0.01)
        seen.append((processor.total_items, processor.processed_items))
        yield {"id": "last", "n": 4}

    run(processor.process_batch(slow(), troubles.square))
    assert seen == [(3, 3)]
    assert (processor.total_items, processor.processed_items) == (4, 4)
