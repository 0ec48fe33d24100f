"""Handlers that go wrong in a QUEUE batch: one item fails, says why, and nothing else is touched."""

from __future__ import annotations

import pytest
from durable import Library, ideas
from troubles import BAD, one_of_many

from batchq import BatchReport

COUNT = 12
NOT_STORED = "result cannot be stored as JSON: "


def run_with_one(how: str, library: Library) -> BatchReport:
    """Twelve items, the third of which goes wrong; the eleven others succeed, whatever happens to that one."""
    report = library.process([{**idea, "how": how} for idea in ideas(COUNT)], one_of_many, max_concurrent=3)
    assert (report.state, report.success_count, report.failure_count) == ("completed", COUNT - 1, 1)
    others = [n for n in range(1, COUNT + 1) if n != BAD]
    assert [result["result"] for result in report.results if result["status"] == "success"] == others
    starts = library.starts()
    assert {n: starts[n] for n in others} == dict.fromkeys(others, 1), "a neighbour ran again"
    assert starts[BAD] == report.failures[0]["attempts"]
    assert library.broken_invariants() == []
    return report


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("unstorable", "$.client.locks[0] is lock"),
        ("not_a_number", "$.scores[1] is float (nan is not JSON)"),
        ("forgets_to_await", "$.title is coroutine (it was never awaited: write `await` before the call)"),
        ("generator", "$ is generator (it has not run yet: return a list of what it yields)"),
        ("async_generator", "$ is async_generator (it has not run yet: return a list of what it yields)"),
        ("nested_too_deeply", "it is nested too deeply, or contains itself"),
    ],
)
def test_result_that_cannot_be_stored_names_the_culprit_and_is_not_tried_again(
    how: str, words: str, library: Library, capfd: pytest.CaptureFixture[str]
) -> None:
    failure = run_with_one(how, library).failures[0]
    assert (failure["idea_id"], failure["error_type"], failure["attempts"]) == ("i3", "UnserializableResult", 1)
    assert failure["error"].startswith(NOT_STORED) and words in failure["error"]
    assert "RuntimeWarning" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("how", "error_type", "error"),
    [
        ("unpicklable", "troubles.Unpicklable", "status 500"),
        ("speechless", "troubles.Speechless", "<Speechless, whose text raises RuntimeError>"),
        ("fails", "ValueError", "item 3 is refused"),
        ("says_nothing", "TimeoutError", "TimeoutError()"),
    ],
)
def test_exception_of_any_kind_is_told_as_text_and_tried_again(
    how: str, error_type: str, error: str, library: Library
) -> None:
    failure = run_with_one(how, library).failures[0]
    assert (failure["error_type"], failure["error"], failure["attempts"]) == (error_type, error, 3)


@pytest.mark.parametrize(
    ("how", "error_type"),
    [
        ("leaves", "SystemExit"),
        ("presses_ctrl_c", "KeyboardInterrupt"),
        ("cancels_itself", "asyncio.exceptions.CancelledError"),
        ("wrongly_written", "NameError"),
    ],
)
def test_what_wants_to_end_the_process_fails_its_item_alone_and_is_not_tried_again(
    how: str, error_type: str, library: Library
) -> None:
    failure = run_with_one(how, library).failures[0]
    assert (failure["error_type"], failure["attempts"]) == (error_type, 1)


def test_handler_that_changes_its_idea_gets_it_unchanged_at_the_next_attempt(library: Library) -> None:
    report = library.process(
        [{"id": f"i{n}", "n": n, "how": "changes_its_idea", "tags": ["tea"]} for n in range(1, 6)], one_of_many
    )
    assert (report.success_count, report.failure_count) == (5, 0)
    assert library.starts()[BAD] == 2
