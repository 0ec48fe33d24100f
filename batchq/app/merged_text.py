"""What a report on several batches says of each of them, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from batchq.app.words import duration, rate
from batchq.model import COMPLETED

if TYPE_CHECKING:
    from batchq.app.report import BatchReport

HEADER: Final = ("BATCH", "SHARD", "STATE", "DONE", "FAILED", "RATE", "TIME")
RIGHT: Final = frozenset({3, 4})
"""Columns of numbers."""


def batch_cells(batch: Mapping[str, Any]) -> tuple[str, ...]:
    """One of the batches, under `HEADER`.

    Example:
        >>> batch = {"named": "b1", "shard": "1/2", "state": "completed", "processed_items": 4, "total_items": 4,
        ...          "input_done": True, "failure_count": 1, "items_per_second": 8.0, "total_duration": 0.5}
        >>> batch_cells(batch)
        ('b1', '1/2', 'completed', '4/4', '1', '8.0 items/s', '0.5 s')
    """
    more = "" if batch["input_done"] else "+"
    return (
        batch["named"],
        batch["shard"] or "",
        batch["state"],
        f"{batch['processed_items']:,}/{batch['total_items']:,}{more}",
        f"{batch['failure_count']:,}",
        rate(batch["items_per_second"]) if batch["items_per_second"] else "",
        duration(batch["total_duration"]) if batch["processed_items"] else "",
    )


def table_text(rows: Sequence[Sequence[str]], right: frozenset[int]) -> str:
    """Rows in columns that stand below each other.

    Args:
        rows: the cells of each.
        right: numbers of the columns that end below each other.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def batches_text(report: BatchReport) -> str:
    """A line for each of several batches; empty of one."""
    if not report.batches:
        return ""
    return "\n" + table_text([HEADER, *map(batch_cells, report.batches)], RIGHT)


def next_of_several(report: BatchReport, resumable: frozenset[str], command: Callable[..., str]) -> str:
    """The command that most people want next: go on with what has stopped, else look at what failed.

    Args:
        report: on several batches.
        resumable: states that `resume` leaves.
        command: makes it of its words.
    """
    stopped = [batch["named"] for batch in report.batches if batch["state"] in resumable]
    if stopped:
        return command("resume", stopped[0])
    if report.state != COMPLETED or not _are_shards(report):
        return ""
    return command("results", *_names(report), *(["--only", "failed"] if report.failure_count else []))


def failed_of(report: BatchReport) -> list[str]:
    """Whose failed items `results` can list: the batch, or all shards, or of other batches the first that has any."""
    if not report.batches:
        return [report.batch_id]
    failing = [batch["named"] for batch in report.batches if batch["failure_count"]]
    return _names(report) if _are_shards(report) else failing[:1]


def _are_shards(report: BatchReport) -> bool:
    return all(batch["shard"] for batch in report.batches) and not report.troubles


def _names(report: BatchReport) -> list[str]:
    return [batch["named"] for batch in report.batches]
