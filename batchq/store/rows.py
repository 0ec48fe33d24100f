"""What is read of a batch's file, as it is handed on: rows and counts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from batchq.model import FAILED, SUCCESS, Tally

NOTHING: Final[Mapping[str, float]] = MappingProxyType({})
"""Of a batch whose handlers have spent nothing."""


class Wait(NamedTuple):
    """What nothing of a batch begins for.

    Attributes:
        until: seconds since 1970.
        rate: the limit that lets nothing begin before; None where a server wants that.
    """

    until: float
    rate: str | None = None


class Progress(NamedTuple):
    """What somebody who follows a batch sees: its state and its tally, at one moment.

    Attributes:
        changed_at: seconds since 1970 at which its state or its limits were changed.
        spent: by unit, what handlers have spent.
        wait: what nothing begins for; None where it need not wait.
    """

    state: str
    reason: str | None
    input_done: bool
    tally: Tally
    changed_at: float = 0.0
    spent: Mapping[str, float] = NOTHING
    wait: Wait | None = None


class Standing(NamedTuple):
    """How an item stands in its current run.

    Attributes:
        run: which, from 1.
        attempts: of this run that failed.
        spent_us: microseconds that the handler worked.
        stages_done: the stages that need not run any more.
        tries: attempts of this run that failed at the stage after these.
    """

    run: int
    attempts: int
    spent_us: int
    stages_done: int
    tries: int


class ResultRow(NamedTuple):
    """An item with the outcome of its current run.

    Attributes:
        seq: position in the input, from 1.
        item_id: the record's own id, or ``item-<seq>``.
        line: where the record begins in the input, from 1.
        success: 1 for a success, 0 for a failure.
        result: JSON text of a success, None of a failure.
        error_type: class name of the last error, None of a success.
        error: text of the last error, None of a success.
        attempts: attempts made in this run.
        duration_us: microseconds that the handler worked, over all attempts.
        ended_ms: wall clock, milliseconds since 1970.
        payload: the item as JSON text, where it was asked for.
        run: which run of the item it is the outcome of, from 1; None where it is that of the last one.
        stage: at which a failure has failed, from 1, where it was asked for.
    """

    seq: int
    item_id: str | int
    line: int
    success: int
    result: str | None
    error_type: str | None
    error: str | None
    attempts: int
    duration_us: int
    ended_ms: int
    payload: str | None
    run: int | None = None
    stage: int | None = None

    @property
    def status(self) -> str:
        """``success`` or ``failed``."""
        return SUCCESS if self.success else FAILED

    @property
    def size(self) -> int:
        """Characters of what may be large, about."""
        return len(self.result or "") + len(self.error or "") + len(self.payload or "")


class ErrorGroup(NamedTuple):
    """Failures that look alike.

    Attributes:
        error_type: class name of the error.
        message: text of the first one.
        frame: ``file:line in function`` where it was raised, or an empty string.
        failed: items whose outcome is such a failure.
        attempts: failed attempts of that kind, those included that a later attempt made good.
        first_ms: wall clock of the first one, milliseconds since 1970.
        last_ms: wall clock of the last one, milliseconds since 1970.
        examples: ``seq`` of the first few items that failed so.
    """

    error_type: str
    message: str
    frame: str
    failed: int
    attempts: int
    first_ms: int
    last_ms: int
    examples: list[int]


class Interval(NamedTuple):
    """What was recorded in the seconds (ten, unless said otherwise) from `start_s`, seconds since 1970.

    Attributes:
        success: items that succeeded.
        failed: items that failed.
        busy_us: microseconds that the handler worked for both, over all attempts; None where an earlier batchq has not
            counted it.
    """

    start_s: int
    success: int
    failed: int
    busy_us: int | None = None


class Tries(NamedTuple):
    """Items by the attempts that their current run took; 0 of those that could not be run at all."""

    attempts: int
    success: int
    failed: int


class Share(NamedTuple):
    """What one process has recorded.

    Attributes:
        worker: its number, see `model.worker_name`.
        items: outcomes, those included whose item ran again later.
        busy_us: microseconds that the handler worked, over all its slots.
    """

    worker: int
    items: int
    busy_us: int
