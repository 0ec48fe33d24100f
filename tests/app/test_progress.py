"""The display of progress, on a clock of the test's own."""

from __future__ import annotations

import io

import pytest

from batchq.app.progress import Lines, Pace, open_display, words
from batchq.model import Tally
from batchq.store.rows import Progress


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    """A pipe whose reader has left, as after ``| head``."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def at(done: int, items: int = 1000, input_done: bool = True, **more: int) -> Progress:
    return Progress("running", None, input_done, Tally(items=items, success=done, **more))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_line_every_ten_seconds_and_one_at_the_end(clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines(stream, clock)
    for tick in range(251):
        clock.now = 1000 + tick / 10
        lines.show(at(tick))
    lines.close()
    said = stream.getvalue().splitlines()
    assert len(said) == 3, said
    assert said[0].startswith("batchq: 100 of 1,000 done (10%)")
    assert said[-1].startswith("batchq: 250 of 1,000 done (25%)")
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_the_rate_is_that_of_this_session_and_of_the_last_minute(clock: Clock) -> None:
    pace = Pace(clock)
    pace.note(5000)  # what was done before a resume
    assert pace.lately(5000) is None
    for second in range(1, 201):
        clock.now = 1000 + second
        pace.note(5000 + 2 * second if second <= 100 else 5200 + 10 * (second - 100))
    assert pace.overall(6200) == pytest.approx(1200 / 200)
    assert pace.lately(6200) == pytest.approx(10, rel=0.01)


def test_a_total_that_still_grows_has_a_plus_and_no_percentage() -> None:
    said = words(at(5, items=70, input_done=False), 2.0)
    assert said.startswith("5 of 70+ done") and "%" not in said and "left" not in said
    assert words(at(5, items=70, input_done=False), None, short=True) == "5/70+"
    assert words(at(0, items=0), None) == "0 items"


def test_failed_retried_rate_and_time_left_are_told() -> None:
    said = words(at(60, items=122, failed=2, retries=5), 3.0)
    assert said == "62 of 122 done (50%), 2 failed, 5 retried, 3.0 items/s, 20.0 s left"


def test_whoever_looks_on_may_leave_and_the_batch_goes_on(clock: Clock) -> None:
    lines = Lines(Closed(), clock)
    for _ in range(3):
        clock.now += 20
        lines.show(at(1))
    lines.note("never seen")
    lines.close()
    with open_display(stream=Closed(), environ={}) as display:
        display.show(at(1))


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"TQDM_DISABLE": "1"}])
def test_terminal_that_asks_for_no_bar_gets_lines(environ: dict[str, str]) -> None:
    stream = Terminal()
    with open_display(stream=stream, environ=environ) as display:
        display.show(at(3, items=3))
        display.note("a message")
    assert "3 of 3 done (100%)" in stream.getvalue() and "a message" in stream.getvalue()
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_bar_shows_counts_and_a_message_stands_on_a_line_of_its_own() -> None:
    stream = Terminal()
    with open_display(stream=stream, environ={"TERM": "xterm", "NO_COLOR": "1"}) as display:
        display.show(at(40, items=100, input_done=False))
        display.note("two items have the same id")
        display.show(at(98, items=100, failed=2))
    drawn = stream.getvalue().replace("\r", "\n").splitlines()
    assert any("40/100+" in line for line in drawn)
    assert "batchq: two items have the same id" in drawn
    assert "100%|" in drawn[-1] and "100/100, 2 failed" in drawn[-1]
    assert "\x1b[3" not in stream.getvalue(), "no colours"


def test_quiet_shows_nothing() -> None:
    stream = Terminal()
    with open_display(quiet=True, stream=stream) as display:
        display.show(at(1))
        display.note("hello")
    assert stream.getvalue() == ""
