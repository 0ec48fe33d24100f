"""Reports made from result dicts: the original's `ReportGenerator`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass, replace
from datetime import datetime, timezone
from typing import Any, Final

from batchq.app.collected import config_of
from batchq.app.render import csv_line, json_text, report_json
from batchq.app.report import BatchItemReport, BatchReport, BatchResult
from batchq.app.words import count, duration, iso, shorten
from batchq.config import BatchConfig
from batchq.errors import ConfigError
from batchq.model import SUCCESS

SKIPPED: Final = "skipped"
SUMMARY_FAILURES: Final = 5
HEADER: Final = "Batch ID,Total Items,Success Count,Failure Count,Total Duration (s),Avg Processing Time (s)"
FAILURES_HEADER: Final = "Idea ID,Error,Attempts"

Result = Mapping[str, Any] | BatchResult
Moment = datetime | float | str


class ReportGenerator:
    """Makes reports from the results of items, and writes them as JSON, CSV, HTML or a few lines of text.

    Example:
        >>> from datetime import datetime, timezone
        >>> start = datetime(2026, 11, 25, tzinfo=timezone.utc)
        >>> results = [{"idea_id": "a1", "status": "success", "duration": 0.2, "attempts": 1}]
        >>> ReportGenerator().generate_report("b1", results, start, start, {"mode": "parallel"}).success_count
        1
    """

    def generate_report(
        self,
        batch_id: str,
        results: Iterable[Result],
        started_at: Moment,
        completed_at: Moment | None,
        config: BatchConfig | Mapping[str, Any] | None = None,
    ) -> BatchReport:
        """A report from results.

        Args:
            batch_id: the batch.
            results: dicts of ``idea_id``, ``status`` (``success``, ``failed`` or ``skipped``), ``duration`` (seconds),
                ``attempts``, and ``error`` of those that failed; or `BatchResult` objects.
            started_at: a datetime (one without a zone is UTC), seconds since 1970, or ISO 8601 text.
            completed_at: likewise; None while the batch has not ended.
            config: what the batch was started with.

        Raises:
            ConfigError: a time is none of these.
        """
        rows = [result.to_dict() if isinstance(result, BatchResult) else result for result in results]
        start = _moment("started_at", started_at)
        end = None if completed_at is None else _moment("completed_at", completed_at)
        failed = [row for row in rows if row.get("status") not in (SUCCESS, SKIPPED)]
        statuses = Counter([row.get("status") for row in rows])
        succeeded = statuses[SUCCESS]
        seconds = sum([float(row.get("duration") or 0.0) for row in rows])
        active = max(0.0, end - start) if end is not None else 0.0
        report = BatchReport(
            batch_id=batch_id,
            total_items=len(rows),
            processed_items=len(rows),
            success_count=succeeded,
            failure_count=len(failed),
            total_duration=active,
            avg_processing_time=seconds / len(rows) if rows else 0.0,
            started_at=iso(start),
            completed_at=iso(end),
            failures=[
                {"idea_id": row.get("idea_id"), "error": row.get("error"), "attempts": row.get("attempts", 1)}
                for row in failed
            ],
            config=_config(config),
            success_rate=succeeded / len(rows) if rows else None,
            items_per_second=len(rows) / active if rows and active else None,
            wall_time=active,
            attempts=sum([int(row.get("attempts") or 1) for row in rows]),
            speedup=seconds / active if active else None,
            skipped_count=statuses[SKIPPED],
        )
        report._results = rows
        return report

    def generate_item_report(
        self,
        idea_id: str | int,
        status: str,
        processing_time: float,
        attempts: int,
        error: str | None = None,
        result_summary: str | None = None,
    ) -> BatchItemReport:
        """A report on one item; `processing_time` in seconds."""
        return BatchItemReport(idea_id, status, processing_time, attempts, error, result_summary)

    def to_json(self, report: BatchReport | BatchItemReport) -> str:
        """The report as indented, strict JSON; what JSON does not have becomes text."""
        if isinstance(report, BatchItemReport):
            return json_text(_plain(report.to_dict())).rstrip("\n")
        try:
            return "".join(report_json(report)).rstrip("\n")
        except (TypeError, ValueError):  # what the caller put in; looking for it takes long in a large report
            plain = replace(report, failures=[_plain(row) for row in report.failures], config=_plain(report.config))
            return "".join(report_json(plain)).rstrip("\n")

    def to_csv(self, report: BatchReport) -> str:
        """The counts as a line of CSV under a header, then the failed items under theirs.

        A text that a spreadsheet would run as a formula gets an apostrophe in front.
        """
        totals = (report.batch_id, report.total_items, report.success_count, report.failure_count)
        seconds = (round(report.total_duration, 6), round(report.avg_processing_time, 6))
        lines = [HEADER + "\n", csv_line((*totals, *seconds))]
        if report.failure_count:
            lines += ["\n", FAILURES_HEADER + "\n"]
            lines += [csv_line((row["idea_id"], row["error"], row["attempts"])) for row in report.failures]
        return "".join(lines)

    def to_html(self, report: BatchReport, failures: int | None = None) -> str:
        """The report as one page with charts, which needs no network and no script.

        Args:
            report: the report.
            failures: how many failed items are listed, 100 unless said otherwise.
        """
        from batchq.app.report_html import report_html

        return "".join(report_html(report, failures))

    def print_summary(self, report: BatchReport) -> None:
        """Print counts, times and the first five failures to standard output."""
        print(summary(report), end="")


def summary(report: BatchReport) -> str:
    """The report in a few lines.

    Example:
        >>> print(summary(BatchReport("b1", 0, 0, 0, 0, 0.0, 0.0, "2026-11-25T07:00:00+00:00", None, [], {})), end="")
        Batch b1
          items      0: 0 succeeded, 0 failed
          time       0 s, 0 s an item on average
    """
    share = f" ({report.success_count / report.processed_items:.1%} success)" if report.processed_items else ""
    skipped = f", {report.skipped_count:,} skipped" if report.skipped_count else ""
    counts = f"{report.success_count:,} succeeded, {report.failure_count:,} failed{skipped}{share}"
    mean = duration(report.avg_processing_time)
    lines = [
        f"Batch {report.batch_id}",
        f"  items      {report.total_items:,}: {counts}",
        f"  time       {duration(report.total_duration)}, {mean} an item on average",
    ]
    for number, failure in enumerate(report.failures):
        if number == SUMMARY_FAILURES:
            lines.append(f"  and {count(report.failure_count - number, 'more failure')}")
            break
        tries = count(failure["attempts"], "attempt")
        lines.append(f"  failed     {failure['idea_id']}: {shorten(str(failure['error']))} ({tries})")
    return "\n".join(lines) + "\n"


def _moment(name: str, value: Moment) -> float:
    """Seconds since 1970."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            raise ConfigError(name, value, "a time in ISO 8601") from None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(name, value, "a datetime, seconds since 1970, or ISO 8601 text")
    return float(value)


def _plain(value: Any) -> Any:
    """`value` without what `json` refuses to turn into text: keys of other types, NaN and the infinities."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(member) for member in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _config(config: BatchConfig | Mapping[str, Any] | None) -> dict[str, Any]:
    if config is None:
        return {}
    if isinstance(config, BatchConfig):
        return config_of(config)
    return asdict(config) if is_dataclass(config) and not isinstance(config, type) else dict(config)
