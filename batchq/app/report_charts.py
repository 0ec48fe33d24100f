"""The charts of a report: throughput over time, handler time, attempts and failures by error."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from itertools import pairwise
from typing import Final

from batchq.app.charts import (
    AXIS,
    BASE,
    MARK_ROW,
    ROW,
    Column,
    Table,
    Tick,
    band,
    columns,
    figure,
    markers,
    rows,
)
from batchq.app.markup import Html, join
from batchq.app.report import BatchReport
from batchq.app.words import count, duration, seconds_of, shorten
from batchq.model import BUCKETS_PER_OCTAVE

OUTCOMES: Final = (("good", "succeeded"), ("bad", "failed"))
BARS: Final = 40
"""Columns of the histogram at most."""
MOST_ATTEMPTS: Final = 10
"""Columns of the chart of attempts; the last holds all that needed more."""
MOST_ERRORS: Final = 8
GAP_SHARE: Final = 0.06
"""Of the time worked: no gap is drawn wider, so that a night between two hours of work leaves them room."""
ALL_GAPS_SHARE: Final = 0.3
CLOCK_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Seconds between two labels of the time."""
TICKS: Final = 5
TICK_ROOM: Final = 17.0
"""Percent between two labels of the time at least."""
DECADES_OF_TICKS: Final = 1.6
"""A range of fewer decades gets labels in between."""


class _Clock:
    """Where a moment lies on the axis of time: to scale, but for gaps, which are cut to a narrow band."""

    def __init__(self, spans: Sequence[tuple[float, float]]) -> None:
        self.spans = spans
        self.gaps = [(before[1], after[0]) for before, after in pairwise(spans)]
        self.worked = sum(end - start for start, end in spans)
        most = self.worked * min(GAP_SHARE, ALL_GAPS_SHARE / max(1, len(self.gaps)))
        widths = [min(end - start, most) for start, end in self.gaps]
        self._unit = 100 / (self.worked + sum(widths))
        self._begins: list[float] = []
        place = 0.0
        for number, (start, end) in enumerate(spans):
            self._begins.append(place)
            place += end - start + (widths[number] if number < len(widths) else 0.0)

    def width(self, seconds: float) -> float:
        """Percent of a length of time in which somebody worked."""
        return seconds * self._unit

    def place(self, moment: float) -> float:
        """Percent from the left; of a moment within a gap, where the gap begins."""
        place = 0.0
        for begin, (start, end) in zip(self._begins, self.spans, strict=True):
            if moment < start:
                break
            place = begin + min(moment, end) - start
        return place * self._unit

    def ticks(self) -> list[Tick]:
        """Labels at full seconds, minutes or hours."""
        step = next((step for step in CLOCK_STEPS if self.worked <= TICKS * step), CLOCK_STEPS[-1])
        dated = self.spans[-1][1] // 86400 != self.spans[0][0] // 86400
        made: list[Tick] = []
        for start, end in self.spans:
            first = -(-start // step) * step
            while first < end:
                x = self.place(first)
                if not made or x - made[-1].x >= TICK_ROOM:
                    made.append(Tick(x, _clock(first, step, dated)))
                first += step
        return made


def throughput_chart(report: BatchReport) -> Html | None:
    """What was recorded when; None where that is not known, and before the first item."""
    seen = report.throughput
    if not seen or not seen["counts"]:
        return None
    step = seen["step_seconds"]
    clock = _Clock([(seconds_of(span["start"]), seconds_of(span["end"])) for span in seen["worked"]])
    counts = seen["counts"]
    fastest = max((each["success"] + each["failed"] for each in counts), default=0) / step
    factor, unit = (1, "second") if fastest >= 1 else (60, "minute") if fastest >= 1 / 60 else (3600, "hour")
    # Columns that are wide enough stand apart; others overlap a little, else paper shows hairlines between them.
    width = clock.width(step) * (0.9 if clock.worked / step <= 60 else 1.03)
    bars = [
        Column(
            clock.place(seconds_of(each["start"])),
            width,
            each["success"] / step * factor,
            each["failed"] / step * factor,
            f"{_clock(seconds_of(each['start']), 1, True)}: {each['success']:,} succeeded, {each['failed']:,} failed",
        )
        for each in counts
    ]
    gaps = join(
        band(clock.place(start), clock.place(end) - clock.place(start), f"not running for {duration(end - start)}")
        for start, end in clock.gaps
    )
    words = f"Items per {unit}, in steps of {_step_words(step)}; times are UTC."
    if clock.gaps:
        words += f" {_gap_words(clock.gaps)}"
    table = Table(
        ("From (UTC)", "Succeeded", "Failed"),
        [(_stamp(each["start"]), f"{each['success']:,}", f"{each['failed']:,}") for each in counts],
    )
    legend = [*OUTCOMES, ("hatch", "not running")] if clock.gaps else OUTCOMES
    shapes = columns(bars, clock.ticks(), gaps)
    return figure("throughput", "Throughput over time", words, shapes, BASE + AXIS, table, legend)


def latency_chart(report: BatchReport) -> Html | None:
    """How long the handler took, on a logarithmic scale; None before the first item."""
    items = {_bucket(each["to_seconds"]): each["items"] for each in report.latency_histogram}
    if not items:
        return None
    # A few buckets of room at either side, so that a single one is a column and no wall.
    low, high = min(items) - 2, max(items) + 3
    merged = next(size for size in (1, 2, 4, 8, 16) if high - low <= BARS * size or size == 16)
    low, high = low // merged * merged, -(-high // merged) * merged
    groups: Counter[int] = Counter()
    for bucket, number in items.items():
        groups[bucket // merged * merged] += number
    width = 100 * merged / (high - low)

    def place(seconds: float) -> float:
        return 100 * (math.log2(max(seconds, 1e-9) * 1e6) * BUCKETS_PER_OCTAVE - low) / (high - low)

    ranges = {start: (_from(start), _from(start + merged)) for start in sorted(groups)}
    bars = [
        Column(
            100 * (start - low) / (high - low),
            width * 0.92,
            groups[start],
            0,
            f"{duration(begin)} to {duration(end)}: {count(groups[start], 'item')}",
        )
        for start, (begin, end) in ranges.items()
    ]
    known = [
        (report.latency_p50, "half within"),
        (report.latency_p95, "95% within"),
        (report.latency_p99, "99% within"),
    ]
    marks = [(place(seconds), f"{words} {duration(seconds)}") for seconds, words in known if seconds is not None]
    above = MARK_ROW * len(marks) + 4
    shapes = [*columns(bars, _log_ticks(low, high, place), above=above), markers(marks, BASE + above)]
    mean = duration(report.avg_processing_time)
    words = f"Items by the time that the function took, all attempts together; on average {mean}. Logarithmic scale."
    table = Table(
        ("Time", "Items"),
        [(f"{duration(begin)} to {duration(end)}", f"{groups[start]:,}") for start, (begin, end) in ranges.items()],
    )
    return figure("latency", "Handler time", words, shapes, BASE + AXIS + above, table)


def attempts_chart(report: BatchReport) -> Html | None:
    """How many attempts the items needed; None where that is not known."""
    needed = {each["attempts"]: (each["success"], each["failed"]) for each in report.attempts_needed}
    if not needed:
        return None
    last = max(needed)
    shown = range(0 if 0 in needed else 1, min(last, MOST_ATTEMPTS) + 1)
    width = 100 / len(shown)
    bars, table = [], []
    for number, attempts in enumerate(shown):
        more = attempts == MOST_ATTEMPTS and last > attempts
        counted = [needed[each] for each in needed if each == attempts or (more and each > attempts)]
        success, failed = sum(each[0] for each in counted), sum(each[1] for each in counted)
        name = f"{attempts} or more" if more else str(attempts) if attempts else "not run"
        tip = f"{name}: {success:,} succeeded, {failed:,} failed"
        room = min(width * 0.7, 18)
        bars.append(Column(width * (number + 0.5) - room / 2, room, success, failed, tip, f"{success + failed:,}"))
        table.append((name, f"{success:,}", f"{failed:,}"))
    ticks = [Tick(width * (number + 0.5), row[0].replace(" or more", "+")) for number, row in enumerate(table)]
    words = "Items by the attempts that they took."
    if report.recovered:
        words += f" {count(report.recovered, 'item')} succeeded after failing at first."
    shapes = columns(bars, ticks, above=MARK_ROW)
    numbers = Table(("Attempts", "Succeeded", "Failed"), table)
    return figure("attempts", "Attempts", words, shapes, BASE + AXIS + MARK_ROW, numbers, OUTCOMES)


def errors_chart(report: BatchReport) -> Html | None:
    """Failed items by the type of their error; None where none failed."""
    kinds: Counter[str] = Counter()
    for group in report.failure_groups:
        kinds[str(group["error_type"])] += group["failed"]
    failed = [(kind, number) for kind, number in kinds.most_common() if number]
    if not failed:
        return None
    bars = [(shorten(kind, 40), number) for kind, number in failed[:MOST_ERRORS]]
    others = failed[MOST_ERRORS:]
    if others:
        bars.append((count(len(others), "other type"), sum(number for _, number in others)))
    words = f"{count(report.failure_count, 'failed item')} by the type of the last error."
    table = Table(("Error", "Items"), [(kind, f"{number:,}") for kind, number in failed])
    return figure("errors", "Failures by error", words, rows(bars), ROW * len(bars), table, kind="rows")


def _bucket(to_seconds: float) -> int:
    """The number of the bucket that ends there, see `model.bucket_end_us`."""
    return round(BUCKETS_PER_OCTAVE * math.log2(max(to_seconds * 1e6, 1.0))) - 1


def _from(bucket: int) -> float:
    return float(2 ** (bucket / BUCKETS_PER_OCTAVE)) / 1e6


def _log_ticks(low: int, high: int, place: Callable[[float], float]) -> Iterator[Tick]:
    """Labels at 1, 10, 100 of a unit, and at 2 and 5 where there is room."""
    first, last = math.log10(_from(low)), math.log10(_from(high))
    fine = last - first < DECADES_OF_TICKS
    before = -math.inf
    for power in range(math.floor(first), math.ceil(last) + 1):
        for factor in (1, 2, 5) if fine else (1,):
            seconds = factor * 10.0**power
            x = place(seconds)
            if 0 <= x <= 100 and x - before >= TICK_ROOM * 0.7:
                before = x
                yield Tick(x, _unit(seconds))


def _unit(seconds: float) -> str:
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size * 0.999:
            return f"{seconds / size:,.3g} {unit}" if seconds < 1000 else f"{seconds:,.0f} s"
    return f"{seconds * 1e9:.3g} ns"


def _gap_words(gaps: Sequence[tuple[float, float]]) -> str:
    idle = duration(sum(end - start for start, end in gaps))
    return f"It was not running for {idle}, in {count(len(gaps), 'gap')} that are drawn shortened."


def _step_words(step: int) -> str:
    return f"{step} s" if step < 60 else duration(step)


def _stamp(stamp: str) -> str:
    return stamp[:19].replace("T", " ")


def _clock(seconds: float, step: int, dated: bool) -> str:
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    clock = moment.strftime("%H:%M" if step >= 60 else "%H:%M:%S")
    return f"{moment.day} {moment:%b} {clock}" if dated else clock
