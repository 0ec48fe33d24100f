"""Watching batches that other processes run: how they stand now, how fast in the last seconds, what is in flight.

Every look opens the file read-only and closes it again, so that a watcher holds up nobody.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from batchq.app.status import BatchStatus, list_batches, status_in
from batchq.app.text import progress_words, status_table, status_text
from batchq.app.words import duration, rate, shorten
from batchq.store.home import BatchFolder, Home
from batchq.store.reading import BatchReader, reading

PACE_SECONDS: Final = 10.0
"""The rate is that of so many last seconds: shorter jumps about, longer hides what has just changed."""
NAMED: Final = 5
"""Items in flight that are named; the others are counted."""
POLL_SECONDS: Final = 0.1
"""The end of a batch is seen that soon, however long the interval is."""

Clock = Callable[[], float]


class Look(NamedTuple):
    """A batch at one moment.

    Attributes:
        status: how it stands; its rate is that of the last seconds where that is known.
        in_flight: items that are running now.
        running: ids of the first few of them.
    """

    status: BatchStatus
    in_flight: int
    running: tuple[str | int, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {**self.status.to_dict(), "in_flight": self.in_flight, "running": list(self.running)}


class Watch:
    """Looks at one batch again and again.

    Args:
        folder: the batch.
        clock: monotonic seconds.

    Example:
        watch = Watch(home.find("b1"))
        for look in watch.looks(interval=1.0):
            print(look.status.tally.done)
    """

    def __init__(self, folder: BatchFolder, clock: Clock = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def looks(self, interval: float, sleep: Callable[[float], None] = time.sleep) -> Iterator[Look]:
        """A look each `interval` seconds; the last one when no process runs the batch any more.

        Raises:
            StoreError: its file cannot be read (any more).
        """
        while True:
            look = self.look()
            yield look
            if look.status.holder is None:
                return
            wait_while_held([self._folder], interval, self._clock, sleep)

    def look(self) -> Look:
        """How the batch stands now."""
        with reading(self._folder.database) as reader:
            return self.look_by(reader)

    def look_by(self, reader: BatchReader) -> Look:
        """The same by a reader of its file."""
        status = self._with_pace(status_in(self._folder, reader))
        begun = _begun(self._folder) if status.holder is not None else []
        named = reader.names(begun[:NAMED]) if begun else {}
        return Look(status, len(begun), tuple(named[seq] for seq in begun[:NAMED] if seq in named))

    def _with_pace(self, status: BatchStatus) -> BatchStatus:
        """`status` with the rate of the last seconds; the first look has only that of the last minute."""
        now, done = self._clock(), status.tally.done
        while len(self._seen) > 1 and now - self._seen[1][0] >= PACE_SECONDS:
            self._seen.popleft()
        self._seen.append((now, done))
        since, before = self._seen[0]
        left = status.tally.items - done
        if status.holder is None or not left or now <= since:
            return status
        pace = (done - before) / (now - since)
        return status._replace(rate=pace, remaining_seconds=left / pace if pace and status.input_done else None)


def wait_while_held(
    folders: Sequence[BatchFolder],
    seconds: float,
    clock: Clock = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait `seconds`, or until a process leaves one of these batches, which all have one."""
    until = clock() + seconds
    while (left := until - clock()) > 0 and all(folder.lock.is_held() for folder in folders):
        sleep(min(POLL_SECONDS, left))


def home_looks(home: Home, interval: float, sleep: Callable[[float], None] = time.sleep) -> Iterator[list[BatchStatus]]:
    """How all batches stand that can be read, oldest first, each `interval` seconds until none of them runs."""
    while True:
        found = [each for each in list_batches(home) if isinstance(each, BatchStatus)]
        yield sorted(found, key=lambda batch: batch.created_at)
        running = [BatchFolder(home.path / batch.batch_id) for batch in found if batch.holder is not None]
        if not running:
            return
        wait_while_held(running, interval, sleep=sleep)


def look_text(look: Look, command: Callable[..., str], has_server: bool = False) -> str:
    """A screen of one batch: its status and what is in flight; see `status_text`."""
    lines = []
    if look.in_flight:
        named = ", ".join(shorten(str(name), 30) for name in look.running)
        more = ", …" if look.in_flight > len(look.running) else ""
        lines.append(("in flight", f"{look.in_flight:,}" + (f": {named}{more}" if named else "")))
    return status_text(look.status, command, lines, has_server)


def look_line(status: BatchStatus) -> str:
    """The same in one plain line, for a log.

    Example:
        first: running, 37 of 120 done (30%), 2 failed, 12.3 items/s, 6.7 s left
    """
    words = f"{status.batch_id}: {status.state}, {progress_words(status.tally, status.input_done)}"
    if status.rate:
        words += f", {rate(status.rate)}"
    if status.remaining_seconds is not None:
        words += f", {duration(status.remaining_seconds)} left"
    if status.groups:
        worst = status.groups[0]
        words += f"; most often {shorten(f'{worst.error_type}: {worst.message}', 60)} ({worst.failed:,})"
    return words + "\n"


def home_text(batches: Iterable[BatchStatus], place: str) -> str:
    """A screen of all batches of the home at `place`."""
    listed = list(batches)
    return status_table(listed) if listed else f"no batches in {place}\n"


def _begun(folder: BatchFolder) -> list[int]:
    """The items that are running now, by their position in the input; none where that cannot be read."""
    from batchq.engine.board import Board

    try:
        return sorted(seq for place in Board(folder.board) for seq in place.begun)
    except (OSError, ValueError):
        return []
