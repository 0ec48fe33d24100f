"""What had begun in a process that answers no more is to blame only where that has died by itself."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from waiting import wait_until

from batchq.engine.dask.boards import STALE_SECONDS, BoardFile, sweep
from batchq.engine.dask.inquest import DIED, HANGS, LEFT, LIVES, Marks, inquest

GUEST = """
import os, pickle, sys, time
from pathlib import Path
from batchq.engine.board import Board
from batchq.engine.dask.inquest import Marks
from batchq.store.home import Holder

place = Board(Path(sys.argv[1]), 2, 3).place(0)
place.enter()
place.seen[1], place.current = 7, 7
os.write(1, pickle.dumps(Marks(Holder.myself(), sys.argv[1], None)))
os.close(1)
while sys.argv[2] == "turns":
    place.tick()
    time.sleep(0.05)
if sys.argv[2] == "leaves":
    place.leave()
else:
    time.sleep(60)
"""

Begin = Callable[[str], tuple[Marks, "subprocess.Popen[bytes]"]]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    with ExitStack() as stack:

        def begin(what: str) -> tuple[Marks, subprocess.Popen[bytes]]:
            command = [sys.executable, "-c", GUEST, str(tmp_path / "board"), what]
            process = subprocess.Popen(command, stdout=subprocess.PIPE)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            with process.stdout as said:
                marks: Marks = pickle.loads(said.read())
            return marks, process

        yield begin


def test_what_had_begun_in_a_process_that_was_killed_is_told(begin: Begin) -> None:
    marks, process = begin("hangs")
    process.kill()
    process.wait()
    for spare in (True, False):
        assert inquest(marks, spare) == (DIED, [7], 7)


def test_process_that_was_ended_in_order_is_told_from_one_that_died(begin: Begin) -> None:
    marks, process = begin("leaves")
    process.wait()
    assert inquest(marks, spare=False).state == LEFT


@pytest.mark.parametrize(("what", "state"), [("turns", LIVES), ("hangs", HANGS)])
def test_process_that_lives_is_spared_or_ended(begin: Begin, what: str, state: str) -> None:
    marks, process = begin(what)
    wait_until(lambda: inquest(marks, spare=True).state == state)  # on a busy machine one that turns may seem to hang
    assert process.poll() is None
    os.kill(process.pid, signal.SIGSTOP)
    assert inquest(marks, spare=False).state == LIVES, "one that was stopped by somebody does not hang"
    assert process.wait(60) == -signal.SIGKILL
    assert not Path(marks.board).exists()


def test_what_guests_have_left_that_died_long_ago_is_deleted_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = BoardFile("held")
    for name in ("batchq-dead-1.board", "batchq-just-1.board", held.path.name, "of-others.board"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "batchq-link-1.board").symlink_to("of-others.board")
    held.hold()
    long_ago = time.time() - 2 * STALE_SECONDS
    for path in tmp_path.iterdir():
        if "just" not in path.name:
            os.utime(path, (long_ago, long_ago))
    sweep()
    left = {"batchq-just-1.board", "batchq-held.board", "batchq-link-1.board", "of-others.board"}
    assert {path.name for path in tmp_path.iterdir()} == left
    held.close()
    assert not held.path.exists()
