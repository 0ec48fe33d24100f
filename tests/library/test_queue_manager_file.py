"""`QueueManager` in a file: what it keeps through a crash, whom it refuses, and what it never overwrites."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from batches import make_batch
from waiting import wait_until

from batchq.app.queue_manager import QueueManager
from batchq.config import QueueConfig, QueueStatus
from batchq.errors import BatchBusy, ConfigError, StoreError, UsageError

pytestmark = pytest.mark.slow

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


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Another program, which tells on its standard output how far it is, and may wait on its standard input."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def upper(chunk: list[str], max_concurrent: int) -> list[str]:
    return [item.upper() for item in chunk]


class TestFile:
    def test_building_a_manager_opens_nothing(self, stored: Maker, path: Path) -> None:
        manager = stored()
        assert manager.get_next_chunk() == [] and manager.is_complete() and manager.get_progress()
        assert not manager.load_state()
        with pytest.raises(ConfigError):
            manager.add_items(range(1001))
        assert list(path.parent.iterdir()) == []

    def test_load_state_takes_over_all_that_another_manager_left(self, stored: Maker) -> None:
        manager = stored(chunk_size=10)
        manager.add_items(IDEAS)
        manager.mark_chunk_processed([idea["id"] for idea in manager.get_next_chunk()])
        manager.get_next_chunk()
        manager.pause()
        again = stored(chunk_size=15)
        assert again.load_state()
        assert again.status is QueueStatus.PAUSED
        assert again.processed == [idea["id"] for idea in IDEAS[:10]]
        assert (again.total_items, again.processed_count, len(again.queue)) == (50, 10, 40)
        assert again.current_chunk == []
        # With the chunk that was in flight at the front, and in chunks of its own size.
        assert again.get_next_chunk() == IDEAS[10:25]

    def test_paused_queue_goes_on_after_load_state_without_resume(self, stored: Maker) -> None:
        manager = stored()
        manager.add_items(["a"])
        manager.pause()
        again = stored()
        assert again.load_state()
        assert asyncio.run(asyncio.wait_for(again.process_queue(upper), 30)) == ["A"]

    def test_each_status_is_read_back_but_running_as_pending(self, stored: Maker) -> None:
        manager = stored()
        manager.add_items(["a"])
        for status in QueueStatus:
            manager.queue.save_status(status)
            manager = stored()
            assert manager.load_state()
            assert manager.status is (QueueStatus.PENDING if status is QueueStatus.RUNNING else status)

    def test_items_added_without_load_state_go_behind_an_unfinished_queue(self, stored: Maker) -> None:
        manager = stored(chunk_size=1)
        manager.add_items(["a", "b"])
        manager.get_next_chunk()
        manager.mark_chunk_processed(["A"])
        again = stored()
        again.add_items(["c"])
        assert again.total_items == 3 and again.processed == ["A"]
        assert asyncio.run(again.process_queue(upper)) == ["A", "B", "C"]

    def test_items_added_without_load_state_begin_a_queue_anew_where_the_file_is_finished(self, stored: Maker) -> None:
        for _ in range(3):
            manager = stored(chunk_size=2)
            manager.add_items("abc")
            assert (manager.total_items, manager.processed_count, manager.processed) == (3, 0, [])
            assert asyncio.run(manager.process_queue(upper)) == ["A", "B", "C"]
            loaded = stored()
            assert loaded.load_state() and loaded.is_complete() and loaded.status is QueueStatus.COMPLETED
            assert loaded.processed == ["A", "B", "C"] and loaded.total_items == loaded.processed_count == 3

    def test_chunks_that_are_unmarked_do_not_hide_that_the_queue_is_unfinished(self, stored: Maker) -> None:
        manager = stored()
        manager.add_items(["a"])
        manager.get_next_chunk()
        again = stored()
        again.add_items(["b"])
        assert again.get_next_chunk() == ["a", "b"]

    def test_manager_whose_file_a_later_one_has_opened_can_change_nothing(self, stored: Maker) -> None:
        older = stored(chunk_size=1)
        older.add_items(["a", "b"])
        older.get_next_chunk()
        later = stored()
        assert later.load_state()
        with pytest.raises(BatchBusy, match="later QueueManager"):
            older.mark_chunk_processed(["A"])
        with pytest.raises(BatchBusy):
            older.add_items(["c"])
        older.close()
        assert asyncio.run(later.process_queue(upper)) == ["A", "B"]

    def test_closed_file_is_one_file_and_is_opened_again(self, stored: Maker, path: Path) -> None:
        manager = stored(chunk_size=1)
        manager.add_items(["a", "b"])
        manager.get_next_chunk()
        manager.close()
        assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]
        for use in (QueueManager.get_next_chunk, QueueManager.pause):
            with pytest.raises(StoreError, match="closed"):
                use(manager)
        assert manager.load_state()
        assert manager.get_next_chunk() == ["a"]

    def test_log_beside_the_file_stays_small(self, stored: Maker, path: Path) -> None:
        manager = stored(chunk_size=1)
        manager.add_items(["x" * 10_000] * 1000)
        for _ in range(1000):
            manager.mark_chunk_processed(manager.get_next_chunk())
        # The largest transaction is 10 MB, and the log 4 MB at each checkpoint; without any it would be over 40 MB.
        assert path.with_name(path.name + "-wal").stat().st_size < 20_000_000

    def test_large_items_do_not_make_chunks_smaller(self, stored: Maker) -> None:
        manager = stored(chunk_size=3)
        manager.add_items(["x" * 6_000_000] * 3)
        assert len(manager.get_next_chunk()) == 3

    def test_items_added_one_by_one_are_handed_out_in_full_chunks(self, stored: Maker) -> None:
        manager = stored(chunk_size=10)
        for number in range(25):
            manager.add_items([number])
        assert [len(manager.get_next_chunk()) for _ in range(4)] == [10, 10, 5, 0]

    @pytest.mark.parametrize("content", [b'{"queue": [], "processed": []}', b"x" * 100_000])
    def test_file_that_is_something_else_is_refused_and_left_as_it_is(
        self, stored: Maker, path: Path, content: bytes
    ) -> None:
        path.write_bytes(content)
        for use in (QueueManager.load_state, lambda manager: manager.add_items(["a"])):
            with pytest.raises(StoreError, match="not a readable") as error:
                use(stored())
            assert "persistence_path" in error.value.hint
        assert path.read_bytes() == content

    def test_folder_or_batch_or_path_that_cannot_be_is_refused_with_a_hint(self, tmp_path: Path) -> None:
        batch = make_batch(tmp_path, ["1"])
        for path in (tmp_path, batch, tmp_path / "missing" / "queue", batch / "below"):
            manager = QueueManager(QueueConfig(enable_persistence=True, persistence_path=str(path)))
            with pytest.raises(StoreError) as error:
                manager.add_items(["a"])
            assert "persistence_path" in error.value.hint

    def test_empty_file_is_used_and_what_a_crash_left_beside_it_is_no_hindrance(
        self, stored: Maker, path: Path
    ) -> None:
        path.touch()
        for suffix in (".new", ".new-wal", "-wal"):
            path.with_name(path.name + suffix).write_bytes(b"left behind")
        assert not stored().load_state()
        manager = stored()
        manager.add_items(["a"])
        assert asyncio.run(manager.process_queue(upper)) == ["A"]

    @pytest.mark.parametrize(
        ("culprit", "words"),
        [({"tags": [object()]}, r"item 1 .*\$\.tags\[0\] is object"), ([float("nan")], r"item 1 .*\$\[0\] is float")],
    )
    def test_item_that_json_cannot_hold_is_named_and_nothing_is_added(
        self, stored: Maker, culprit: object, words: str
    ) -> None:
        manager = stored()
        with pytest.raises(UsageError, match=words):
            manager.add_items(["fine", culprit, "fine"])
        assert len(manager.queue) == manager.total_items == 0
        assert not stored().load_state()

    def test_result_that_json_cannot_hold_is_named_and_its_chunk_runs_again(self, stored: Maker) -> None:
        async def useless(chunk: list[str], max_concurrent: int) -> list[Any]:
            return ["fine", {"when": object()}]

        manager = stored()
        manager.add_items("ab")
        with pytest.raises(UsageError, match=r"result 1 .*\$\.when is object"):
            asyncio.run(manager.process_queue(useless))
        assert manager.status is QueueStatus.FAILED and manager.processed == []
        assert asyncio.run(manager.process_queue(upper)) == ["A", "B"]

    def test_values_come_back_as_they_were(self, stored: Maker) -> None:
        values = [
            "",
            "Ä 好 🎈",
            "half a pair \ud83d",
            "nul \x00",
            2**70,
            -0.5,
            None,
            True,
            [],
            {},
            {"a": [{"b": None}]},
        ]
        manager = stored()
        manager.add_items(values)
        assert manager.get_next_chunk() == values
        manager.mark_chunk_processed(values)
        again = stored()
        assert again.load_state() and again.processed == values


HOLD = """
import sys
from batchq.app.queue_manager import QueueManager
from batchq.config import QueueConfig
manager = QueueManager(QueueConfig(chunk_size=3, enable_persistence=True, persistence_path=sys.argv[1]))
manager.add_items([f"item-{number}" for number in range(10)])
manager.get_next_chunk()
manager.mark_chunk_processed(["first", "second", "third"])
manager.get_next_chunk()
print("chunk in flight", flush=True)
sys.stdin.read()
"""

WORK = """
import asyncio, os, sys
from batchq.app.queue_manager import QueueManager
from batchq.config import QueueConfig
path, ledger, most = sys.argv[1:]
notes = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
manager = QueueManager(QueueConfig(chunk_size=3, enable_persistence=True, persistence_path=path))
if not manager.load_state():
    manager.add_items(range(200))
async def work(chunk, max_concurrent):
    for item in chunk:
        with open(ledger) as file:
            if file.read().count("\\n") >= int(most):
                sys.stdin.read()  # goes no further before it is killed
        os.write(notes, f"{item}\\n".encode())
    return chunk
asyncio.run(manager.process_queue(work))
"""


class TestOtherPrograms:
    def test_chunk_in_flight_is_handed_out_again_after_the_program_was_killed(self, stored: Maker, path: Path) -> None:
        with start(HOLD, path) as program:
            assert program.stdout is not None and program.stdout.readline() == "chunk in flight\n"
            program.kill()
        manager = stored(chunk_size=3)
        assert manager.load_state()
        assert manager.status is QueueStatus.PENDING
        assert manager.processed == ["first", "second", "third"]
        assert (manager.total_items, manager.processed_count, len(manager.queue)) == (10, 3, 7)
        assert manager.get_next_chunk() == ["item-3", "item-4", "item-5"]

    def test_queue_whose_file_was_deleted_does_not_come_back_from_its_log(self, stored: Maker, path: Path) -> None:
        with start(HOLD, path) as program:
            assert program.stdout is not None and program.stdout.readline() == "chunk in flight\n"
            program.kill()
        path.unlink()
        assert not stored().load_state()
        manager = stored()
        manager.add_items(["a"])
        assert stored().load_state()
        manager = stored()
        assert manager.load_state() and manager.total_items == 1 and manager.get_next_chunk() == ["a"]

    def test_second_program_is_refused_until_the_first_has_ended(self, stored: Maker, path: Path) -> None:
        with start(HOLD, path) as program:
            assert program.stdout is not None and program.stdout.readline() == "chunk in flight\n"
            for use in (QueueManager.load_state, lambda manager: manager.add_items(["a"])):
                with pytest.raises(BatchBusy, match=str(program.pid)) as error:
                    use(stored())
                assert "persistence_path" in error.value.hint
            program.communicate()
        assert program.returncode == 0
        manager = stored()
        assert manager.load_state() and len(manager.queue) == 7

    def test_first_program_keeps_the_file_although_its_older_managers_are_gone(self, stored: Maker, path: Path) -> None:
        older = stored()
        older.add_items(["a", "b"])
        later = stored()
        assert later.load_state()
        older.close()
        later.add_items(["c"])
        with start(HOLD, path) as program:
            program.communicate()
        assert program.returncode != 0
        assert len(later.queue) == 3

    def test_nothing_is_lost_and_each_result_counts_once_however_often_the_program_is_killed(
        self, stored: Maker, path: Path
    ) -> None:
        ledger = path.with_name("ledger")
        ledger.touch()
        seeded = random.Random(7)
        kills = 0
        while True:
            lines = ledger.read_text().count("\n")
            enough = lines + seeded.randrange(1, 60)
            with start(WORK, path, ledger, enough + 10) as program:
                wait_until(lambda: ledger.read_text().count("\n") >= enough or program.poll() is not None)  # noqa: B023
                program.send_signal(signal.SIGKILL)
            if program.returncode == 0:
                break
            assert program.returncode == -signal.SIGKILL
            kills += 1
        assert kills >= 2
        manager = stored()
        assert manager.load_state()
        assert manager.is_complete() and manager.status is QueueStatus.COMPLETED
        assert manager.processed == list(range(200)) and manager.processed_count == manager.total_items == 200
        runs = [int(line) for line in ledger.read_text().split()]
        assert set(runs) == set(range(200))
        assert len(runs) - 200 <= 3 * kills, "only the chunk in flight runs again"
