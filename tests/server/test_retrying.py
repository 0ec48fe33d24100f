"""A retry over HTTP that takes long: what a caller's expression may cost, and what becomes of half of it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from answering import answers
from served import serving
from waiting import wait_until

from batchq.app.status import status
from batchq.server.api.actions import LITERAL
from batchq.store.home import Home

pytestmark = pytest.mark.slow

FAILS = """
async def f(item):
    raise ValueError("quick" if item != "2001" else "a" * 60 + "!")
"""
ENDLESS = "^ValueError: (quick|(a+)+$)"
"""It finds the first two thousand at once, which are moved in one go, and looks for ever at the one behind them."""


PATH = "/api/v1/batches/b/retry"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home, in which a batch has been run from a terminal, and all its items have failed."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "m.py").write_text(FAILS)
    (folder / "in.txt").write_text("".join(f"{number}\n" for number in range(1, 2002)))
    words = "start in.txt --func m.py:f --id b --concurrency 50 --workers 1 --retry-attempts 1 --no-breaker --home home"
    command = [sys.executable, "-m", "batchq", *words.split()]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert status(Home(folder / "home"), "b").tally.failed == 2001, done.stderr
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    """The same for one test."""
    shutil.copytree(made / "home", tmp_path / "home")
    return Home(tmp_path / "home")


def test_batch_goes_on_with_what_was_moved_before_the_expression_took_too_long(home: Home, tmp_path: Path) -> None:
    for seconds in (4.0, 16.0, 64.0):
        (refused,) = answers(tmp_path, ("POST", PATH, {"json": {"error": ENDLESS}}), retry_seconds=seconds)
        assert refused.status_code == 422, refused.text
        if status(home, "b").tally.failed == 1:
            break  # else it was ended before it had found the first ones
    assert "2,000 items run again already" in refused.json()["detail"], refused.text
    assert (status(home, "b").tally.failed, status(home, "b").state) == (1, "queued")
    for asked in ({"error": r"ValueError: aaa"}, {"timed_out": True}, {}):
        (answer,) = answers(tmp_path, ("POST", PATH, {"json": asked}), retry_seconds=0.001)
        assert answer.status_code == 200, "it was no expression, and has all the time that it needs"
    assert status(home, "b").tally.failed == 0


def test_next_server_goes_on_with_what_was_moved_before_this_one_was_killed(home: Home, tmp_path: Path) -> None:
    with serving(tmp_path) as server, ThreadPoolExecutor() as caller:
        call = caller.submit(server.client.post, PATH, json={"error": ENDLESS})
        wait_until(lambda: status(home, "b").tally.failed == 1)
        looking = [each for each in psutil.Process(server.process.pid).children() if is_looking(each)]
        server.kill()
        for each in looking:
            each.kill()
        assert isinstance(call.exception(), httpx.TransportError)
        server.start()
        server.wait_for("b", "completed")
        wait_until(lambda: server.batch("b")["holder"] is None)
        now = server.batch("b")
    assert (now["processed_items"], now["failure_count"], now["actions"]) == (2001, 2001, ["retry", "set", "delete"])
    with closing(sqlite3.connect(tmp_path / "home" / "b" / "batch.db")) as file:
        runs = file.execute("SELECT run, count(*) FROM outcomes GROUP BY run ORDER BY run").fetchall()
    assert runs == [(1, 2001), (2, 2000)], "each of those once more, and the one that was not found in time not at all"


def is_looking(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # it may be another one, which has ended meanwhile
        return "batchq.server.processes.again" in process.cmdline()
    return False


@pytest.mark.parametrize("expression", ["Error: no answer", r"a\.b \(c\) \[\^\]", ""])
def test_text_is_told_from_an_expression(expression: str) -> None:
    assert LITERAL.fullmatch(expression)


@pytest.mark.parametrize("expression", ["(a+)+$", "a*", r"\d", r"a\\+", "a{3}", "[ab]", "a|b", r"(a)\1", "\\"])
def test_expression_is_told_from_a_text(expression: str) -> None:
    assert not LITERAL.fullmatch(expression)
