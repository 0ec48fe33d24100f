"""What a report tells beyond its counts: throughput over time, attempts that items needed, shares of the workers.

All of it comes from running counts, so that it costs the same at ten items and at ten million.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from batchq.app.report import BatchReport
from batchq.app.words import iso
from batchq.model import Tally, worker_name
from batchq.store.reading import ReportReader
from batchq.store.rows import Interval, Share, Tries

WORKERS: Final = 100
"""Processes that a report lists; a batch that replaces its workers may have had thousands."""
SESSIONS: Final = 1000
"""Sessions whose spans are told; earlier ones are known by what they recorded."""
FINE_OUTCOMES: Final = 20_000
"""Up to so many outcomes are counted by the second (some 10 ms); above, by ten seconds, as they are stored."""
STEPS: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)
"""Seconds of a step of the throughput; longer ones are whole days."""
MOST_STEPS: Final = 120
"""As many as a chart can show side by side."""

Span = tuple[float, float]


class Insights(NamedTuple):
    """What `look` has found.

    Attributes:
        tries: items by attempts.
        shares: of the processes that recorded most.
        worker_count: how many processes there were.
        outcomes: recorded by all of them together.
        throughput: see `BatchReport`.
    """

    tries: Sequence[Tries]
    shares: Sequence[Share]
    worker_count: int
    outcomes: int
    throughput: dict[str, Any] | None

    def tell(self, report: BatchReport) -> None:
        """Put it into the report."""
        report.throughput = self.throughput
        report.attempts_needed = [each._asdict() for each in self.tries]
        report.workers = [_share(share, self.outcomes) for share in self.shares]
        report.worker_count = self.worker_count


def look(reader: ReportReader, tally: Tally) -> Insights:
    """Read what a report tells beyond its counts.

    Args:
        reader: of the batch's file.
        tally: the counts of the same moment.
    """
    # Outcomes of former runs are among them too; of so few it makes no difference to the time.
    fine = tally.done <= FINE_OUTCOMES
    intervals = reader.fine_intervals() if fine else reader.intervals()
    return Insights(
        reader.tries(), *reader.shares(WORKERS), throughput(intervals, 1 if fine else 10, reader.spans(SESSIONS))
    )


def throughput(intervals: Sequence[Interval], seconds: int, spans: Sequence[Span]) -> dict[str, Any] | None:
    """What was recorded when, in steps that are as fine as a chart can show.

    Args:
        intervals: what was recorded, in intervals of `seconds`.
        seconds: length of an interval.
        spans: when somebody worked on the batch, seconds since 1970.  The wall clock may have been set meanwhile, so
            intervals outside them count as well.

    Example:
        >>> throughput([Interval(20, 5, 1)], 10, [(18.0, 31.5)])["worked"]
        [{'start': '1970-01-01T00:00:10+00:00', 'end': '1970-01-01T00:00:40+00:00'}]
    """
    cells = [(each.start_s, each.start_s + seconds) for each in intervals]
    worked = _merge([*spans, *cells], seconds)
    if not worked:
        return None
    step = _step(sum(end - start for start, end in worked), seconds)
    counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for start, success, failed, _ in intervals:
        count = counts[start // step * step]
        count[0] += success
        count[1] += failed
    return {
        "step_seconds": step,
        "counts": [
            {"start": iso(start), "success": success, "failed": failed}
            for start, (success, failed) in sorted(counts.items())
        ],
        "worked": [{"start": iso(start), "end": iso(end)} for start, end in _merge(worked, step)],
    }


def _merge(spans: Iterable[Span], step: int) -> list[tuple[int, int]]:
    """The spans, rounded outwards to whole steps, without those that touch."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        start, end = int(first // step * step), int(-(-last // step) * step)
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, max(end, start + step)))
    return merged


def _step(seconds: int, least: int) -> int:
    for step in STEPS:
        # Whole intervals only: what was recorded within one cannot be told apart.
        if step % least == 0 and seconds <= MOST_STEPS * step:
            return step
    return -(-seconds // (MOST_STEPS * 86400)) * 86400


def _share(share: Share, outcomes: int) -> dict[str, Any]:
    session, worker = worker_name(share.worker)
    return {
        "session": session,
        "worker": worker,
        "items": share.items,
        "share": round(share.items / outcomes, 6) if outcomes else 0.0,
        "busy_seconds": round(share.busy_us / 1e6, 6),
    }
