"""Handlers that go wrong in a QUEUE batch: each item fails alone, says why, and nothing else is touched."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import troubles
from durable import Library, ideas

from batchq import BatchReport

pytestmark = pytest.mark.slow

NOT_STORED = "result cannot be stored as JSON: "
UNSTORABLE = {
    "unstorable": "$.client.locks[0] is lock",
    "not_a_number": "$.scores[1] is float (nan is not JSON)",
    "forgets_to_await": "$.title is coroutine (it was never awaited: write `await` before the call)",
    "generator": "$ is generator (it has not run yet: return a list of what it yields)",
    "async_generator": "$ is async_generator (it has not run yet: return a list of what it yields)",
    "nested_too_deeply": "it is nested too deeply, or contains itself",
}
TRANSIENT = {
    "unpicklable": ("troubles.Unpicklable", "status 500"),
    "speechless": ("troubles.Speechless", "<Speechless, whose text raises RuntimeError>"),
    "fails": ("ValueError", "item {n} is refused"),
    "says_nothing": ("TimeoutError", "TimeoutError()"),
}
FINAL = {
    "leaves": "SystemExit",
    "presses_ctrl_c": "KeyboardInterrupt",
    "cancels_itself": "asyncio.exceptions.CancelledError",
    "wrongly_written": "NameError",
}
HOWS = [*UNSTORABLE, *TRANSIENT, *FINAL]


class Ran(NamedTuple):
    """A batch in which every trouble has its item, and every other item goes right."""

    report: BatchReport
    failures: dict[str, Any]
    starts: dict[str, int]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run, in one worker, whose slots the troubles share with those that go right."""
    library = Library(tmp_path_factory.mktemp("troubles"))
    items = [{"id": how or f"good-{n}", "n": n, "how": how} for n, how in enumerate(interleaved(), 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEDGER", str(library.ledger))
        report = library.process(items, troubles.as_it_says, max_concurrent=4)
    starts = library.starts()
    assert library.broken_invariants() == []
    return Ran(
        report,
        {failure["idea_id"]: failure for failure in report.failures},
        {item["id"]: starts[item["n"]] for item in items},
    )


def interleaved() -> list[str]:
    """The troubles, with an item that goes right before and after each."""
    return [part for how in HOWS for part in ("", how)] + [""]


def test_items_that_go_right_are_untouched_by_their_neighbours(ran: Ran) -> None:
    assert (ran.report.state, ran.report.success_count, ran.report.failure_count) == ("completed", 15, len(HOWS))
    right = {result["idea_id"]: result["result"] for result in ran.report.results if result["status"] == "success"}
    assert right == {f"good-{n}": n for n in range(1, 2 * len(HOWS) + 2, 2)}
    assert all(ran.starts[item_id] == 1 for item_id in right), "a neighbour ran again"
    assert (ran.report.interruptions, list(ran.failures)) == (0, HOWS)


@pytest.mark.parametrize("how", UNSTORABLE)
def test_result_that_cannot_be_stored_names_the_culprit_and_is_not_tried_again(how: str, ran: Ran) -> None:
    failure = ran.failures[how]
    assert (failure["error_type"], failure["attempts"], ran.starts[how]) == ("UnserializableResult", 1, 1)
    assert failure["error"].startswith(NOT_STORED) and UNSTORABLE[how] in failure["error"]


@pytest.mark.parametrize("how", TRANSIENT)
def test_exception_of_any_kind_is_told_as_text_and_tried_again(how: str, ran: Ran) -> None:
    failure = ran.failures[how]
    error_type, error = TRANSIENT[how]
    assert (failure["error_type"], failure["error"]) == (error_type, error.format(n=failure["seq"]))
    assert (failure["attempts"], ran.starts[how]) == (3, 3)


@pytest.mark.parametrize("how", FINAL)
def test_what_wants_to_end_the_process_fails_its_item_alone_and_is_not_tried_again(how: str, ran: Ran) -> None:
    failure = ran.failures[how]
    assert (failure["error_type"], failure["attempts"], ran.starts[how]) == (FINAL[how], 1, 1)


def test_coroutine_that_was_never_awaited_is_told_once_and_python_does_not_warn_too(
    library: Library, capfd: pytest.CaptureFixture[str]
) -> None:
    report = library.process(ideas(3), troubles.forgets_to_await)
    assert report.failure_count == 3
    assert capfd.readouterr().err == ""


def test_handler_that_changes_its_idea_gets_it_unchanged_at_the_next_attempt(library: Library) -> None:
    report = library.process([{"id": f"i{n}", "n": n, "tags": ["tea"]} for n in range(1, 6)], troubles.changes_its_idea)
    assert [result["result"] for result in report.results] == [["tea", "spoiled"]] * 5
    assert report.attempts > 5
