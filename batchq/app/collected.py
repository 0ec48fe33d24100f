"""What comes of a batch in memory, collected as it comes: outcomes, counts and kinds of failure."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, overload

from batchq.app.report import GROUPS, BatchReport, Counted, report_on
from batchq.config import BatchConfig, mode_of
from batchq.model import COMPLETED, FAILED, SUCCESS, FailedAttempt, Failure, Item, Outcome, Tally, latency_bucket
from batchq.store.reading import ErrorGroup

log = logging.getLogger(__name__)

KINDS: Final = 1000
"""Kinds of failure that are counted; those beyond share one for each type."""
EXAMPLES: Final = 5


class Collected(Sequence[Mapping[str, Any]]):
    """Outcomes in memory, in the order of the input; each becomes a dict when it is looked at.

    Args:
        config: of the batch.
        batch_id: the batch.

    Example:
        collected = Collected(BatchConfig(), "b1")
        collected.keep(item, outcome)
        print(collected[0]["status"], collected.report().success_count)
    """

    def __init__(self, config: BatchConfig, batch_id: str) -> None:
        self.batch_id = batch_id
        self.started = time.time()
        self._config = config_of(config)
        self._began = time.monotonic()
        self._slots: list[tuple[str | int, Outcome] | None] = []
        self._done = self._failed = self._attempts = self._retries = 0
        self._groups: dict[str, ErrorGroup] = {}

    def keep(self, item: Item, outcome: Outcome) -> None:
        """An item has its outcome."""
        slots = self._slots
        index = outcome.seq - 1
        if index == len(slots):
            slots.append((item.item_id, outcome))
        else:
            if index > len(slots):
                slots.extend([None] * (index + 1 - len(slots)))
            slots[index] = (item.item_id, outcome)
        self._done += 1
        if outcome.failure is not None:
            self._failed += 1
            # A million tracebacks would fill the memory.
            log.debug("item %s failed: %s", item.item_id, outcome.failure.traceback)
            slots[index] = (item.item_id, outcome._replace(failure=outcome.failure._replace(traceback="")))
            self._count_failure(outcome.failure, outcome)

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

    def report(self, drawn: int | None = None, state: str = COMPLETED, reason: str | None = None) -> BatchReport:
        """The report on what is there.

        Args:
            drawn: items that were taken from the input; None: as many as have an outcome.
            state: how the batch ended.
            reason: why it is not completed.
        """
        active = time.monotonic() - self._began
        now = time.time()
        buckets: Counter[int] = Counter()
        duration = recovered = 0
        failed: list[tuple[str | int, Outcome]] = []
        for entry in self._outcomes():
            outcome = entry[1]
            buckets[latency_bucket(outcome.duration_us)] += 1
            duration += outcome.duration_us
            if outcome.failure is not None:
                failed.append(entry)
            elif outcome.attempts > 1:
                recovered += 1
        groups = sorted(self._groups.values(), key=lambda group: (-group.failed, -group.attempts))[:GROUPS]
        counted = Counted(
            batch_id=self.batch_id,
            tally=self.tally(self._done if drawn is None else drawn)._replace(
                recovered=recovered, duration_us=duration
            ),
            started=self.started,
            ended=now,
            now=now,
            active=active,
            histogram=sorted(buckets.items()),
            groups=groups,
            names={seq: self._name(seq) for group in groups for seq in group.examples},
            config=self._config,
            state=state,
            reason=reason,
        )
        failures = [_failure(item_id, outcome, outcome.failure) for item_id, outcome in failed if outcome.failure]
        return report_on(counted, failures, self)

    def __len__(self) -> int:
        return self._done

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for item_id, outcome in self._outcomes():
            yield result_of(item_id, outcome)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        outcomes = self._outcomes()
        if isinstance(index, slice):
            return [result_of(*entry) for entry in outcomes[index]]
        return result_of(*outcomes[index])

    def __repr__(self) -> str:
        return f"<{len(self)} results of {self.batch_id}>"

    def _outcomes(self) -> Sequence[tuple[str | int, Outcome]]:
        if self._done != len(self._slots):
            return [entry for entry in self._slots if entry is not None]
        return self._slots  # type: ignore[return-value]  # no slot is empty

    def _name(self, seq: int) -> str | int:
        entry = self._slots[seq - 1] if seq <= len(self._slots) else None
        return entry[0] if entry else f"item-{seq}"

    def _count_failure(self, failure: Failure, outcome: Outcome) -> None:
        group = self._group(failure, outcome.ended_ms)
        examples = [*group.examples, outcome.seq] if len(group.examples) < EXAMPLES else group.examples
        self._put(failure, group._replace(failed=group.failed + 1, last_ms=outcome.ended_ms, examples=examples))

    def _group(self, failure: Failure, now_ms: int) -> ErrorGroup:
        found = self._groups.get(self._kind(failure))
        return found or ErrorGroup(failure.error_type, failure.error[:500], failure.frame, 0, 0, now_ms, now_ms, [])

    def _put(self, failure: Failure, group: ErrorGroup) -> None:
        self._groups[self._kind(failure)] = group

    def _kind(self, failure: Failure) -> str:
        known = failure.fingerprint in self._groups or len(self._groups) < KINDS
        return failure.fingerprint if known else f"{failure.error_type}: other"


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


def result_of(item_id: str | int, outcome: Outcome) -> dict[str, Any]:
    """An item with its outcome, as `BatchReport.results` shows it."""
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


def _failure(item_id: str | int, outcome: Outcome, failure: Failure) -> dict[str, Any]:
    return {
        "idea_id": item_id,
        "error": failure.error,
        "attempts": outcome.attempts,
        "seq": outcome.seq,
        "error_type": failure.error_type,
    }
