"""One report of several batches, made of the report on each: what was counted adds up, what was timed is put together.

report of b1 ─┐
report of b2 ─┼─▶ merge ─▶ BatchReport, with a line for each in `batches`
report of b3 ─┘
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, overload

from batchq.app.groups import EXAMPLES
from batchq.app.insights import SESSIONS, WORKERS, throughput
from batchq.app.parts import Part, together
from batchq.app.report import GROUPS, BatchReport, percentile_of
from batchq.app.words import count, seconds_of
from batchq.engine.fingerprint import fingerprint
from batchq.model import (
    ACTIVE,
    CANCELLED,
    COMPLETED,
    EXPIRED,
    HALTED,
    INTERRUPTED,
    PAUSED,
    QUEUED,
    RUNNING,
)
from batchq.store.rows import Interval

WORST_FIRST: Final = (HALTED, INTERRUPTED, PAUSED, QUEUED, CANCELLED, EXPIRED, COMPLETED)
"""What several batches amount to, of which none is at work: the first of these that one of them is."""
SHARD: Final = "shard"
_SUMS: Final = (
    *("total_items", "processed_items", "success_count", "failure_count", "attempts", "retries", "recovered"),
    *("interruptions", "skipped_count", "worker_count", "reused"),
)
_OF_A_BATCH: Final = (
    *("batch_id", "state", "total_items", "input_done", "processed_items", "success_count", "failure_count"),
    *("items_per_second", "total_duration", "started_at", "completed_at"),
)
Row = Mapping[str, Any]


class Chained(Sequence[Row]):
    """The failures of several batches, one batch after the other, each with its ``batch_id``; made while walked.

    Args:
        reports: on the batches.

    Example:
        for failure in report.failures:
            print(failure["batch_id"], failure["idea_id"], failure["error"])
    """

    def __init__(self, reports: Sequence[BatchReport]) -> None:
        self._reports = reports

    def __len__(self) -> int:
        return sum(len(report.failures) for report in self._reports)

    def __iter__(self) -> Iterator[Row]:
        for report in self._reports:
            for failure in report.failures:
                yield {"batch_id": report.batch_id, **failure}

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            wanted = range(*index.indices(len(self)))
            found = list(islice(self, max(wanted) + 1)) if wanted else []
            return [found[number] for number in wanted]
        for row in islice(self, range(len(self))[index], None):
            return row
        raise IndexError(index)


def merge(parts: Sequence[Part], reports: Sequence[BatchReport]) -> BatchReport:
    """The report on several batches together.

    Args:
        parts: the batches.
        reports: on each of them.

    Raises:
        UsageError: one is named twice.
    """
    belong = together(parts)
    active = _active(reports)
    sums = {name: sum(getattr(report, name) for report in reports) for name in _SUMS}
    done, reused = sums["processed_items"], sums["reused"]
    busy = sum(each.avg_processing_time * (each.processed_items - each.reused) for each in reports)
    started = min(report.started_at for report in reports)
    ends = [report.completed_at for report in reports if report.completed_at is not None]
    ended = max(ends) if len(ends) == len(reports) else None
    counted = max(report.generated_at or report.started_at for report in reports)
    wall = max(active, seconds_of(ended or counted) - seconds_of(started))
    histogram = _histogram(reports)
    took = [(float(each["to_seconds"]), each["items"]) for each in histogram]
    return BatchReport(
        batch_id=count(len(reports), "batch", "batches"),
        **sums,
        total_duration=round(active, 3) or round(active, 6),
        avg_processing_time=round(busy / (done - reused), 6) if done > reused else 0.0,
        started_at=started,
        completed_at=ended,
        failures=Chained(reports),
        config=_common(reports),
        state=_state([report.state for report in reports]),
        reason=_reason(reports),
        success_rate=round(sums["success_count"] / done, 6) if done else None,
        items_per_second=round(done / active, 3) if done and active else None,
        wall_time=round(wall, 3),
        paused_time=round(wall - active, 3),
        latency_p50=percentile_of(took, 0.50),
        latency_p95=percentile_of(took, 0.95),
        latency_p99=percentile_of(took, 0.99),
        speedup=round(busy / active, 2) if done and active else None,
        failure_groups=_groups(reports),
        input_cut=any(report.input_cut for report in reports),
        spent=_added(report.spent for report in reports),
        left_out=_left_out(reports, belong.are_shards),
        handler_changed=sorted({moment for report in reports for moment in report.handler_changed}),
        generated_at=counted,
        input_done=all(report.input_done for report in reports),
        latency_histogram=histogram,
        attempts_needed=_attempts(reports),
        throughput=_throughput(reports),
        workers=_workers(reports),
        batches=[_line(part, report) for part, report in zip(parts, reports, strict=True)],
        troubles=belong.troubles,
    )


def _line(part: Part, report: BatchReport) -> dict[str, Any]:
    """What is told of one batch."""
    values = {name: getattr(report, name) for name in _OF_A_BATCH}
    return {**values, "named": part.named, "shard": part.source.shard, "input": part.source.name}


def _state(states: Sequence[str]) -> str:
    """How they stand together: at work as long as one is.

    Example:
        >>> _state(["completed", "filling"]), _state(["completed", "cancelled"])
        ('running', 'cancelled')
    """
    if any(state in ACTIVE or state not in WORST_FIRST for state in states):
        return RUNNING
    return next(state for state in WORST_FIRST if state in states)


def _reason(reports: Sequence[BatchReport]) -> str | None:
    reasons = [f"{report.batch_id}: {report.reason}" for report in reports if report.reason]
    return "; ".join(reasons) or None


def _active(reports: Sequence[BatchReport]) -> float:
    """Seconds in which somebody worked on one of them, about.

    The spans tell to whole steps who worked beside whom; the seconds that each batch has counted are exact.
    """
    exact = [report.total_duration for report in reports]
    spans = [_spans(report) for report in reports]
    rough = sum(end - start for each in spans for start, end in each)
    if not rough:
        return max(exact)
    union = last = 0.0
    for start, end in sorted(chain.from_iterable(spans)):
        union += max(0.0, end - max(start, last))
        last = max(last, end)
    return min(max(union * sum(exact) / rough, max(exact)), sum(exact))


def _spans(report: BatchReport) -> list[tuple[float, float]]:
    worked = report.throughput["worked"] if report.throughput else ()
    return [(seconds_of(span["start"]), seconds_of(span["end"])) for span in worked]


def _histogram(reports: Sequence[BatchReport]) -> list[dict[str, Any]]:
    items: Counter[tuple[float, float]] = Counter()
    for report in reports:
        for each in report.latency_histogram:
            items[each["from_seconds"], each["to_seconds"]] += each["items"]
    return [{"from_seconds": low, "to_seconds": high, "items": number} for (low, high), number in sorted(items.items())]


def _groups(reports: Sequence[BatchReport]) -> list[dict[str, Any]]:
    """Failures that look alike in all of them; the examples in turn, so that each batch has one."""
    alike: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for report in reports:
        for group in report.failure_groups:
            place = group["frame"].rpartition("/")[2]  # the same file has another folder on another machine
            alike[fingerprint(group["error_type"], place, group["error"])].append(group)
    made = []
    for groups in alike.values():
        first = min(groups, key=lambda group: str(group["first"]))
        turns = (group["examples"][n] for n in range(EXAMPLES) for group in groups if n < len(group["examples"]))
        added = {
            "failed": sum(group["failed"] for group in groups),
            "attempts": sum(group["attempts"] for group in groups),
            "last": max(group["last"] for group in groups),
            "examples": list(islice(turns, EXAMPLES)),
        }
        made.append(first | added)
    made.sort(key=lambda group: (-group["failed"], -group["attempts"]))
    return made[:GROUPS]


def _added(amounts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for each in amounts:
        total.update(each)
    return dict(total)


def _left_out(reports: Sequence[BatchReport], are_shards: bool) -> dict[str, int]:
    """Records that became no items: shards leave out the same, but for the items of each other."""
    if not are_shards:
        return _added(report.left_out for report in reports)
    names = dict.fromkeys(name for report in reports for name in report.left_out)
    found = {name: max(report.left_out.get(name, 0) for report in reports) for name in names if name != SHARD}
    chosen = max(report.total_items + report.left_out.get(SHARD, 0) for report in reports)
    others = chosen - sum(report.total_items for report in reports)
    return found | ({SHARD: others} if others > 0 else {})


def _common(reports: Sequence[BatchReport]) -> dict[str, Any]:
    """Settings that all of them have."""
    first, *others = (report.config for report in reports)
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def _attempts(reports: Sequence[BatchReport]) -> list[dict[str, Any]]:
    tries: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for report in reports:
        for each in report.attempts_needed:
            tries[each["attempts"]][0] += each["success"]
            tries[each["attempts"]][1] += each["failed"]
    return [{"attempts": n, "success": success, "failed": failed} for n, (success, failed) in sorted(tries.items())]


def _throughput(reports: Sequence[BatchReport]) -> dict[str, Any] | None:
    """What was recorded when, in steps in which that of each fits whole."""
    seen = [report.throughput for report in reports if report.throughput]
    step = math.lcm(*(each["step_seconds"] for each in seen))
    counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for each in chain.from_iterable(one["counts"] for one in seen):
        start = int(seconds_of(each["start"])) // step * step
        counts[start][0] += each["success"]
        counts[start][1] += each["failed"]
    intervals = [Interval(start, *both) for start, both in sorted(counts.items())]
    spans = sorted(chain.from_iterable(_spans(report) for report in reports))
    return throughput(intervals, step, spans[-SESSIONS:])


def _workers(reports: Sequence[BatchReport]) -> list[dict[str, Any]]:
    """The processes that recorded most in all of them."""
    outcomes = sum(map(_outcomes, reports))
    found = [{"batch_id": report.batch_id, **worker} for report in reports for worker in report.workers]
    found.sort(key=lambda worker: -worker["items"])
    return [worker | {"share": round(worker["items"] / max(1, outcomes), 6)} for worker in found[:WORKERS]]


def _outcomes(report: BatchReport) -> int:
    """All that the processes of one have recorded, those included that are not listed."""
    listed: int = sum(worker["items"] for worker in report.workers)
    share = sum(worker["share"] for worker in report.workers)
    return listed if report.worker_count <= len(report.workers) or not share else round(listed / share)
