"""`batchq log`: the last lines, and following a batch until it has nothing more to say."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
from pathlib import Path

import ledger
import pytest
from command import Bench, ended
from waiting import wait_until

from batchq.app.tail import BLOCK, follow_lines, read_lines, start_of_last


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def running(bench: Bench) -> subprocess.Popen[str]:
    """A batch whose items are held at a gate, and which then says something."""
    bench.write_input(2)
    (bench.folder / "mine.py").write_text(
        "import ledger\n"
        "async def talks(item):\n"
        "    await ledger.held(item)\n"
        "    print('said', item['n'])\n"
    )  # fmt: skip
    process = bench.begin("start", "input.jsonl", "--func", "mine:talks", "--id", "b1", "-q", "-w", "1")
    wait_until(lambda: len(ledger.read(bench.ledger)) == 2)
    return process


def log_of(bench: Bench) -> Path:
    return bench.home / "b1" / "batch.log"


@pytest.mark.slow
def test_follow_shows_what_comes_and_ends_with_the_batch(bench: Bench) -> None:
    process = running(bench)
    following = bench.begin("log", "b1", "-f")
    assert following.stdout is not None
    first = following.stdout.readline()
    assert "supervising batch b1" in first
    (bench.folder / "gate").touch()
    assert ended(process) == 0
    rest, said = following.communicate(timeout=120)
    assert (following.returncode, said) == (0, "")
    assert first + rest == log_of(bench).read_text()
    assert "said 1" in rest and "said 2" in rest
    assert bench.run("log", "b1", "-f").stdout == first + rest  # nobody runs it: at once
    assert bench.run("log", "b1", "-f", "-n", "1").stdout == (first + rest).splitlines(keepends=True)[-1]


@pytest.mark.slow
def test_follow_with_lines_as_json_begins_near_the_end(bench: Bench) -> None:
    process = running(bench)
    following = bench.begin("log", "b1", "-f", "-n", "0", "--json")
    # It is known to follow when a line shows that was not there before.
    with log_of(bench).open("a") as log:
        wait_until(lambda: bench_wrote(log, following), seconds=60)
    (bench.folder / "gate").touch()
    ended(process)
    lines = [json.loads(line) for line in following.communicate(timeout=120)[0].splitlines()]
    assert lines and all((line["schema"], line["batch_id"]) == (1, "b1") for line in lines)
    assert not [line for line in lines if "supervising batch b1" in line["line"]]
    assert any("said 1" in line["line"] for line in lines)


def bench_wrote(log: io.TextIOWrapper, following: subprocess.Popen[str]) -> bool:
    """Write a line; whether the follower has shown one."""
    import select

    log.write("are you there?\n")
    log.flush()
    return bool(select.select([following.stdout], [], [], 0.05)[0])


@pytest.mark.slow
def test_ctrl_c_ends_following_quietly(bench: Bench) -> None:
    process = running(bench)
    following = bench.begin("log", "b1", "-f")
    assert following.stdout is not None
    following.stdout.readline()
    os.kill(following.pid, signal.SIGINT)
    assert following.communicate(timeout=120)[1].strip() == ""
    assert following.returncode == -signal.SIGINT
    (bench.folder / "gate").touch()
    assert ended(process) == 0


def test_log_that_is_emptied_replaced_or_comes_late_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "batch.log"
    steps = iter(
        [
            lambda: log.write_text("one\ntw"),
            lambda: append(log, "o\nthree\n"),
            lambda: os.truncate(log, 0),
            lambda: append(log, "4\n"),
            log.unlink,
            lambda: log.write_text("five\nsix"),
        ]
    )
    has_more = [True]

    def do_next(seconds: float) -> None:
        step = next(steps, None)
        if step is None:
            has_more[0] = False
        else:
            step()

    lines = list(follow_lines(log, lambda: not has_more[0], sleep=do_next))
    assert lines == ["one\n", "two\n", "three\n", "4\n", "five\n", "six"]


def test_log_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert list(follow_lines(tmp_path / "none", lambda: True)) == []
    assert list(read_lines(tmp_path / "none", 3)) == []


@pytest.mark.parametrize("text", ["", "a", "a\n", "a\nb", "a\n\n\n", "\n", "x" * BLOCK + "\ny\n", "ab\n" * BLOCK])
@pytest.mark.parametrize("last", [0, 1, 2, 3, BLOCK])
def test_last_lines_are_those_that_reading_everything_finds(tmp_path: Path, text: str, last: int) -> None:
    path = tmp_path / "log"
    path.write_text(text)
    expected = text.splitlines(keepends=True)
    assert list(read_lines(path, last)) == expected[max(0, len(expected) - last) :]


def test_last_line_of_a_long_log_is_found_without_reading_it(tmp_path: Path) -> None:
    reads: list[int] = []

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            reads.append(size or 0)
            return super().read(size)

    file = Counted(b"line\n" * 1_000_000)
    assert start_of_last(file, 2) == 4_999_990
    assert sum(reads) <= BLOCK


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)
