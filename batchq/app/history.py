"""How a batch went over time: outcomes by intervals, how long items took, how many attempts they needed.

Everything comes from running counts, so that it costs about the same at ten items and at ten million.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil
from typing import Any, Final, NamedTuple

from batchq.app.report import percentile
from batchq.model import bucket_end_us
from batchq.store.home import BatchFolder
from batchq.store.reading import ReportReader, reading
from batchq.store.rows import Interval

MOST_POINTS: Final = 600
"""As many as a chart can show side by side."""
FINE_OUTCOMES: Final = 20_000
"""Up to so many outcomes are counted by the second (some 10 ms); above, by ten seconds, as they are stored."""
STEPS: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)
"""Seconds of an interval; longer ones are whole days."""
SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def history(folder: BatchFolder) -> dict[str, Any]:
    """How the batch in `folder` went so far.

    Returns:
        ``intervals`` (600 at most, see `Point`; ``start`` in seconds since 1970, ``seconds``; those in which nothing
        was are left out), ``latency`` (items by handler time: ``count`` that took longer than the entry before and no
        longer than ``le`` seconds), ``percentiles`` of that (seconds; None before the first item) and ``tries`` (items
        by attempts).

    Raises:
        StoreError: its file cannot be read.
    """
    with reading(folder.database) as reader, reader.snapshot():
        seconds, points = _points(reader)
        latency = reader.latency()
        tries = reader.tries()
    return {
        "intervals": [{**point._asdict(), "seconds": seconds} for point in points],
        "latency": [
            {"le": round(bucket_end_us(bucket) / 1e6, 9), "count": count} for bucket, count in latency if count
        ],
        "percentiles": {name: percentile(latency, share) for name, share in SHARES.items()},
        "tries": [each._asdict() for each in tries],
    }


class Point(NamedTuple):
    """What happened in the seconds from `start`, seconds since 1970.

    Attributes:
        success: items that succeeded.
        failed: items that failed.
        retries: attempts after which the item was to be tried again.
        latency: seconds that the handler worked on an item that ended then, on average and over all attempts; None
            where none ended, or an earlier batchq has not counted it.
        in_flight: items that were worked on at a time, on average: of those that have ended since.  None where an
            earlier batchq has not counted it.
    """

    start: int
    success: int
    failed: int
    retries: int
    latency: float | None
    in_flight: float | None


def _points(reader: ReportReader) -> tuple[int, list[Point]]:
    """What happened when, and how long the intervals are."""
    is_small = max(reader.last_numbers()) <= FINE_OUTCOMES
    outcomes = reader.fine_intervals() if is_small else reader.intervals()
    retries = reader.fine_retries() if is_small else reader.retries()
    return merged(outcomes, retries, 1 if is_small else 10)


class _Sums:
    """What is summed up in one interval."""

    def __init__(self) -> None:
        self.success = self.failed = self.retries = self.busy_us = 0
        self.worked = 0.0


def merged(
    outcomes: Sequence[Interval], retries: Sequence[tuple[int, int]], seconds: int, most: int = MOST_POINTS
) -> tuple[int, list[Point]]:
    """Counts by `seconds` as points, `most` at most; how many seconds each is then, and they.

    Args:
        outcomes: what was recorded when.
        retries: second since 1970 and number.
        seconds: what they are counted by.
        most: so many points.

    Example:
        >>> merged([Interval(20, 1, 0, 4_000_000), Interval(30, 2, 1, 12_000_000)], [(20, 7)], 10, most=1)
        (20, [Point(start=20, success=3, failed=1, retries=7, latency=4.0, in_flight=0.8)])
    """
    stretches = list(_stretches(outcomes, seconds))
    tells_busy = all(each.busy_us is not None for each in outcomes)
    step, longer = seconds, iter([step for step in STEPS if step > seconds and step % seconds == 0])
    while (cells := _cells(outcomes, retries, stretches, step, most)) is None:
        step = next(longer, step + 86400)
    points = []
    for start, cell in sorted(cells.items()):
        ended = cell.success + cell.failed
        latency = round(cell.busy_us / ended / 1e6, 6) if ended and tells_busy else None
        in_flight = round(cell.worked / step, 3) if tells_busy else None
        points.append(Point(start, cell.success, cell.failed, cell.retries, latency, in_flight))
    return step, points


def _cells(
    outcomes: Sequence[Interval],
    retries: Sequence[tuple[int, int]],
    stretches: Sequence[tuple[float, float, int]],
    step: int,
    most: int,
) -> dict[int, _Sums] | None:
    """Everything by intervals of `step` seconds; None where these are more than `most`."""
    cells: dict[int, _Sums] = defaultdict(_Sums)
    for each in outcomes:
        cell = cells[each.start_s // step * step]
        cell.success += each.success
        cell.failed += each.failed
        cell.busy_us += each.busy_us or 0
    for start, count in retries:
        cells[start // step * step].retries += count
    for begin, end, items in stretches:
        for start in range(int(begin // step) * step, ceil(end), step):
            cells[start].worked += items * (min(end, start + step) - max(begin, start))
            if len(cells) > most:
                return None
    return cells if len(cells) <= most else None


def _stretches(outcomes: Sequence[Interval], seconds: int) -> Iterator[tuple[float, float, int]]:
    """From when to when how many items were worked on at a time: one behind the other, idle ones left out.

    Items of an interval count as if each had taken their mean time until its middle: an item may have taken longer
    than an interval, and was in flight then in those before, too.
    """
    changes: dict[float, int] = defaultdict(int)
    for each in outcomes:
        items = each.success + each.failed
        if each.busy_us:
            end = each.start_s + seconds / 2
            changes[end - each.busy_us / items / 1e6] += items
            changes[end] -= items
    level = 0
    for begin, end in pairwise(sorted(changes)):
        level += changes[begin]
        if level:
            yield begin, end, level
