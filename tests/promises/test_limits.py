"""Limits that somebody changes while a batch runs: felt at once, never overstepped, remembered."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from command import Bench, ended, kill, members, workers
from said import say
from waiting import wait_until

from batchq.engine.board import Board
from batchq.store.connection import open_reader

pytestmark = pytest.mark.slow

HANDLERS = """
import asyncio, json, os, time
from batchq import Halt

def note(word, item):
    with open("notes", "a") as file:
        file.write(json.dumps([word, item["n"], time.monotonic(), os.getpid()]) + "\\n")

async def timed(item):
    note("start", item)
    await asyncio.sleep(0.2)
    note("end", item)

async def timed_until_gate(item):
    note("start", item)
    for _ in range(10):
        if not os.path.exists("gate"):
            await asyncio.sleep(0.02)
    note("end", item)

async def timed_then_held(item):
    note("start", item)
    await asyncio.sleep(0.2)
    while item["n"] > 60 and not os.path.exists("gate"):
        await asyncio.sleep(0.02)
    note("end", item)

async def quick_then_held(item):
    note("start", item)
    while item["n"] > 60 and not os.path.exists("gate"):
        await asyncio.sleep(0.02)

async def quick(item):
    note("start", item)

async def held(item):
    note("start", item)
    while not os.path.exists("gate"):
        await asyncio.sleep(0.02)
    note("end", item)

async def one_is_slow(item):
    note("start", item)
    while item["n"] == 3 and not os.path.exists("gate"):
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.02)

async def others_fail_once(item, ctx):
    await one_is_slow(item)
    if item["n"] != 3 and ctx.attempt == 1:
        raise ConnectionError("not yet")

async def one_halts(item):
    note("start", item)
    while item["n"] == 2 and not os.path.exists("gate"):
        await asyncio.sleep(0.02)
    if item["n"] == 2:
        raise Halt("enough")
    await asyncio.sleep(0.1)
    while item["n"] > 100 and not os.path.exists("halted"):
        await asyncio.sleep(0.02)

async def fails(item):
    note("start", item)
    raise ConnectionError("no")

class Busy(Exception):
    status_code = 429

async def overloaded(item):
    note("start", item)
    await asyncio.sleep(0.02)
    if not os.path.exists("gate"):
        raise Busy("slow down")

async def holds(item, ctx):
    ctx.hold(0.1)
    await asyncio.sleep(0.1)

async def spends(item, ctx):
    note("ask", item)
    spending = await ctx.spend(tokens=10, usd=0.5)
    note("start", item)
    spending.settle(tokens=5)

def spends_too_much(item, ctx):
    ctx.spend(tokens=1e12)
    note("start", item)

def spends_in_a_thread(item, ctx):
    note("ask", item)
    ctx.spend(tokens=10)
    note("start", item)
"""
PATIENCE = 30.0
"""Much more than the second within which a change is to be felt: the machine may be busy."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "limited.py").write_text(HANDLERS)
    return Bench(tmp_path)


def begin(bench: Bench, handler: str, items: int, *options: str) -> Any:
    bench.write_input(items)
    return bench.begin("start", "input.jsonl", "--func", f"limited.py:{handler}", "--id", "b1", "-q", *options)


def notes(bench: Bench, word: str = "start") -> list[tuple[int, float, int]]:
    """(n, monotonic time, pid) of what the handlers noted."""
    path = bench.folder / "notes"
    # Where a page of the file ends, the last line may be there in part.
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    read = [json.loads(line) for line in whole.splitlines()]
    return [(n, when, pid) for what, n, when, pid in read if what == word]


def change(bench: Bench, *options: str) -> None:
    done = bench.run("set", "b1", *options)
    assert done.returncode == 0, done.stderr


def status(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bench.run("status", "b1", "--json").stdout)
    return found


def most_at_once(bench: Bench) -> int:
    events = [(when, 1) for _, when, _ in notes(bench)] + [(when, -1) for _, when, _ in notes(bench, "end")]
    running = most = 0
    for _, step in sorted(events):
        running += step
        most = max(most, running)
    return most


def test_higher_concurrency_is_felt_by_the_workers_that_run(bench: Bench) -> None:
    process = begin(bench, "held", 40, "-c", "2", "-w", "2")
    wait_until(lambda: len(notes(bench)) == 2)
    pids = {pid for _, _, pid in notes(bench)}
    change(bench, "--concurrency", "12")
    wait_until(lambda: len(notes(bench)) == 12, PATIENCE)
    assert {pid for _, _, pid in notes(bench)} == pids, "no worker was replaced for it"
    (bench.folder / "gate").touch()
    assert ended(process) == 0
    assert most_at_once(bench) <= 12
    assert bench.broken_invariants() == []


def test_lower_concurrency_begins_nothing_until_so_few_are_in_flight(bench: Bench) -> None:
    process = begin(bench, "held", 30, "-c", "10", "-w", "2")
    wait_until(lambda: len(notes(bench)) == 10)
    change(bench, "-c", "1")
    wait_until(lambda: status(bench)["spec"]["concurrency"] == 1)
    board = Board(bench.database.with_name("board"))
    wait_until(lambda: sum(place.obeyed for place in board) <= 1, PATIENCE)
    (bench.folder / "gate").touch()
    assert ended(process) == 0
    ends = sorted(when for _, when, _ in notes(bench, "end"))
    late = [when for _, when, _ in notes(bench) if when > ends[9]]
    assert len(late) == 20, "one at a time once the ten were through"
    running = [
        sum(when <= moment for _, when, _ in notes(bench)) - sum(end <= moment for end in ends) for moment in late
    ]
    assert max(running) <= 2, "the note of an end comes a moment after the next may begin"


def test_concurrency_beyond_the_room_that_was_made_for_it_is_felt_too(bench: Bench) -> None:
    process = begin(bench, "held", 2300, "-c", "1", "-w", "1")
    wait_until(lambda: len(notes(bench)) == 1)
    change(bench, "-c", "2200")
    (bench.folder / "gate").touch()
    assert ended(process) == 0
    assert len(bench.outcomes()) == 2300
    assert bench.broken_invariants() == []


def test_workers_come_and_go_and_never_run_more_than_the_concurrency(bench: Bench) -> None:
    process = begin(bench, "timed_until_gate", 2000, "-c", "6", "-w", "1")
    wait_until(lambda: notes(bench))
    change(bench, "--workers", "3")
    wait_until(lambda: len({pid for _, _, pid in notes(bench)}) == 3)
    change(bench, "--workers", "1")
    wait_until(lambda: len(workers(process.pid)) == 1)
    (bench.folder / "gate").touch()
    assert ended(process) == 0
    assert most_at_once(bench) <= 6
    assert len(bench.outcomes()) == 2000


def test_shorter_timeout_ends_what_is_in_flight(bench: Bench) -> None:
    process = begin(bench, "held", 2, "-c", "2", "--timeout", "0", "--retry-attempts", "1")
    wait_until(lambda: len(notes(bench)) == 2)
    change(bench, "--timeout", "0.2")
    assert ended(process) == 1
    assert "ItemTimeout" in bench.run("results", "b1").stdout


def test_other_number_of_attempts_holds_for_items_that_wait_for_their_next(bench: Bench) -> None:
    process = begin(bench, "fails", 2, "-c", "2", "--retry-attempts", "9", "--retry-delay", "1", "--no-breaker")
    wait_until(lambda: len(notes(bench)) >= 2)
    change(bench, "--retry-attempts", "2")
    assert ended(process) == 1
    assert len(notes(bench)) <= 14, "far from nine each, which take three minutes"


def test_limits_are_remembered_and_may_be_changed_while_nothing_runs(bench: Bench) -> None:
    process = begin(bench, "held", 1000, "-c", "2", "-w", "2")
    wait_until(lambda: len(notes(bench)) == 2)
    bench.run("pause", "b1")
    bench.stops(process)
    (bench.folder / "gate").touch()
    assert ended(process) == 3
    change(bench, "-c", "4", "--rate", "100/s", "--halt", "50%")
    change(bench, "--rate", "tokens=90k/m")
    spec = status(bench)["spec"]
    assert (spec["concurrency"], spec["rates"], spec["halt"]) == (4, ["100/s", "tokens=90k/m"], "50%")
    change(bench, "--rate", "none", "--halt", "none")
    spec = status(bench)["spec"]
    assert (spec["concurrency"], spec["rates"], spec["halt"]) == (4, [], None)
    resumed = bench.run("resume", "b1")
    assert resumed.returncode == 0 and "4 at a time" in resumed.stderr
    assert most_at_once(bench) <= 4


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A batch that has ended."""
    made = Bench(tmp_path_factory.mktemp("finished"))
    (made.folder / "limited.py").write_text(HANDLERS)
    assert ended(begin(made, "quick", 1)) == 0
    return made


@pytest.mark.parametrize(
    "options, complaint",
    [
        ([], "nothing to change"),
        (["-c", "0"], "--concurrency must be a whole number from 1"),
        (["--rate", "fast"], "rate must be such as 10/s, 600/m or tokens=90k/m, not 'fast'"),
        (["--budget", "20"], "budget must be such as usd=20"),
        (["--memfree", "much"], "--memfree must be a size such as 512M or 2G, not 'much'"),
        (["--deadline", "yesterday"], "--deadline must be a time to come"),
        (["--halt", "all"], "halt must be a number of failed items"),
    ],
)
def test_limit_that_cannot_be_is_refused_and_changes_nothing(
    finished: Bench, options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def spec() -> Any:
        return json.loads(say(capsys, finished.home, "status", "b1", "--json").out)["spec"]

    before = spec()
    done = say(capsys, finished.home, "set", "b1", *options)
    assert (done.code, complaint in done.err, "Traceback" in done.err) == (2, True, False), done.err
    assert spec() == before


def test_rate_is_kept_by_all_workers_together_evenly_and_across_a_pause(bench: Bench) -> None:
    process = begin(bench, "quick_then_held", 180, "-c", "10", "-w", "2", "--rate", "30/s")
    wait_until(lambda: len(notes(bench)) >= 40)
    bench.run("pause", "b1")
    bench.stops(process)
    (bench.folder / "gate").touch()
    assert ended(process) == 3
    assert bench.run("resume", "b1", "-q").returncode == 0
    times = sorted(when for _, when, _ in notes(bench))
    assert len(times) == 180
    assert len({pid for _, _, pid in notes(bench)}) >= 2
    for earlier, moment in enumerate(times):
        # A busy machine makes some come late, by which the next ones come closer: up to the starts of a second.
        assert all(when - moment >= ahead / 30 - 1 for ahead, when in enumerate(times[earlier:]))


def test_rate_is_changed_taken_away_and_put_on_a_batch_that_had_none(bench: Bench) -> None:
    process = begin(bench, "timed_then_held", 120, "-c", "4", "-w", "2", "--rate", "1/h")
    wait_until(lambda: notes(bench))
    change(bench, "--rate", "20/s")
    wait_until(lambda: len(notes(bench)) >= 10, PATIENCE)
    change(bench, "--rate", "none")
    wait_until(lambda: len(notes(bench)) >= 30, PATIENCE)
    change(bench, "--rate", "1/d")
    log = bench.home / "b1" / "batch.log"
    wait_until(lambda: log.read_text().count("other limits hold") == 3, PATIENCE)
    (bench.folder / "gate").touch()
    bench.run("pause", "b1")
    assert ended(process) == 3
    begun = len(notes(bench))
    assert begun < 120, "the last limit let next to nothing begin"
    change(bench, "--rate", "none")
    assert bench.run("resume", "b1", "-q").returncode == 0
    assert len(bench.outcomes()) == 120


@pytest.mark.parametrize("handler", ["spends", "spends_in_a_thread"])
def test_what_handlers_spend_is_limited_and_waiting_for_it_is_no_time_of_theirs(bench: Bench, handler: str) -> None:
    process = begin(bench, handler, 30, "-c", "30", "-w", "2", "--rate", "tokens=100/s", "--timeout", "1")
    assert ended(process) == 0, "nothing has timed out, although most have waited for more than a second"
    since = min(when for _, when, _ in notes(bench, "ask"))
    until = max(when for _, when, _ in notes(bench))
    assert until - since >= 30 * (5 if handler == "spends" else 10) / 100 - 1
    spent = status(bench)["spent"]
    assert spent["tokens"] == (150 if handler == "spends" else 300)
    report = json.loads(bench.run("report", "b1", "--format", "json").stdout)
    assert report["avg_processing_time"] < 0.5


def charged(bench: Bench) -> float:
    """Tokens that are spent, and those that wait to be."""
    with closing(open_reader(bench.database)) as connection:
        found = connection.execute("SELECT total(amount + waiting) FROM spent WHERE unit = 'tokens'").fetchone()
    return float(found[0])


@pytest.mark.parametrize("handler", ["spends", "spends_in_a_thread"])
def test_who_waits_for_a_rate_goes_on_when_that_is_raised(bench: Bench, handler: str) -> None:
    process = begin(bench, handler, 10, "-c", "10", "-w", "2", "--rate", "tokens=10/d")
    wait_until(lambda: notes(bench) and charged(bench) >= 90)
    assert len(notes(bench)) < 10
    change(bench, "--rate", "tokens=1k/s")
    wait_until(lambda: len(notes(bench)) == 10, PATIENCE)
    assert ended(process) == 0


def test_charge_that_nobody_could_wait_for_ends_neither_worker_nor_batch(bench: Bench) -> None:
    process = begin(bench, "spends_too_much", 4, "-c", "4", "-w", "1", "--rate", "tokens=1/d")
    wait_until(lambda: notes(bench) and charged(bench) >= 4e12)
    change(bench, "--rate", "none")
    assert ended(process) == 0


def test_budget_that_is_used_up_pauses_the_batch_until_there_is_more(bench: Bench) -> None:
    process = begin(bench, "spends", 60, "-c", "2", "-w", "2", "--budget", "usd=5")
    assert ended(process) == 3
    found = status(bench)
    assert (found["state"], "the budget of 5 usd is used up" in found["reason"]) == ("paused", True)
    begun = len(notes(bench))
    assert 10 <= begun <= 10 + 4, "what was in flight still finished"
    assert bench.run("resume", "b1", "-q").returncode == 3
    assert len(notes(bench)) == begun, "nothing begins while it is used up"
    change(bench, "--budget", "usd=100")
    assert bench.run("resume", "b1", "-q").returncode == 0
    assert status(bench)["spent"]["usd"] == 30


def test_what_has_not_begun_at_the_deadline_expires_and_the_rest_stays(bench: Bench) -> None:
    process = begin(bench, "timed", 4000, "-c", "2", "--deadline", "1h")
    wait_until(lambda: len(notes(bench, "end")) > 2)
    change(bench, "--deadline", "1s")
    assert ended(process) == 3
    found = status(bench)
    assert (found["state"], "its deadline" in found["reason"]) == ("expired", True)
    done = len(bench.outcomes())
    assert 0 < done < 4000
    assert len(notes(bench)) == done, "what was in flight has finished"
    again = bench.run("resume", "b1")
    assert (again.returncode, "expired" in again.stderr) == (0, True)
    assert len(notes(bench)) == done
    assert bench.broken_invariants() == []


def test_nothing_begins_while_memory_is_short(bench: Bench) -> None:
    process = begin(bench, "quick", 20, "-c", "2", "--memfree", "900T")
    log = bench.home / "b1" / "batch.log"
    wait_until(lambda: log.exists() and "memory is short" in log.read_text())
    assert notes(bench) == []
    change(bench, "--memfree", "1k")
    assert ended(process) == 0
    assert len(notes(bench)) == 20


def test_overload_lowers_the_concurrency_and_it_rises_again(bench: Bench) -> None:
    options = ("--adaptive", "--retry-attempts", "9999", "--retry-delay", "0.1", "--retry-backoff", "1", "--no-breaker")
    process = begin(bench, "overloaded", 60, "-c", "20", "-w", "2", *options)
    log = bench.home / "b1" / "batch.log"
    wait_until(lambda: log.exists() and "14 of 20 items at a time" in log.read_text())
    (bench.folder / "gate").touch()
    assert ended(process) == 0
    assert len(bench.outcomes()) == 60
    assert status(bench)["spec"]["concurrency"] == 20, "what was asked for is not forgotten"


def test_quota_that_is_used_up_holds_all_back_and_lowers_no_concurrency(bench: Bench) -> None:
    process = begin(bench, "holds", 15, "-c", "5", "-w", "1", "--adaptive")
    assert ended(process) == 0
    log = (bench.home / "b1" / "batch.log").read_text()
    assert "items at a time" not in log
    assert "has asked for it: nothing begins for 0.1 s" in log


def test_workers_are_replaced_after_so_many_items_and_no_item_runs_twice(bench: Bench) -> None:
    process = begin(bench, "timed", 60, "-c", "4", "-w", "2", "--max-tasks-per-worker", "10")
    assert ended(process) == 0
    by_worker = [pid for _, _, pid in notes(bench)]
    assert len(by_worker) == 60
    assert max(by_worker.count(pid) for pid in by_worker) <= 10
    assert len(set(by_worker)) >= 5


def test_fresh_worker_comes_beside_one_that_is_replaced_and_still_busy(bench: Bench) -> None:
    process = begin(bench, "one_is_slow", 60, "-c", "4", "-w", "1", "--max-tasks-per-worker", "8", "--timeout", "0")
    wait_until(lambda: len(notes(bench)) == 60)
    (bench.folder / "gate").touch()
    assert ended(process) == 0
    assert len(bench.outcomes()) == 60
    assert bench.broken_invariants() == []


def test_items_that_wait_for_a_retry_do_not_wait_for_the_end_of_a_worker_that_is_replaced(bench: Bench) -> None:
    options = ("-c", "4", "-w", "1", "--max-tasks-per-worker", "8", "--timeout", "0", "--retry-delay", "0.5")
    process = begin(bench, "others_fail_once", 12, *options)
    wait_until(lambda: len(notes(bench)) == 23)
    assert process.poll() is None, "item 3 is still in flight"
    (bench.folder / "gate").touch()
    assert ended(process) == 0
    starts = {n: sorted(when for m, when, _ in notes(bench) if m == n) for n in range(1, 13)}
    assert [len(starts[n]) for n in starts] == [1 if n == 3 else 2 for n in starts], "no attempt is made twice"
    assert all(again - first >= 0.5 for n, (first, *rest) in starts.items() for again in rest), "they wait as before"
    assert status(bench)["retries"] == 11
    assert bench.broken_invariants() == []


def test_batch_that_is_un_paused_goes_on_although_a_slow_item_is_still_in_flight(bench: Bench) -> None:
    process = begin(bench, "one_is_slow", 300, "-c", "4", "-w", "2", "--timeout", "0")
    wait_until(lambda: len(notes(bench)) > 20 and any(n == 3 for n, _, _ in notes(bench)))
    bench.run("pause", "b1")
    wait_until(lambda: status(bench)["state"] == "pausing")
    assert bench.run("resume", "b1").returncode == 0
    wait_until(lambda: len(notes(bench)) == 300)
    assert process.poll() is None, "item 3 is still in flight"
    (bench.folder / "gate").touch()
    assert ended(process) == 0
    assert (len(bench.outcomes()), len(notes(bench))) == (300, 300)


def test_halt_is_heard_while_workers_are_replaced_for_a_much_higher_concurrency(bench: Bench) -> None:
    process = begin(bench, "one_halts", 400, "-c", "4", "-w", "1", "--timeout", "0")
    wait_until(lambda: len(notes(bench)) > 4)
    change(bench, "-c", "20000")
    (bench.folder / "gate").touch()
    bench.stops(process)
    (bench.folder / "halted").touch()
    assert ended(process) == 3
    assert (status(bench)["state"], status(bench)["reason"]) == ("failed", "enough")


def test_slow_rate_loses_no_start_in_a_crash(bench: Bench) -> None:
    process = begin(bench, "quick", 3, "-c", "2", "-w", "2", "--rate", "3/h")
    wait_until(lambda: notes(bench))
    wait_until(lambda: len(workers(process.pid)) == 2)
    kill(members(process.pid))
    ended(process)
    with closing(open_reader(bench.database)) as connection:
        ahead_ns = connection.execute("SELECT ahead_ns FROM pace").fetchone()[0]
    assert ahead_ns <= 1200 * 10**9, "the next start is due after 20 minutes, not after an hour"


@pytest.mark.parametrize("recycled", [[], ["--max-tasks-per-worker", "10"]])
def test_budget_of_retries_holds_for_the_whole_batch(bench: Bench, recycled: list[str]) -> None:
    options = ("--retry-budget", "0.1", "--retry-attempts", "9", "--retry-delay", "0.01", "--no-breaker")
    for _ in range(3):
        process = begin(bench, "fails", 120, "-c", "4", "-w", "2", *options, *recycled)
        assert ended(process) == 1
        found = status(bench)
        # Ten are always allowed; beyond them a worker may not yet know of the last ones of another.
        if is_kept := found["retries"] <= 10 + 0.1 * found["attempts"] + 8:
            break
        shutil.rmtree(bench.home)  # once more: the supervisor, who tells them of each other, may have been stopped
    assert is_kept, found


def test_worker_that_needs_too_much_memory_is_replaced(bench: Bench) -> None:
    process = begin(bench, "timed_until_gate", 200, "-c", "4", "-w", "1", "--max-worker-memory", "1M")
    wait_until(lambda: len({pid for _, _, pid in notes(bench)}) >= 2)
    (bench.folder / "gate").touch()
    assert ended(process) == 0
    assert len(notes(bench)) == 200


@pytest.mark.parametrize("detach", [False, True])
def test_command_runs_when_the_batch_has_ended(bench: Bench, detach: bool) -> None:
    command = 'echo "$BATCHQ_ID $BATCHQ_STATE $BATCHQ_SUCCESS/$BATCHQ_TOTAL $BATCHQ_EXIT_CODE" > told; exit 5'
    process = begin(bench, "quick", 7, "--on-finish", command, *(["--detach"] if detach else []))
    assert ended(process) == 0, "how the command exits is not how the batch ends"
    told = bench.folder / "told"
    wait_until(lambda: told.exists() and told.read_text() == "b1 completed 7/7 0\n")


def test_command_may_start_the_next_batch(bench: Bench) -> None:
    following = f"{sys.executable} -m batchq start input.jsonl --func limited.py:quick --id b2 -q --home {bench.home}"
    process = begin(bench, "quick", 3, "--on-finish", following)
    assert ended(process) == 0
    assert "b2" in bench.run("status").stdout


def test_command_of_a_batch_from_elsewhere_does_not_run(bench: Bench) -> None:
    process = begin(bench, "held", 4, "-c", "1", "--on-finish", "touch told")
    wait_until(lambda: notes(bench))
    process.kill()
    ended(process)
    (bench.folder / "gate").touch()
    there = {"XDG_CONFIG_HOME": str(bench.folder / "elsewhere")}
    refused = bench.run("resume", "b1", **there)
    assert (refused.returncode, "--func" in refused.stderr) == (2, True), refused.stderr
    again = bench.run("resume", "b1", "--func", "limited.py:held", **there)
    assert (again.returncode, "will not be run" in again.stderr) == (0, True), again.stderr
    assert not (bench.folder / "told").exists()
    assert status(bench)["spec"]["on_finish"] is None
