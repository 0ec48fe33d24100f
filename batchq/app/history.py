"""How a batch went over time: outcomes by intervals, how long items took, how many attempts they needed.

Everything comes from running counts, so that it costs about the same at ten items and at ten million.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from operator import add
from typing import Any, Final, NamedTuple

from batchq.app.report import percentile
from batchq.model import bucket_end_us
from batchq.store.home import BatchFolder
from batchq.store.reading import ReportReader, reading

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
        ``intervals`` (600 at most; ``start`` in seconds since 1970, ``seconds``, ``success``, ``failed``,
        ``busy``: seconds that the handler worked for both, over all attempts, ``retries``: attempts after which the
        item was tried again; intervals in which nothing was are left out), ``latency`` (items by
        handler time: ``count`` that took longer than the entry before and no longer than ``le`` seconds),
        ``percentiles`` of that (seconds; None before the first item) and ``tries`` (items by attempts).

    Raises:
        StoreError: its file cannot be read.
    """
    with reading(folder.database) as reader, reader.snapshot():
        seconds, points = _points(reader)
        latency = reader.latency()
        tries = reader.tries()
    return {
        "intervals": [_told(point, seconds) for point in points],
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
        busy_us: microseconds that the handler worked for the items.
    """

    start: int
    success: int
    failed: int
    retries: int
    busy_us: int = 0


def _told(point: Point, seconds: int) -> dict[str, Any]:
    told = point._asdict()
    return {**told, "busy": round(told.pop("busy_us") / 1e6, 6), "seconds": seconds}


def _points(reader: ReportReader) -> tuple[int, list[Point]]:
    """What happened when, and how long the intervals are."""
    is_small = max(reader.last_numbers()) <= FINE_OUTCOMES
    outcomes = reader.fine_intervals() if is_small else reader.intervals()
    retries = reader.fine_retries() if is_small else reader.retries()
    found = [Point(start, success, failed, 0, busy_us) for start, success, failed, busy_us in outcomes]
    found += [Point(start, 0, 0, count) for start, count in retries]
    return merged(found, 1 if is_small else 10)


def merged(points: Sequence[Point], seconds: int, most: int = MOST_POINTS) -> tuple[int, list[Point]]:
    """Points of `seconds`, in any order and several of a time, as `most` at most; how long those are, and they.

    Example:
        >>> seconds, points = merged([Point(10, 1, 0, 0, 50), Point(20, 2, 1, 0), Point(50, 3, 0, 0)], 10, most=2)
        >>> seconds, points[0]
        (30, Point(start=0, success=3, failed=1, retries=0, busy_us=50))
    """
    step, longer = seconds, iter([step for step in STEPS if step > seconds and step % seconds == 0])
    while True:
        sums: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for start, *counts in points:
            cell = start // step * step
            sums[cell] = [*map(add, sums[cell], counts)]
        if len(sums) <= most:
            return step, [Point(start, *counts) for start, counts in sorted(sums.items())]
        step = next(longer, step + 86400)
