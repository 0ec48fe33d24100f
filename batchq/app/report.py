"""The report on a batch: the original's fields first, then what a durable batch knows beside them.

Everything comes from running counts, the histogram and the groups of failures, so that a report costs the same at
ten items and at ten million; only its failures are read one by one, and only when somebody asks for them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import Any, Final, overload

from batchq.app.status import status_of
from batchq.app.words import iso
from batchq.model import COMPLETED, FAILED, BatchSpec, bucket_end_us
from batchq.store.home import BatchFolder
from batchq.store.reading import ErrorGroup, ResultRow, reading

GROUPS: Final = 100
"""Kinds of failure in a report; beyond that they are no summary."""
EXAMPLES: Final = 5


class Failures(Sequence[Mapping[str, Any]]):
    """The items that failed, in the order of the input; read from the batch's file whenever they are walked.

    Args:
        database: the batch's file.
        count: how many there are.

    Example:
        >>> for failure in report.failures:  # doctest: +SKIP
        ...     print(failure["idea_id"], failure["error"])
    """

    def __init__(self, database: Path, count: int) -> None:
        self._database = database
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        with reading(self._database) as reader:
            for row in reader.results(only=FAILED):
                yield failure_of(row)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        for failure in islice(self, range(len(self))[index], None):
            return failure
        raise IndexError(index)


@dataclass
class BatchReport:
    """What came of a batch. The first eleven fields are the original's; durations are seconds.

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
        speedup: handler time by `total_duration`: how much faster than one item after another.
        failure_groups: kinds of failure, the most frequent first, with ``error_type``, ``error``, ``frame``,
            ``failed`` (items), ``attempts`` and ``examples`` (ids).
        input_cut: the rest of the input is lost: it came from standard input, and was not read to its end.
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

    def to_dict(self) -> dict[str, Any]:
        """All fields by name; holds all failures at once, where walking `failures` does not."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"failures": [dict(failure) for failure in self.failures]}


def build_report(folder: BatchFolder) -> BatchReport:
    """The report on the batch in `folder`, whether it has ended or not.

    Raises:
        StoreError: its file cannot be read.
    """
    status = status_of(folder)
    with reading(folder.database) as reader:
        active = reader.active_seconds()
        histogram = reader.latency()
        groups = reader.error_groups(GROUPS)
        names = reader.names([seq for group in groups for seq in group.examples])
    tally = status.tally
    done = tally.done
    started = status.started_at or status.created_at
    wall = max(0.0, (status.ended_at or time.time()) - started)
    handler_seconds = tally.duration_us / 1e6
    return BatchReport(
        batch_id=status.batch_id,
        total_items=tally.items,
        processed_items=done,
        success_count=tally.success,
        failure_count=tally.failed,
        total_duration=round(active, 3),
        avg_processing_time=round(handler_seconds / done, 6) if done else 0.0,
        started_at=iso(started),
        completed_at=iso(status.ended_at),
        failures=Failures(folder.database, tally.failed),
        config=_config(status.spec),
        state=status.state,
        reason=status.reason,
        success_rate=round(tally.success / done, 6) if done else None,
        items_per_second=round(done / active, 3) if done and active else None,
        wall_time=round(wall, 3),
        paused_time=round(max(0.0, wall - active), 3),
        latency_p50=percentile(histogram, 0.50),
        latency_p95=percentile(histogram, 0.95),
        latency_p99=percentile(histogram, 0.99),
        attempts=tally.attempts,
        retries=tally.retries,
        recovered=tally.recovered,
        interruptions=tally.interruptions,
        speedup=round(handler_seconds / active, 2) if done and active else None,
        failure_groups=[_group(group, names) for group in groups],
        input_cut=status.input_cut,
    )


def failure_of(row: ResultRow) -> dict[str, Any]:
    """A failed item as reports show it: the original's three fields, then ours."""
    return {
        "idea_id": row.item_id,
        "error": row.error,
        "attempts": row.attempts,
        "seq": row.seq,
        "line": row.line,
        "error_type": row.error_type,
    }


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
    left = share * sum(items for _, items in histogram)
    for bucket, items in histogram:
        left -= items
        if left <= 0:
            return round(bucket_end_us(bucket) / 1e6, 6)
    return None


def _config(spec: BatchSpec) -> dict[str, Any]:
    """What the batch was started with, under the original's names where it had one."""
    return {
        "mode": "queue",
        "max_concurrent": spec.concurrency,
        "retry_attempts": spec.retry_attempts,
        "retry_backoff": spec.retry_backoff,
        "timeout_per_item": spec.timeout,
        "chunk_size": spec.chunk_size,
        "retry_delay": spec.retry_delay,
        "workers": spec.workers,
        "durability": spec.durability,
        "input": spec.source.name,
        "input_format": spec.source.format,
        "limit": spec.source.limit,
        "func": spec.target,
        "setup": spec.setup,
    }


def _group(group: ErrorGroup, names: Mapping[int, str | int]) -> dict[str, Any]:
    return {
        "error_type": group.error_type,
        "error": group.message,
        "frame": group.frame,
        "failed": group.failed,
        "attempts": group.attempts,
        "examples": [names[seq] for seq in group.examples[:EXAMPLES] if seq in names],
    }
