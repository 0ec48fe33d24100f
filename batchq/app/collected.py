"""What comes of a batch in memory, collected as it comes: outcomes, counts and kinds of failure."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, overload

from batchq.app.report import GROUPS, LISTED_FAILURES, BatchReport, Counted, report_on
from batchq.config import BatchConfig, mode_of
from batchq.model import (
    COMPLETED,
    FAILED,
    NONE_SKIPPED,
    SUCCESS,
    FailedAttempt,
    Failure,
    Item,
    Outcome,
    Tally,
    latency_bucket,
)
from batchq.store.rows import ErrorGroup

log = logging.getLogger(__name__)

Entry = tuple[str | int, Outcome]
"""An item's id, and what came of it."""
KINDS: Final = 1000
"""Kinds of failure that are counted; those beyond share one for each type."""
EXAMPLES: Final = 5


class MemoryRows(Sequence[Mapping[str, Any]]):
    """Items with their outcomes, in the order of the input; each becomes a dict when it is looked at.

    Args:
        entries: ids and outcomes.
        shape: makes the dict.
    """

    def __init__(self, entries: Sequence[Entry], shape: Callable[[Entry], dict[str, Any]]) -> None:
        self._entries = entries
        self._shape = shape

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(self._shape, self._entries)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(index, slice):
            return [self._shape(entry) for entry in self._entries[index]]
        return self._shape(self._entries[index])

    def __repr__(self) -> str:
        return f"<{len(self)} rows in memory>"


class Collected:
    """The outcomes of one batch in memory, with what is counted of them.

    Args:
        config: of the batch.
        batch_id: the batch.
        keep_results: keep each outcome; otherwise they are counted, and only the first failures are kept.

    Example:
        collected = Collected(BatchConfig(), "b1")
        collected.keep(item, outcome)
        print(collected.report().results[0]["status"])
    """

    def __init__(self, config: BatchConfig, batch_id: str, keep_results: bool = True) -> None:
        self.batch_id = batch_id
        self.started = time.time()
        self._config = config_of(config)
        self._began = time.monotonic()
        self._slots: list[Entry | None] = []
        self._done = self._failed = self._attempts = self._retries = 0
        self._groups: dict[str, ErrorGroup] = {}
        self._keep_results = keep_results
        self._counts = _Counts()
        self._names: dict[int, str | int] = {}

    @property
    def wants_tracebacks(self) -> bool:
        """Whether somebody listens to the log, which tells them; a million of them would fill the memory."""
        return log.isEnabledFor(logging.DEBUG)

    def keep(self, item: Item, outcome: Outcome) -> None:
        """An item has its outcome."""
        self._done += 1
        if outcome.failure is not None:
            self._failed += 1
            if outcome.failure.traceback:
                log.debug("item %s failed: %s", item.item_id, outcome.failure.traceback)
                outcome = outcome._replace(failure=outcome.failure._replace(traceback=""))
            self._count_failure(item, outcome)
        if self._keep_results:
            self._put_in_order((item.item_id, outcome))
        else:
            self._counts.add((item.item_id, outcome))

    def _put_in_order(self, entry: Entry) -> None:
        slots = self._slots
        index = entry[1].seq - 1
        if index == len(slots):
            slots.append(entry)
            return
        if index > len(slots):
            slots.extend([None] * (index + 1 - len(slots)))
        slots[index] = entry

    def note_attempt(self, item: Item, attempt: FailedAttempt) -> None:
        """An attempt failed."""
        self._attempts += 1
        self._retries += attempt.delay_ms is not None
        group = self._group(attempt.failure, attempt.started_ms)
        self._put(attempt.failure, group._replace(attempts=group.attempts + 1, last_ms=attempt.started_ms))

    def tally(self, drawn: int) -> Tally:
        """The counts so far, of `drawn` items; what takes a walk over all outcomes is left out."""
        return Tally(
            items=drawn,
            success=self._done - self._failed,
            failed=self._failed,
            attempts=self._attempts + self._done - self._failed,
            retries=self._retries,
        )

    def report(
        self,
        drawn: int | None = None,
        state: str = COMPLETED,
        reason: str | None = None,
        left_out: Mapping[str, int] = NONE_SKIPPED,
    ) -> BatchReport:
        """The report on what is there.

        Args:
            drawn: items that were taken from the input; None: as many as have an outcome.
            state: how the batch ended.
            reason: why it is not completed.
            left_out: ideas that became no items, by the setting that did it.
        """
        active = time.monotonic() - self._began
        now = time.time()
        counts = self._counts
        if self._keep_results:
            counts = _Counts(most_failed=None)
            for entry in self._outcomes():
                counts.add(entry)
        groups = sorted(self._groups.values(), key=lambda group: (-group.failed, -group.attempts))[:GROUPS]
        counted = Counted(
            batch_id=self.batch_id,
            tally=self.tally(self._done if drawn is None else drawn)._replace(
                recovered=counts.recovered, duration_us=counts.duration_us
            ),
            started=self.started,
            ended=now,
            now=now,
            active=active,
            histogram=sorted(counts.buckets.items()),
            groups=groups,
            names=self._names,
            config=self._config,
            state=state,
            reason=reason,
            left_out=dict(left_out),
        )
        failures: Sequence[Mapping[str, Any]] = MemoryRows(counts.failed, failure_of)
        if len(counts.failed) <= LISTED_FAILURES:
            failures = list(failures)
        return report_on(counted, failures, MemoryRows(self._outcomes(), result_of))

    def _outcomes(self) -> Sequence[Entry]:
        if self._keep_results and self._done != len(self._slots):
            return [entry for entry in self._slots if entry is not None]
        return self._slots  # type: ignore[return-value]  # no slot is empty

    def _count_failure(self, item: Item, outcome: Outcome) -> None:
        failure = outcome.failure
        assert failure is not None
        group = self._group(failure, outcome.ended_ms)
        examples = group.examples
        if len(examples) < EXAMPLES:
            examples = [*examples, outcome.seq]
            self._names[outcome.seq] = item.item_id
        self._put(failure, group._replace(failed=group.failed + 1, last_ms=outcome.ended_ms, examples=examples))

    def _group(self, failure: Failure, now_ms: int) -> ErrorGroup:
        found = self._groups.get(self._kind(failure))
        return found or ErrorGroup(failure.error_type, failure.error[:500], failure.frame, 0, 0, now_ms, now_ms, [])

    def _put(self, failure: Failure, group: ErrorGroup) -> None:
        self._groups[self._kind(failure)] = group

    def _kind(self, failure: Failure) -> str:
        known = failure.fingerprint in self._groups or len(self._groups) < KINDS
        return failure.fingerprint if known else f"{failure.error_type}: other"


class _Counts:
    """What takes a look at every outcome.

    Args:
        most_failed: failures that are kept; None keeps all.
    """

    def __init__(self, most_failed: int | None = LISTED_FAILURES) -> None:
        self.buckets: Counter[int] = Counter()
        self.duration_us = self.recovered = 0
        self.failed: list[Entry] = []
        self._most_failed = most_failed

    def add(self, entry: Entry) -> None:
        outcome = entry[1]
        self.buckets[latency_bucket(outcome.duration_us)] += 1
        self.duration_us += outcome.duration_us
        if outcome.failure is None:
            self.recovered += outcome.attempts > 1
        elif self._most_failed is None or len(self.failed) < self._most_failed:
            self.failed.append(entry)


def config_of(config: BatchConfig) -> dict[str, Any]:
    """What a batch in memory was started with, as reports show it."""
    return {
        "mode": mode_of(config.mode).value,
        "max_concurrent": config.max_concurrent,
        "retry_attempts": config.retry_attempts,
        "retry_backoff": config.retry_backoff,
        "timeout_per_item": config.timeout_per_item,
        "chunk_size": config.chunk_size,
        "retry_delay": config.retry_delay,
        "empty_result": config.empty_result,
    }


def result_of(entry: Entry) -> dict[str, Any]:
    """An item with its outcome, as `BatchReport.results` shows it."""
    item_id, outcome = entry
    failure = outcome.failure
    came: dict[str, Any] = (
        {"result": outcome.result} if failure is None else {"error": failure.error, "error_type": failure.error_type}
    )
    return {
        "idea_id": item_id,
        "status": SUCCESS if failure is None else FAILED,
        **came,
        "duration": outcome.duration_us / 1e6,
        "attempts": outcome.attempts,
        "seq": outcome.seq,
    }


def failure_of(entry: Entry) -> dict[str, Any]:
    """A failed item as reports show it."""
    item_id, outcome = entry
    failure = outcome.failure
    assert failure is not None
    return {
        "idea_id": item_id,
        "error": failure.error,
        "attempts": outcome.attempts,
        "seq": outcome.seq,
        "error_type": failure.error_type,
    }
