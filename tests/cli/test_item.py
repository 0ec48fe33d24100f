"""`batchq show`: one item with all that is known of it, for people, programs and pipes."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from batches import fill, make_batch
from said import Said, say

import batchq
from batchq.engine.failures import describe, plain_failure
from batchq.errors import UsageError, WorkerCrashed
from batchq.model import FailedAttempt, Failure, Outcome, Record
from batchq.store.connection import open_writer, transaction
from batchq.store.outcomes import OutcomeWriter
from batchq.store.rerun import rerun

NOON_MS = 1_700_000_000_000
RECORDS = [
    Record('{"id": "a1", "big": 1.50}', "a1", 1, 10, 2),
    Record('{"id": "a2"}', "a2", 2, 20, 3),
    Record('{"id": "a1", "again": true}', "a1", 3, 30, 4),
    Record('{"text": "' + "long " * 1000 + '"}', None, 4, 40, 5),
    Record('{"id": 17}', 17, 5, 50, 6),
    Record('{"id": "item-2"}', "item-2", 6, 60, 7),
    Record('{"id": "#3"}', "#3", 7, 70, 8),
]


class Home:
    """A home with the batch b1 in it, asked in this process."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capsys = capsys

    def say(self, *arguments: str) -> Said:
        return say(self._capsys, self.path, *arguments)

    def shown(self, item: str) -> list[dict[str, Any]]:
        """What --json says of it."""
        found = json.loads(self.say("show", "b1", item, "--json").out)
        assert found["schema"] == 1 and found["batch_id"] == "b1"
        items: list[dict[str, Any]] = found["items"]
        return items

    def record(self, outcomes: list[Outcome], attempts: list[FailedAttempt] | None = None) -> None:
        with closing(open_writer(self.path / "b1" / "batch.db")) as connection, transaction(connection):
            OutcomeWriter(connection).record(outcomes, attempts or [])


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Home:
    folder = tmp_path / "home" / "b1"
    folder.mkdir(parents=True)
    database = make_batch(folder, [])
    fill(database, RECORDS)
    return Home(tmp_path / "home", capsys)


def failure(error: BaseException) -> Failure:
    try:
        raise error
    except BaseException as raised:
        return describe(raised)


def attempt(seq: int, number: int, error: BaseException, run: int = 1, delay_ms: int | None = 1500) -> FailedAttempt:
    return FailedAttempt(seq, run, number, NOON_MS + 1000 * number, 250_000, 3, delay_ms, failure(error))


def test_each_attempt_of_each_run_is_told_with_its_traceback_and_the_result(home: Home) -> None:
    last = attempt(2, 2, KeyError("topic"), delay_ms=None)
    home.record(
        [Outcome(2, 1, 2, 500_000, NOON_MS + 2250, 3, None, last.failure)],
        [attempt(2, 1, ValueError("no answer")), last],
    )
    assert rerun(home.path / "b1" / "batch.db", "normal", lambda row: True) == 1
    home.record([Outcome(2, 2, 1, 750_000, NOON_MS + 9000, 4, '{"n": 1.50}', None)])

    [told] = home.shown("a2")
    assert {key: told[key] for key in ("seq", "id", "line", "status", "run", "input", "result", "attempts")} == {
        "seq": 2, "id": "a2", "line": 2, "status": "success", "run": 2, "input": {"id": "a2"}, "result": {"n": 1.5},
        "attempts": 1,
    }  # fmt: skip
    kept = ("run", "attempt", "status", "started_at", "duration", "worker", "error_type", "error", "wait")
    assert [tuple(each.get(key) for key in kept) for each in told["history"]] == [
        (1, 1, "failed", "2023-11-14T22:13:21+00:00", 0.25, 3, "ValueError", "no answer", 1.5),
        (1, 2, "failed", "2023-11-14T22:13:22+00:00", 0.25, 3, "KeyError", "KeyError('topic')", None),
        (2, 1, "success", "2023-11-14T22:13:28.250000+00:00", 0.75, 4, None, None, None),
    ]
    assert told["history"][0]["traceback"].endswith("ValueError: no answer\n")

    text = home.say("show", "b1", "a2").out
    for line in (
        "b1, item a2 (#2, line 2): success",
        "Attempt 1 of run 1 at 2023-11-14 22:13:21 UTC, 0.25 s, worker 3: failed",
        "  The next attempt was due 1.5 s later.",
        "  KeyError: 'topic'",
        "Attempt 1 of run 2 at 2023-11-14 22:13:28.250 UTC, 0.75 s, worker 4: success",
    ):
        assert line in text.splitlines()
    assert "in failure\n" in text, "the frame of the one who raised it"
    assert home.say("show", "b1", "a2", "--result") == (0, '{"n": 1.50}\n', "")


def test_items_of_one_id_are_all_shown_and_told_apart(home: Home) -> None:
    said = home.say("show", "b1", "a1")
    assert [line for line in said.out.splitlines() if line.startswith("b1, item")] == [
        "b1, item a1 (#1, line 1): pending",
        "b1, item a1 (#3, line 3): pending",
    ]
    assert "2 items have the id a1" in said.err and "batchq show b1 '#1' --home" in said.err
    assert home.say("show", "b1", "a1", "--payload").out == f"{RECORDS[0].payload}\n{RECORDS[2].payload}\n"
    assert home.say("show", "b1", "a1", "--payload", "--result").code == 2


@pytest.mark.parametrize(
    "item, seqs",
    [
        ("#3", [3]),  # the place, although an item is called so
        ("item-4", [4]),  # it has no other id
        ("item-5", [5]),  # it has, and nothing else is called so
        ("item-2", [6]),  # an id of its own beats the place of one that is called otherwise
        ("17", [5]),  # an id that is a number
    ],
)
def test_item_is_found_by_id_and_by_place(home: Home, item: str, seqs: list[int]) -> None:
    assert [each["seq"] for each in home.shown(item)] == seqs


@pytest.mark.parametrize(
    "item, said",
    [("a11", "Did you mean a1?"), ("itme-2", "Did you mean item-2?"), ("#99", "from #1 to #7"), ("", "#1")],
)
def test_unknown_item_exits_2_and_is_answered_with_the_nearest(home: Home, item: str, said: str) -> None:
    told = home.say("show", "b1", item)
    assert (told.code, told.out) == (2, "") and f"no item {item!r} in batch 'b1'" in told.err
    assert said in told.err


def test_what_is_long_is_left_out_with_a_note_unless_all_is_asked_for(home: Home) -> None:
    def down(n: int) -> int:
        return up(n)

    def up(n: int) -> int:
        return down(n)

    try:
        down(1)
    except RecursionError as error:
        deep = FailedAttempt(4, 1, 1, NOON_MS, 1, 1, None, describe(error))
    home.record([Outcome(4, 1, 1, 1, NOON_MS, 1, None, deep.failure)], [deep])
    short, full = (home.say("show", "b1", "item-4", *more).out for more in ((), ("--full",)))
    assert "(5,000 characters; --full shows all)" in short and "long " * 1000 not in short
    assert "lines left out; --full shows all" in short and len(short.splitlines()) < 100
    assert "long " * 1000 in full and "--full" not in full and "RecursionError" in full
    assert home.say("show", "b1", "item-4", "--payload").out == RECORDS[3].payload + "\n"


def test_what_a_terminal_would_obey_is_shown_and_not_sent(home: Home) -> None:
    evil = attempt(2, 1, ValueError("\x1b[31mred\rforged\x00"), delay_ms=None)
    home.record([Outcome(2, 1, 1, 1, NOON_MS, 1, '{"a": "\\u001b[2J"}', None)], [evil])
    text = home.say("show", "b1", "a2").out
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert "\\x1b[31mred" in text


def test_death_of_a_worker_and_a_bad_record_are_told_without_an_attempt_being_invented(home: Home) -> None:
    crashed = describe(WorkerCrashed("SIGKILL", 2))
    bad = plain_failure("InvalidInput", "x.jsonl, line 5: not JSON", "not JSON")
    home.record([Outcome(1, 1, 1, 0, NOON_MS, 0, None, crashed), Outcome(5, 1, 0, 0, NOON_MS, 0, None, bad)])
    [first] = [each for each in home.shown("a1") if each["seq"] == 1]
    assert [(each["error_type"], each["started_at"]) for each in first["history"]] == [("WorkerCrashed", None)]
    assert home.shown("#5")[0]["history"] == []
    assert "not JSON" in home.say("show", "b1", "#5").out


def test_result_of_an_item_that_has_none_is_no_empty_line(home: Home) -> None:
    home.record([Outcome(2, 1, 1, 1, NOON_MS, 1, None, failure(ValueError("no")))])
    assert home.say("show", "b1", "a2", "--result")[:2] == (1, "")
    pending = home.say("show", "b1", "#4", "--result")
    assert pending[:2] == (3, "") and "it is pending" in pending.err
    assert home.say("show", "b1", "a2", "--result", "--json").code == 2


def test_library_hands_out_one_item_and_refuses_to_guess(home: Home) -> None:
    batch = batchq.open("b1", home.path)
    assert (batch.item("a2").seq, batch.item(2).item_id, batch.item("#2").input) == (2, "a2", {"id": "a2"})
    with pytest.raises(UsageError, match="2 items have the id 'a1'"):
        batch.item("a1")
    with pytest.raises(UsageError, match="no item"):
        batch.item(99)
