"""How batches stand, from memory: true at once when somebody changes them, and cheap while nobody does."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from queued import Queue
from waiting import wait_until

from batchq.app.verbs import cancel, pause
from batchq.errors import BatchNotFound, StoreError
from batchq.server.running.catalog import Catalog, Entry
from batchq.store.batch import steer
from batchq.store.connection import open_plain
from batchq.store.home import Home
from batchq.store.turns import disown


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    made = Queue(tmp_path)
    made.put("b1")
    return made


def whole(queue: Queue) -> Catalog:
    catalog = Catalog(Home(queue.home))
    while not catalog.refresh():
        pass
    return catalog


def test_change_by_another_process_is_seen_by_whoever_asks_next(queue: Queue) -> None:
    catalog = whole(queue)
    before = catalog.entry("b1")
    assert (before.status.state, catalog.entry("b1").version) == ("queued", before.version)
    pause(Home(queue.home), "b1")
    after = catalog.entry("b1", fresh=True)
    assert after.status.state == "paused" and after.version > before.version
    cancel(Home(queue.home), "b1")
    for _ in range(100):
        if catalog.entry("b1").status.state == "cancelled":
            break
        time.sleep(0.01)  # the clock of the file system is no finer
    assert catalog.entry("b1").status.state == "cancelled"
    assert [entry.version for entry in catalog.entries()] == [catalog.entry("b1").version]


def test_what_is_done_already_is_not_offered(queue: Queue) -> None:
    folder = Home(queue.home).find("b1")
    catalog = whole(queue)
    assert json.loads(catalog.entry("b1").body)["actions"] == ["pause", "cancel", "set", "delete"]
    disown(folder.database)
    assert "resume" in json.loads(catalog.entry("b1", fresh=True).body)["actions"], "it waits for nobody's turn"
    lock = folder.supervise()
    steer(folder.database, "supervise")
    assert steer(folder.database, "cancel") == "cancelling"
    assert json.loads(catalog.entry("b1", fresh=True).body)["actions"] == ["set"]
    lock.release()


def test_what_comes_and_goes_is_noticed(queue: Queue) -> None:
    catalog = whole(queue)
    queue.put("b2")
    while not catalog.refresh():
        pass
    assert [entry.status.batch_id for entry in catalog.entries()] == ["b2", "b1"]
    shutil.rmtree(queue.home / "b1")
    catalog.refresh()
    assert [entry.status.batch_id for entry in catalog.entries()] == ["b2"]
    with pytest.raises(BatchNotFound):
        catalog.entry("b1")
    queue.put("b1")
    assert catalog.entry("b1").status.state == "queued"


def test_file_that_cannot_be_read_is_told_of_once_and_read_again_when_it_is_another(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    whole_file = (queue.home / "b1" / "batch.db").read_bytes()
    (queue.home / "b1" / "batch.db").write_bytes(b"?" * 4096)
    catalog = whole(queue)
    for second in range(3):
        os.utime(queue.home / "b1" / "batch.db", (second, second))
        catalog.refresh()
    assert len([record for record in caplog.records if "b1" in record.message]) == 1, "it is said once"
    assert catalog.entries() == [] and isinstance(catalog.errors()["b1"], StoreError)
    (queue.home / "b1" / "batch.db").write_bytes(whole_file)
    catalog.refresh()
    assert catalog.errors() == {} and catalog.entry("b1").status.state == "queued"


def test_many_who_ask_at_a_time_are_answered_by_one_look(queue: Queue) -> None:
    catalog = Catalog(Home(queue.home))

    async def ask() -> list[Entry]:
        return await asyncio.gather(*(catalog.current("b1") for _ in range(200)))

    answers = asyncio.run(ask())
    assert len({id(answer) for answer in answers}) == 1
    with pytest.raises(BatchNotFound):
        asyncio.run(catalog.current("b3"))


def test_batches_that_have_ended_cost_a_look_next_to_nothing(queue: Queue) -> None:
    cancel(Home(queue.home), "b1")
    for number in range(100):
        name = f"more{number}"
        shutil.copytree(queue.home / "b1", queue.home / name)
        connection = open_plain(queue.home / name / "batch.db")
        connection.execute("UPDATE batch SET batch_id = ?", (name,))
        connection.close()
    begun = time.process_time()
    catalog = whole(queue)
    reading = time.process_time() - begun
    assert len(catalog.entries()) == 101

    def all_rest() -> bool:
        """Whether the times of their files tell of every change."""
        catalog.refresh()
        catalog.moved()
        return not catalog.lively()

    wait_until(all_rest)
    begun = time.process_time()
    for _ in range(10):
        catalog.refresh()
        assert None not in [catalog.peek(entry.status.batch_id) for entry in catalog.entries()]
    assert time.process_time() - begun < reading / 2, "ten looks at all of them cost less than half of one reading"
