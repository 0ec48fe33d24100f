"""Events over real connections: how a batch moves, each outcome once, whatever is cut in between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from queued import Queue
from served import Served
from waiting import wait_until
from wire import Stream

from batchq.server.api.events import _batches
from batchq.server.running.catalog import Catalog
from batchq.server.streaming.feed import HomeFeed, Watcher
from batchq.store.home import Home

pytestmark = pytest.mark.slow

COUNT = 1000


@pytest.fixture
def watch(server: Served) -> Iterator[Any]:
    opened: list[Stream] = []

    def open_stream(path: str, last: str = "") -> Stream:
        opened.append(Stream(server, path, last))
        return opened[-1]

    yield open_stream
    for stream in opened:
        stream.close()


def let_end(server: Served, number: int) -> None:
    """Let items up to this one end; in one step, as they read the file at any time."""
    (server.folder / "next").write_text(str(number))
    (server.folder / "next").replace(server.folder / "upto")


def test_batch_is_watched_to_its_end_and_beyond(server: Served, watch: Any) -> None:
    let_end(server, 0)
    batch_id = server.create("pipe:admitted", list(range(40)), concurrency=2, workers=1)
    stream = watch(f"batches/{batch_id}/events")
    assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
    seen = []
    for event in stream.events():
        seen.append(event["processed_items"])
        if event["state"] == "completed" and event["holder"] is None:
            break
        if seen[-1] in (0, 20):
            let_end(server, seen[-1] + 20)
    assert seen == sorted(seen)
    assert {0, 20, 40} <= set(seen)
    # One that comes back knows that already, and is told when somebody makes it move again.
    again = watch(f"batches/{batch_id}/events", stream.last)
    server.client.delete(f"/api/v1/batches/{batch_id}").raise_for_status()
    assert [(event.kind, event["batch_id"]) for event in again.events()] == [("deleted", batch_id)]


def test_home_tells_each_batch_that_changes(server: Served, watch: Any) -> None:
    first = watch("events")
    batch_id = server.create("pipe:title", [1, 2, 3], workers=1)
    first.until("status", batch_id=batch_id, state="completed", holder=None)
    first.close()
    server.client.delete(f"/api/v1/batches/{batch_id}").raise_for_status()
    again = watch("events", first.last)
    assert again.until("deleted")["batch_id"] == batch_id


@pytest.fixture(scope="module")
def failing(server: Served) -> str:
    """A batch of `COUNT` items, of which every second one fails; it may still run."""
    items = [{"id": f"i{n}", "n": n} for n in range(1, COUNT + 1)]
    return server.create("pipe:fails", items, retry_attempts=1, workers=1)


def test_outcomes_come_once_each_however_often_the_connection_is_cut(server: Served, watch: Any, failing: str) -> None:
    chance = random.Random(8)
    got, last, cuts = list[int](), "", 0
    while len(got) < COUNT:
        stream, patience = watch(f"batches/{failing}/events?outcomes=1", last), chance.randrange(1, 200)
        for event in stream.events():
            if event.kind == "outcome":
                got.append(event["seq"])
                assert len(got) == int(event.number)
                patience -= 1
            if patience == 0 or len(got) == COUNT:
                break
        last = stream.last
        stream.close()
        cuts += 1
    assert sorted(got) == list(range(1, COUNT + 1))
    assert cuts > 5
    rest = watch(f"batches/{failing}/events?outcomes=1", last)
    assert [rest.until("status", state="completed").kind] == ["status"]


@pytest.fixture(scope="module")
def big(server: Served) -> str:
    """A batch of 800 results of 10 KB."""
    batch_id = server.create("pipe:title", [{"n": n, "text": "x" * 10_000} for n in range(800)], workers=1)
    server.wait_for(batch_id, "completed")
    return batch_id


def test_failures_alone_are_told_and_resumed(server: Served, watch: Any, failing: str) -> None:
    server.wait_for(failing, "completed")
    first, last = list[str](), ""
    for event in (stream := watch(f"batches/{failing}/events?outcomes=failed")).events():
        if event.kind == "outcome":
            first.append(event["id"])
            assert event["error_type"] == "ValueError"
        if len(first) == 30:
            break
    last = stream.last
    rest = []
    for event in watch(f"batches/{failing}/events?outcomes=failed", last).events():
        if event.kind == "outcome":
            rest.append(event["id"])
        if len(rest) == COUNT // 2 - 30:
            break
    assert sorted(first + rest, key=lambda name: int(name[1:])) == [f"i{n}" for n in range(1, COUNT + 1, 2)]


def test_number_from_another_life_of_the_batch_begins_anew(server: Served, watch: Any, failing: str) -> None:
    stream = watch(f"batches/{failing}/events?outcomes=1", "5000")
    assert stream.until("outcome").number == "1"


def test_number_of_a_server_that_counted_further_begins_anew(tmp_path: Path) -> None:
    (queue := Queue(tmp_path)).put("b1")

    async def told(last: int) -> bytes:
        feed, written = HomeFeed(catalog), list[bytes]()
        await feed.look()
        feed.stop()

        async def write(data: bytes) -> None:
            written.append(data)

        await _batches(feed, write, Watcher(), last or feed.version)
        return b"".join(written)

    catalog = Catalog(Home(queue.home), first_version := 2**40)
    while not catalog.refresh():
        pass
    assert b'"batch_id": "b1"' in asyncio.run(told(2 * first_version))
    assert asyncio.run(told(0)) == b"", "who is up to date is told nothing"


def test_outcomes_are_exact_over_the_death_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "pipe.py").write_text("import asyncio\nasync def slow(item):\n    await asyncio.sleep(0.02)\n")
    server = Served(tmp_path, "--allow", "pipe:*", "--max-streams", "1")
    try:
        batch_id = server.create("pipe:slow", list(range(200)), concurrency=4, workers=1)
        stream, got = Stream(server, f"batches/{batch_id}/events?outcomes=1"), list[int]()
        with pytest.raises(ConnectionError):
            for event in stream.events():
                got += [event["seq"]] if event.kind == "outcome" else []
                if len(got) == 20:
                    server.kill()
        stream.close()
        server.start()
        again = Stream(server, f"batches/{batch_id}/events?outcomes=1", stream.last)
        for event in again.events():
            got += [event["seq"]] if event.kind == "outcome" else []
            if event.kind == "status" and event["state"] == "completed" and len(got) >= 200:
                break
        assert sorted(got) == list(range(1, 201))
        refused = server.client.get("/api/v1/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        wait_until(lambda: server.batch(batch_id)["holder"] is None)
        server.process.terminate()
        assert [
            event.kind for event in again.events() if event.kind != "status"
        ] == []  # it ends, and does not break off
        again.close()
    finally:
        server.stop()


def test_client_that_reads_nothing_costs_the_server_nothing(server: Served, watch: Any, big: str) -> None:
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    idle = [watch(f"batches/{big}/events?outcomes=1") for _ in range(20)]  # 8 MB each, never read
    busy = watch(f"batches/{big}/events?outcomes=1")
    numbers = [event.number for event, _ in zip(busy.events(), range(801), strict=False) if event.kind == "outcome"]
    assert numbers == [str(number) for number in range(1, 801)]
    assert process.memory_info().rss - before < 48 * 1024 * 1024
    for stream in idle:
        stream.close()


@pytest.mark.parametrize("path", ["events?all=1", "batches/none/events", "batches/none/events?outcomes=some"])
def test_stream_that_cannot_be_is_refused_in_words(server: Served, path: str) -> None:
    answer = server.client.get(f"/api/v1/{path}")
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_head_of_a_stream_ends(server: Served) -> None:
    assert server.client.head("/api/v1/events").headers["content-type"] == "text/event-stream"
