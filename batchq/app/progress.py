"""Progress on stderr, drawn from the tally: a bar on a terminal, elsewhere a plain line every ten seconds.

Whoever looks on may go away (a closed pipe, a terminal that hung up): the batch goes on, so nothing here raises.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from importlib import import_module
from types import TracebackType
from typing import Any, Final, Protocol, TextIO

from batchq.app.text import progress_words, spent_words, wait_words
from batchq.app.words import duration, rate
from batchq.store.rows import Progress

LINE_SECONDS: Final = 10.0
DRAW_SECONDS: Final = 0.1
SAMPLE_SECONDS: Final = 1.0
PACE_SECONDS: Final = 60
"""The rate is that of the last minute: long enough to be calm, short enough to show a change."""
UNKNOWN_WIDTH: Final = 80
UNKNOWN_HEIGHT: Final = 20
"""Of a terminal that says it has no columns and no rows, as those of some containers do."""
BAR: Final = "{percentage:3.0f}%|{bar}| {desc}"
GROWING_BAR: Final = "   ?|{bar}| {desc}"
"""While the input is being read there is no percentage: the total still grows."""


class Display(Protocol):
    """What shows the progress of one session."""

    def show(self, progress: Progress) -> None:
        """Take note of how far the batch is; about ten times a second."""

    def note(self, text: str) -> None:
        """Show a message for the user."""

    def close(self) -> None:
        """Show the last state and leave."""


class Pace:
    """The rate of this session alone: what was done before a resume does not count.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque(maxlen=int(PACE_SECONDS / SAMPLE_SECONDS))
        self._first: tuple[float, int] | None = None

    def note(self, done: int) -> None:
        """That many items have an outcome now."""
        now = self._clock()
        self._first = self._first or (now, done)
        if not self._samples or now - self._samples[-1][0] >= SAMPLE_SECONDS:
            self._samples.append((now, done))

    def lately(self, done: int) -> float | None:
        """Items per second over about the last minute; None before anything was done."""
        return self._since(self._samples[0] if self._samples else None, done)

    def overall(self, done: int) -> float | None:
        """Items per second over the whole session."""
        return self._since(self._first, done)

    def _since(self, sample: tuple[float, int] | None, done: int) -> float | None:
        if sample is None or done <= sample[1]:
            return None
        return (done - sample[1]) / max(self._clock() - sample[0], 0.001)


class Silence:
    """For --quiet."""

    def show(self, progress: Progress) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines:
    """A plain line every ten seconds and one at the end, for logs: no carriage return, no escape.

    Args:
        stream: where to write.
        clock: monotonic seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._pace = Pace(clock)
        self._last: Progress | None = None
        self._listening = True
        self._due = clock() + LINE_SECONDS

    def show(self, progress: Progress) -> None:
        """Write a line when it is time for one."""
        self._last = progress
        self._pace.note(progress.tally.done)
        if self._clock() >= self._due:
            self._due = self._clock() + LINE_SECONDS
            self._write(words(progress, self._pace.lately(progress.tally.done)))

    def note(self, text: str) -> None:
        """Write a message on a line of its own."""
        self._write(text)

    def close(self) -> None:
        """Write the last line."""
        if self._last is not None:
            self._write(words(self._last, self._pace.overall(self._last.tally.done)))

    def _write(self, text: str) -> None:
        if not self._listening:
            return
        try:
            self._stream.write(f"batchq: {text}\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._listening = False


class Bar:
    """A tqdm bar.

    Args:
        stream: the terminal.
        clock: monotonic seconds.
        notebook: draw the bar that notebooks have, where its widgets are installed.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic, notebook: bool = False) -> None:
        self._stream = stream
        self._clock = clock
        self._notebook = notebook
        self._pace = Pace(clock)
        self._last: Progress | None = None
        self._listening = True
        self._due = 0.0
        self._bar: Any = None

    def show(self, progress: Progress) -> None:
        """Draw, ten times a second at most."""
        self._last = progress
        self._pace.note(progress.tally.done)
        if self._clock() >= self._due:
            self._due = self._clock() + DRAW_SECONDS
            self._draw(progress, self._pace.lately(progress.tally.done))

    def note(self, text: str) -> None:
        """Write a message above the bar."""
        if not self._listening:
            return
        try:
            if self._bar is None:
                self._stream.write(f"batchq: {text}\n")
            else:
                self._bar.write(f"batchq: {text}", file=self._stream)
        except (OSError, ValueError):
            self._go_dark()

    def close(self) -> None:
        """Draw the last state and leave it there."""
        if self._last is not None:
            self._draw(self._last, self._pace.overall(self._last.tally.done))
        try:
            if self._bar is not None and self._listening:
                self._bar.close()
        except (OSError, ValueError):
            self._go_dark()

    def _draw(self, progress: Progress, pace: float | None) -> None:
        if not self._listening:
            return
        tally = progress.tally
        try:
            bar = self._bar = self._bar or _new_bar(self._stream, tally.done, self._notebook)
            bar.bar_format = BAR if progress.input_done else GROWING_BAR
            # Of a batch without items tqdm would draw no bar at all.
            bar.total, bar.n = (tally.items, tally.done) if tally.items else (1, int(progress.input_done))
            bar.set_description_str(words(progress, pace, short=True), refresh=False)
            bar.refresh()
        except (OSError, ValueError):
            self._go_dark()

    def _go_dark(self) -> None:
        if self._bar is not None:
            self._bar.disable = True
        self._listening = False


class Shown:
    """A display for the length of a block; see `open_display`."""

    def __init__(self, display: Display) -> None:
        self.display = display

    def __enter__(self) -> Display:
        return self.display

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.close()


def open_display(quiet: bool = False, stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> Shown:
    """The display that fits where stderr leads to, to be used in a ``with`` block.

    Args:
        quiet: show nothing.
        stream: instead of stderr.
        environ: instead of the environment; ``TERM=dumb`` and ``TQDM_DISABLE`` ask for lines, not a bar.

    Example:
        >>> with open_display(quiet=True) as display:
        ...     display.note("never seen")
    """
    stream = stream or sys.stderr
    environ = os.environ if environ is None else environ
    if quiet:
        return Shown(Silence())
    # The bar has no colours, so that NO_COLOR is obeyed as it is.
    wants_bar = environ.get("TERM") != "dumb" and environ.get("TQDM_DISABLE", "") in ("", "0")
    return Shown(Bar(stream) if wants_bar and stream.isatty() else Lines(stream))


def open_library_display() -> Shown:
    """The display for a program: a bar on a terminal or in a notebook, elsewhere nothing."""
    if "ipykernel" in sys.modules:
        return Shown(Bar(sys.stderr, notebook=True))
    return open_display(quiet=not sys.stderr.isatty())


def words(progress: Progress, pace: float | None, short: bool = False) -> str:
    """The text of a line, or (`short`) of what stands beside a bar.

    Example:
        37 of 120 done (30%), 2 failed, 5 retried, 12.3 items/s, 6.7 s left
    """
    tally = progress.tally
    text = _counts(progress) if short else progress_words(tally, progress.input_done)
    if pace:
        text += f", {rate(pace)}"
        left = tally.items - tally.done
        if left and progress.input_done:
            text += f", {duration(left / pace)} left"
    # Beside a bar there is no room for more than what most people look for.
    spent = {unit: amount for unit, amount in progress.spent.items() if unit == "usd" or not short}
    text += f", spent {spent_words(spent)}" if spent else ""
    return text if progress.wait is None else f"{text}, {wait_words(progress.wait)}"


def _counts(progress: Progress) -> str:
    tally = progress.tally
    text = f"{tally.done:,}/{tally.items:,}" + ("" if progress.input_done else "+")
    text += f", {tally.failed:,} failed" if tally.failed else ""
    text += f", {tally.retries:,} retried" if tally.retries else ""
    return text + (f", {tally.reused:,} reused" if tally.reused else "")


def _new_bar(stream: TextIO, done: int, notebook: bool) -> Any:
    import threading

    # tqdm.auto finds out whether a notebook has widgets for it, which takes long.
    tqdm: Any = import_module("tqdm.auto" if notebook else "tqdm").tqdm
    # Neither a lock shared with children nor a monitor thread: workers are spawned while the bar stands.
    tqdm.set_lock(threading.RLock())
    tqdm.monitor_interval = 0
    return tqdm(
        total=1,
        initial=done,
        file=stream,
        ncols=None if _width(stream) else UNKNOWN_WIDTH,
        nrows=None if _width(stream) else UNKNOWN_HEIGHT,
        dynamic_ncols=_width(stream) > 0,
        leave=True,
        disable=False,
        bar_format=GROWING_BAR,
    )


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return 0
