"""The report on a batch: the original's fields first, then what else is known.

Everything comes from running counts, a histogram and groups of failures, so that a report costs the same at ten
items and at ten million; items are walked one by one, and only when somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from batchq.app.groups import group_dict
from batchq.app.words import iso
from batchq.model import COMPLETED, Tally, bucket_end_us, bucket_start_us
from batchq.store.rows import ErrorGroup

GROUPS: Final = 100
"""Kinds of failure in a report; beyond that they are no summary."""
LISTED_FAILURES: Final = 1000
"""Failures that a report holds as a list, as the original's did; more are made while they are walked."""


class _WithResults:
    """Keeps results beside the fields of a report, so that neither `asdict` nor `vars` copies them."""

    __slots__ = ("_results",)
    _results: Sequence[Mapping[str, Any]]


@dataclass
class BatchReport(_WithResults):
    """What came of a batch. The first eleven fields are the original's; durations are seconds.

    For JSON take `to_dict`, or `ReportGenerator.to_json`: above 1,000 failures the sequence of them is made while it is
    walked, and is no list.

    Attributes:
        batch_id: the batch.
        total_items: records read from the input so far.
        processed_items: items with an outcome.
        success_count: items that succeeded.
        failure_count: items that failed.
        total_duration: time in which the batch was worked on (monotonic clock; pauses and crashes left out).
        avg_processing_time: mean time that the handler took for an item, all its attempts together.
        started_at: ISO 8601, UTC.
        completed_at: ISO 8601, UTC; None while the batch has not ended.
        failures: ``idea_id``, ``error`` and ``attempts`` of each failed item, and ``seq``, ``line``,
            ``error_type``; may be read lazily, so walk it rather than copying it.
        config: what the batch was started with.
        state: how the batch stands (`model.STATES`, or ``interrupted``).
        reason: why it is not completed, where that is known.
        success_rate: share of the processed items that succeeded, 0 to 1; None before the first.
        items_per_second: processed items by `total_duration`; None before the first.
        wall_time: from start to end (or now) by the wall clock.
        paused_time: the part of `wall_time` in which nobody worked on the batch.
        latency_p50: median of the handler's time for an item, at most 4.5% off, as are the other two.
        latency_p95: 95 of 100 items took no longer.
        latency_p99: 99 of 100 items took no longer.
        attempts: attempts that ended.
        retries: failed attempts after which the item was tried again.
        recovered: items that succeeded after a failed attempt.
        interruptions: runs of an item that were cut short by a crash.
        reused: items that succeeded with the result of an item that was done before, without an attempt.
        speedup: handler time by `total_duration`: how much faster than one item after another.
        failure_groups: kinds of failure, the most frequent first, with ``error_type``, ``error``, ``frame``,
            ``failed`` (items), ``attempts``, ``first`` and ``last`` (ISO 8601, UTC), and ``examples`` (ids).
        input_cut: the rest of the input is missing: it came from standard input and was not read to its end, or the
            user has gone on without it.
        skipped_count: items that neither succeeded nor failed, because the caller said ``skipped``.
        spent: by unit, what the function has spent (`Context.spend`).
        left_out: records of the input that became no items, by the option that left them out (``where``).
        handler_changed: when the batch went on with a function that had changed; ISO 8601, UTC.
        generated_at: when all this was counted: ISO 8601, UTC.
        input_done: nothing more of the input will be read, so that `total_items` is final.
        latency_histogram: items by handler time, in buckets of ``from_seconds`` to ``to_seconds``.
        attempts_needed: items (``success`` and ``failed``) by the ``attempts`` that they took; empty in memory.
        throughput: ``counts`` of what was recorded in each ``step_seconds``, and the spans in which somebody
            ``worked`` on the batch; None in memory, and before anything happened.
        workers: the processes that recorded most, 100 at most: ``session`` and ``worker`` (numbers from 1; 0 and 0 is
            the supervisor), ``items``, ``share`` of all outcomes and ``busy_seconds`` of the handler in all its slots.
        worker_count: how many processes there were.
        batches: of a report on several, each with its ``batch_id``, how the user has ``named`` it, ``shard``,
            ``input``, and some of the fields above; empty of one batch.
        troubles: of a report on several, in words: shards that are missing, or have items in common.

    Example:
        >>> BatchReport("b1", 2, 2, 1, 1, 0.5, 0.2, "2026-11-25T07:00:00+00:00", None, [], {}).success_count
        1
    """

    batch_id: str
    total_items: int
    processed_items: int
    success_count: int
    failure_count: int
    total_duration: float
    avg_processing_time: float
    started_at: str
    completed_at: str | None
    failures: Sequence[Mapping[str, Any]]
    config: dict[str, Any]
    state: str = COMPLETED
    reason: str | None = None
    success_rate: float | None = None
    items_per_second: float | None = None
    wall_time: float = 0.0
    paused_time: float = 0.0
    latency_p50: float | None = None
    latency_p95: float | None = None
    latency_p99: float | None = None
    attempts: int = 0
    retries: int = 0
    recovered: int = 0
    interruptions: int = 0
    speedup: float | None = None
    failure_groups: list[dict[str, Any]] = field(default_factory=list)
    input_cut: bool = False
    skipped_count: int = 0
    spent: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    handler_changed: list[str] = field(default_factory=list)
    generated_at: str | None = None
    input_done: bool = True
    latency_histogram: list[dict[str, Any]] = field(default_factory=list)
    attempts_needed: list[dict[str, Any]] = field(default_factory=list)
    throughput: dict[str, Any] | None = None
    workers: list[dict[str, Any]] = field(default_factory=list)
    worker_count: int = 0
    reused: int = 0
    batches: list[dict[str, Any]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._results = ()

    def to_dict(self) -> dict[str, Any]:
        """All fields by name; holds all failures at once, where walking `failures` does not."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"failures": [dict(failure) for failure in self.failures]}

    @property
    def results(self) -> Sequence[Mapping[str, Any]]:
        """What came of each item that has an outcome, in the order of the input; read or made while it is walked.

        Each is a dict of ``idea_id``, ``status`` (``success`` or ``failed``), ``result`` or ``error``, ``duration``
        (seconds), ``attempts`` and ``seq``; a failed one has ``error_type`` too.  It is no field: a
        report is a summary.
        """
        return self._results


@dataclass
class BatchItemReport:
    """What came of one item.

    Attributes:
        idea_id: the item's id.
        status: ``success``, ``failed`` or ``skipped``.
        processing_time: seconds.
        attempts: attempts made.
        error: why it failed; None of a success.
        result_summary: a few words on the result.

    Example:
        >>> BatchItemReport("a1", "failed", 0.2, 3, error="no answer").attempts
        3
    """

    idea_id: str | int
    status: str
    processing_time: float
    attempts: int
    error: str | None = None
    result_summary: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass
class BatchResult:
    """What came of one item, as callbacks and streams tell it.

    Attributes:
        idea_id: the item's id.
        status: ``success`` or ``failed``.
        result: what the function returned; None of a failure.
        duration: seconds that the function took, over all attempts.
        attempts: attempts made.
        error: why it failed; None of a success.
        error_type: class name of that error.
        seq: the item's position in the input, from 1.

    Example:
        >>> BatchResult("a1", "success", {"title": "Tea"}).error is None
        True
    """

    idea_id: str | int
    status: str
    result: Any = None
    duration: float = 0.0
    attempts: int = 1
    error: str | None = None
    error_type: str | None = None
    seq: int = 0

    def to_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class Counted:
    """What was counted while a batch ran, in whichever mode; `report_on` makes the report of it.

    Attributes:
        batch_id: the batch.
        tally: its running counts.
        started: seconds since 1970.
        ended: seconds since 1970; None while it has not ended.
        now: seconds since 1970.
        active: seconds in which somebody worked on it (monotonic clock).
        histogram: handler time, see `model.latency_bucket`.
        groups: kinds of failure.
        names: ids of the items that the groups name as examples, by seq.
        config: what it was started with.
        state: how it stands.
        reason: why it is not completed.
        input_cut: the rest of its input is lost.
        spent: by unit, what the function has spent.
        handler_changed: when it went on with another function, seconds since 1970.
    """

    batch_id: str
    tally: Tally
    started: float
    ended: float | None
    now: float
    active: float
    histogram: Sequence[tuple[int, int]]
    groups: Sequence[ErrorGroup]
    names: Mapping[int, str | int]
    config: dict[str, Any]
    state: str = COMPLETED
    reason: str | None = None
    input_cut: bool = False
    spent: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    handler_changed: Sequence[float] = ()


def report_on(
    counted: Counted, failures: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]
) -> BatchReport:
    """The report, with everything that follows from the counts."""
    tally = counted.tally
    done = tally.done
    active = counted.active
    wall = max(active, (counted.ended or counted.now) - counted.started)  # a clock may have been set back
    handler_seconds = tally.duration_us / 1e6
    report = BatchReport(
        batch_id=counted.batch_id,
        total_items=tally.items,
        processed_items=done,
        success_count=tally.success,
        failure_count=tally.failed,
        total_duration=round(active, 3) or round(active, 6),
        avg_processing_time=round(handler_seconds / (done - tally.reused), 6) if done > tally.reused else 0.0,
        started_at=iso(counted.started),
        completed_at=iso(counted.ended),
        failures=failures,
        config=counted.config,
        state=counted.state,
        reason=counted.reason,
        success_rate=round(tally.success / done, 6) if done else None,
        items_per_second=round(done / active, 3) if done and active else None,
        wall_time=round(wall, 3),
        paused_time=round(wall - active, 3),
        latency_p50=percentile(counted.histogram, 0.50),
        latency_p95=percentile(counted.histogram, 0.95),
        latency_p99=percentile(counted.histogram, 0.99),
        attempts=tally.attempts,
        retries=tally.retries,
        recovered=tally.recovered,
        interruptions=tally.interruptions,
        reused=tally.reused,
        speedup=round(handler_seconds / active, 2) if done and active else None,
        failure_groups=[group_dict(group, counted.names) for group in counted.groups],
        input_cut=counted.input_cut,
        spent=counted.spent,
        left_out=counted.left_out,
        handler_changed=[iso(moment) for moment in counted.handler_changed],
        generated_at=iso(counted.now),
        latency_histogram=[
            {
                "from_seconds": round(bucket_start_us(bucket) / 1e6, 9),
                "to_seconds": round(bucket_end_us(bucket) / 1e6, 9),
                "items": items,
            }
            for bucket, items in counted.histogram
            if items
        ],
    )
    report._results = results
    return report


def carry(error: BaseException, report: BatchReport) -> None:
    """Let `error` carry the report on what was done when it ended the batch."""
    error.report = report  # type: ignore[attr-defined]
    error.results = report.results  # type: ignore[attr-defined]


def percentile(histogram: Sequence[tuple[int, int]], share: float) -> float | None:
    """Seconds that `share` of the items did not exceed; None of an empty histogram.

    Args:
        histogram: (bucket, items), by rising bucket.
        share: 0.5 for the median.

    Example:
        >>> percentile([(0, 3), (160, 1)], 0.5)
        1e-06
        >>> percentile([], 0.5) is None
        True
    """
    return percentile_of([(bucket_end_us(bucket) / 1e6, items) for bucket, items in histogram], share)


def percentile_of(spans: Sequence[tuple[float, int]], share: float) -> float | None:
    """As `percentile`, of (seconds, items): so many items took no longer, and longer than the seconds before.

    Example:
        >>> percentile_of([(0.1, 3), (2.0, 1)], 0.99)
        2.0
    """
    left = share * sum(items for _, items in spans)
    for seconds, items in spans:
        left -= items
        if left <= 0:
            return round(seconds, 6)
    return None
