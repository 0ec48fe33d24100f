"""A clock that somebody sets back: nothing freezes, no duration is negative, and who lives is still known."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import ledger
import pytest
from batches import make_batch
from command import Bench, ended, workers
from waiting import wait_until

from batchq.app.status import status_of
from batchq.engine.failures import plain_failure
from batchq.model import FailedAttempt, Outcome
from batchq.store.chunks import ChunkQueue
from batchq.store.connection import open_writer, transaction
from batchq.store.home import BatchFolder, Holder
from batchq.store.outcomes import OutcomeWriter
from batchq.store.pace import StoredBook

pytestmark = pytest.mark.slow

HOUR = 3600.0
DELAY_MS = 600_000
SECONDS = 120.0
"""Much more than a batch of these tests takes, and much less than the hour."""
SITES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/local/lib/faketime/libfaketimeMT.so.1")


def later_ms() -> int:
    """The time by a clock that is an hour ahead."""
    return int((time.time() + HOUR) * 1000)


def test_item_that_waits_since_before_the_clock_was_set_back_waits_for_its_own_delay_at_most(tmp_path: Path) -> None:
    database = make_batch(tmp_path, ["1"])
    failed = plain_failure("ConnectionError", "down", "down")
    with closing(open_writer(database)) as connection:
        queue = ChunkQueue(connection, "1", 1)
        with transaction(connection):
            chunk, _ = queue.claim(1).chunks[0]
            OutcomeWriter(connection).record([], [FailedAttempt(1, 1, 1, later_ms(), 1000, 1, DELAY_MS, failed)])
            queue.put_back(chunk.message_id, [1])
        with transaction(connection):
            _, items = queue.claim(1).chunks[0]
    assert 0 < items[0].wait_ms <= DELAY_MS


def test_pace_of_another_boot_whose_clock_was_ahead_holds_for_what_was_left_at_most(tmp_path: Path) -> None:
    database = make_batch(tmp_path, ["1"])
    with closing(open_writer(database)) as connection:
        with transaction(connection):
            StoredBook(connection).hold(DELAY_MS / 1000)
        connection.execute("UPDATE pace SET boot = 'another', until_ms = until_ms + ?", (int(HOUR * 1000),))
        assert DELAY_MS / 2000 < StoredBook(connection).held_seconds() < DELAY_MS / 1000 + 0.01, "but for rounding"


def test_outcomes_from_the_future_make_no_rate(tmp_path: Path) -> None:
    folder = tmp_path / "b1"
    folder.mkdir()
    database = make_batch(folder, ["1", "2"])
    with closing(open_writer(database)) as connection, transaction(connection):
        OutcomeWriter(connection).record([Outcome(1, 1, 1, 1000, later_ms(), 1, "1", None)])
    lock = BatchFolder(folder).supervise()
    try:
        now = status_of(BatchFolder(folder))
    finally:
        lock.release()
    assert (now.tally.done, now.rate, now.remaining_seconds) == (1, None, None)


def test_process_that_lives_is_known_although_the_clock_was_set_since(tmp_path: Path) -> None:
    me = Holder.myself()
    assert me.is_alive()
    set_back = Holder(me.pid, me.started + HOUR, me.since + HOUR, me.uptime)
    assert set_back.is_alive()
    assert me.uptime is not None
    assert not Holder(me.pid, me.started + HOUR, me.since + HOUR, me.uptime + HOUR).is_alive(), "that was another one"
    assert Holder(me.pid, me.started, me.since).is_alive(), "an older batchq wrote that"


def faked(folder: Path) -> tuple[dict[str, str], Path]:
    """The environment in which the clock is ahead by what the file says; skips where it cannot be faked."""
    found = [path for site in SITES for path in Path("/").glob(site[1:])]
    if not found or not sys.platform.startswith("linux"):
        pytest.skip("the clock is set with libfaketime, which is not installed")
    clock = folder / "clock"
    clock.write_text("+3600s\n")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }, clock


HANDLERS = """
import os, time
from ledger import note, read
from pathlib import Path

def fails_once(item):
    note("start", item)
    if read(Path(os.environ["LEDGER"])).count(("start", item["n"])) == 1:
        raise ConnectionError("down")
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.02)
    return item["n"]
"""


def check_completed(bench: Bench) -> None:
    now = json.loads(bench.run("status", "b1", "--json").stdout)
    assert (now["state"], now["success_count"]) == ("completed", bench.items)
    assert datetime.fromisoformat(now["created_at"]).timestamp() > time.time() + HOUR / 2, "no clock was ahead"
    report = json.loads(bench.run("report", "b1", "--json").stdout)
    times = ("total_duration", "wall_time", "paused_time", "avg_processing_time")
    assert all(report[name] >= 0 for name in times), {name: report[name] for name in times}
    assert report["wall_time"] >= report["total_duration"] > 0
    assert "-" not in bench.run("report", "b1").stdout.split("time ", 1)[1].splitlines()[0]
    assert all(json.loads(line)["duration"] >= 0 for line in bench.run("results", "b1").stdout.splitlines())
    assert bench.broken_invariants() == []


OPTIONS = ("-c", "4", "-w", "2", "-q", "--retry-delay", "2", "--rate", "20/s", "--no-breaker")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.write_input(16)
    (tmp_path / "flaky.py").write_text(HANDLERS)
    return made


def test_clock_set_back_while_items_wait_delays_nothing(bench: Bench) -> None:
    environment, clock = faked(bench.folder)
    since = time.monotonic()
    process = bench.begin(
        "start", "input.jsonl", "--func", "flaky.py:fails_once", "--id", "b1", *OPTIONS, **environment
    )
    wait_until(lambda: len(ledger.read(bench.ledger)) >= 10)
    clock.write_text("+0s\n")
    (bench.folder / "gate").touch()
    assert ended(process) == 0
    assert time.monotonic() - since < SECONDS
    check_completed(bench)


def test_clock_set_back_between_two_runs_delays_nothing(bench: Bench) -> None:
    environment, _ = faked(bench.folder)
    process = bench.begin(
        "start", "input.jsonl", "--func", "flaky.py:fails_once", "--id", "b1", *OPTIONS, **environment
    )
    wait_until(lambda: len(ledger.read(bench.ledger)) >= 10 and workers(process.pid))
    assert bench.run("pause", "b1").returncode == 0
    bench.stops(process)
    (bench.folder / "gate").touch()
    assert ended(process) == 3
    assert len(bench.outcomes()) < bench.items
    since = time.monotonic()
    done = bench.run("resume", "b1", "-q")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - since < SECONDS
    check_completed(bench)
