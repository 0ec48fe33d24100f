"""A batch in its file, as reports and programs see it: read while it is walked, whatever its size."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

from batchq.app.insights import look
from batchq.app.report import GROUPS, BatchReport, Counted, report_on
from batchq.app.status import status_in
from batchq.model import FAILED
from batchq.spec import LOCAL, BatchSpec
from batchq.store.home import BatchFolder
from batchq.store.reading import reading
from batchq.store.rows import ResultRow


class StoredRows(Sequence[Mapping[str, Any]]):
    """Items with an outcome, in the order of the input; read from the batch's file whenever they are walked.

    Args:
        database: the batch's file.
        count: how many there are.
        shape: makes the dict that is shown of a row.
        only: ``failed`` or ``success``; None for both.
        gapless: every item has an outcome, so that the place of one follows from its ``seq``.
        stages: as of `ReportReader.results`.

    Example:
        for failure in report.failures:
            print(failure["idea_id"], failure["error"])
    """

    def __init__(
        self,
        database: Path,
        count: int,
        shape: Callable[[ResultRow], dict[str, Any]],
        only: str | None = None,
        gapless: bool = False,
        stages: int = 0,
    ) -> None:
        self._database = database
        self._count = count
        self._shape = shape
        self._only = only
        self._gapless = gapless
        self._stages = stages

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return self._walk(0)

    def _walk(self, start: int) -> Iterator[Mapping[str, Any]]:
        """The rows from number `start` on."""
        after, skip = (start, 0) if self._gapless else (0, start)
        with reading(self._database) as reader:
            # No more than were counted, also where a batch that runs has more by now.
            rows = reader.results(only=self._only, after=after, stages=self._stages)
            for row in islice(rows, skip, skip + self._count - start):
                yield self._shape(row)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(index, slice):
            wanted = range(*index.indices(len(self)))
            if not wanted:
                return []
            low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
            found = list(islice(self._walk(low), high + 1 - low))
            return [found[number - low] for number in wanted]
        for row in self._walk(range(len(self))[index]):
            return row
        raise IndexError(index)

    def __repr__(self) -> str:
        return f"<{len(self)} rows of {self._database}>"


def build_report(folder: BatchFolder) -> BatchReport:
    """The report on the batch in `folder`, whether it has ended or not.

    Raises:
        StoreError: its file cannot be read.
    """
    with reading(folder.database) as reader, reader.snapshot():
        status = status_in(folder, reader)
        now = time.time()
        active = reader.active_seconds()
        histogram = reader.latency()
        groups = reader.error_groups(GROUPS)
        names = reader.names([seq for group in groups for seq in group.examples])
        seen = look(reader, status.tally)
    counted = Counted(
        batch_id=status.batch_id,
        tally=status.tally,
        started=status.started_at or status.created_at,
        ended=status.ended_at,
        now=now,
        active=active,
        histogram=histogram,
        groups=groups,
        names=names,
        config=_config(status.spec),
        state=status.state,
        reason=status.reason,
        input_cut=status.input_cut or status.without_rest,
        spent=status.spent,
        left_out=status.skipped,
        handler_changed=status.spec.handler_changed,
    )
    failures = StoredRows(folder.database, status.tally.failed, failure_of, FAILED, stages=len(status.spec.stages))
    gapless = status.tally.done == status.tally.items
    results = StoredRows(folder.database, status.tally.done, result_of, gapless=gapless)
    report = report_on(counted, failures, results)
    report.input_done = status.input_done
    seen.tell(report)
    return report


def result_of(row: ResultRow) -> dict[str, Any]:
    """An item with its outcome as `BatchReport.results` shows it."""
    came = (
        {"result": json.loads(row.result or "null")}
        if row.success
        else {"error": row.error, "error_type": row.error_type}
    )
    return {
        "idea_id": row.item_id,
        "status": row.status,
        **came,
        "duration": row.duration_us / 1e6,
        "attempts": row.attempts,
        "seq": row.seq,
    }


def failure_of(row: ResultRow) -> dict[str, Any]:
    """A failed item as reports show it: the original's three fields, then ours."""
    return {
        "idea_id": row.item_id,
        "error": row.error,
        "attempts": row.attempts,
        "seq": row.seq,
        "line": row.line,
        "error_type": row.error_type,
        **({} if row.stage is None else {"stage": row.stage}),
    }


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
        **_chosen(spec),
    }


def _chosen(spec: BatchSpec) -> dict[str, Any]:
    """What was asked for beyond that."""
    source = spec.source
    asked = {
        "encoding": source.encoding if source.encoding != "utf-8" else None,
        "csv_types": source.csv_types,
        "id_field": source.id_field,
        "select": source.select,
        "where": source.where,
        "unique": source.unique,
        "skip": source.skip,
        "sample": source.sample,
        "shuffle": source.shuffle,
        "shard": source.shard,
        "strict": spec.strict,
        "redact": spec.redact,
        "work": dict(spec.work or {}),
        "out": spec.out,
        "then": spec.stages,
        "engine": spec.engine if spec.engine != LOCAL else None,
        "scheduler": spec.scheduler,
    }
    chosen = {name: list(value) if isinstance(value, tuple) else value for name, value in asked.items() if value}
    return chosen | ({"seed": source.seed} if source.sample or source.shuffle else {})
