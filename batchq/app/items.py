"""One item of a batch: what went in, what came out, and each attempt in between."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from batchq.app.status import BatchStatus, status_of
from batchq.app.words import iso
from batchq.errors import ItemNotFound
from batchq.model import CANCELLED, EXPIRED, FAILED, INVALID_INPUT, RUNNING, SUCCESS
from batchq.redaction import REDACTED, Redaction
from batchq.store.home import BatchFolder
from batchq.store.items import AttemptRow, ItemReader, ItemRow, OutcomeRow, StageRow, reading_items
from batchq.store.rows import ResultRow

PENDING: Final = "pending"
"""State of an item that has no outcome, and that no worker has in its hands."""


@dataclass(frozen=True)
class AttemptDetails:
    """One attempt at an item.

    Attributes:
        run: 1, and one more after each ``batchq retry``.
        number: within the run and the stage, from 1.
        status: ``success`` or ``failed``.
        started_at: ISO 8601, UTC; None where nobody was left to tell.
        duration: seconds.
        worker: number of the process.
        error_type: class name of the error; None of a success.
        error: its text; None of a success.
        traceback: as Python prints it; empty where there is none.
        wait: seconds until the next attempt was due; None where none was to follow.
        stage: at which it was made, from 1.
        result: JSON text of what a stage has given that is not the last; None otherwise.
    """

    run: int
    number: int
    status: str
    started_at: str | None
    duration: float
    worker: int
    error_type: str | None = None
    error: str | None = None
    traceback: str = ""
    wait: float | None = None
    stage: int = 1
    result: str | None = None

    def to_json(self) -> str:
        """As one JSON object; a result stands in it as it is stored."""
        told = _members(self.to_dict())
        return f"{{{told}}}" if self.result is None else f'{{{told}, "result": {self.result}}}'

    def to_dict(self) -> dict[str, Any]:
        """For JSON; without the result."""
        came = {} if self.status == SUCCESS else {"error_type": self.error_type, "error": self.error}
        return {
            "run": self.run,
            "stage": self.stage,
            "attempt": self.number,
            "status": self.status,
            "started_at": self.started_at,
            "duration": self.duration,
            "worker": self.worker,
            **came,
            **({} if self.status == SUCCESS else {"traceback": self.traceback, "wait": self.wait}),
        }


@dataclass(frozen=True)
class ItemDetails:
    """One item of a batch.

    Attributes:
        batch_id: the batch.
        seq: position in the input, from 1.
        item_id: the record's own id, or ``item-<seq>``.
        line: where the record begins in the input, from 1.
        status: ``success`` or ``failed``; without an outcome ``running`` (a worker has it), ``pending``,
            ``cancelled`` or ``expired``.
        run: the current one; `batchq retry` adds one.
        payload: the record as JSON text, without what is not to be shown (``--redact``).
        result: JSON text of a success; None otherwise.
        error_type: class name of the last error of a failure; None otherwise.
        error: its text.
        attempts: attempts of the current run that ended.
        duration: seconds that the handler worked in the current run.
        ended_at: ISO 8601, UTC; None while there is no outcome.
        history: every attempt of every run that ended.
        interruptions: runs that were cut short by a crash, and are no attempts.
        stages: of its batch; 1 where ``--then`` names no more.

    Example:
        >>> report = batchq.run(["tea"], str.upper, batch_id="b7", enable_progress_tracking=False)
        >>> item = batchq.open("b7").item(1)
        >>> item.item_id, item.status, item.input, item.result
        ('item-1', 'success', 'tea', '"TEA"')
    """

    batch_id: str
    seq: int
    item_id: str | int
    line: int
    status: str
    run: int
    payload: str
    result: str | None
    error_type: str | None
    error: str | None
    attempts: int
    duration: float
    ended_at: str | None
    history: Sequence[AttemptDetails]
    interruptions: int
    stages: int = 1

    @property
    def input(self) -> Any:
        """The payload, parsed."""
        return json.loads(self.payload)

    def to_json(self) -> str:
        """As one JSON object; payload and result stand in it as they are stored."""
        head = {"seq": self.seq, "id": self.item_id, "line": self.line, "status": self.status, "run": self.run}
        tail = {
            "attempts": self.attempts,
            "duration": self.duration,
            "ended_at": self.ended_at,
            "interruptions": self.interruptions,
            "stages": self.stages,
        }
        history = ", ".join(attempt.to_json() for attempt in self.history)
        if self.status == SUCCESS:
            came = f'"result": {self.result}'
        else:
            came = _members({"error_type": self.error_type, "error": self.error})
        return f'{{{_members(head)}, "input": {self.payload}, {came}, {_members(tail)}, "history": [{history}]}}'


def find_items(folder: BatchFolder, which: str | int) -> list[ItemDetails]:
    """The items that `which` names: several where several records have that id.

    Args:
        folder: the batch.
        which: an id; or a position, as a number, ``#12`` or ``item-12``.

    Raises:
        ItemNotFound: there is none; names the nearest id.
    """
    status = status_of(folder)
    redaction = Redaction(status.spec.redact)
    with reading_items(folder.database) as reader:
        rows = list(_rows(reader, which))
        if not rows:
            raise _not_found(reader, status.batch_id, str(which), status.tally.items)
        return [
            details(
                status.batch_id,
                row,
                reader.outcomes(row.seq),
                reader.attempts(row.seq),
                redaction,
                _idle(status, reader, row.seq),
                reader.stages(row.seq),
                len(status.spec.stages) + 1,
            )
            for row in rows
        ]


def place_of(text: str, prefix: str) -> int | None:
    """The position in the input that `text` names, as ``#12`` does with the prefix ``#``; None where it names none."""
    digits = text.removeprefix(prefix)
    usable = digits != text and digits.isascii() and digits.isdigit() and len(digits) < 19
    return int(digits) if usable else None


def hidden(redaction: Redaction, payload: str, error_type: str | None) -> str:
    """A payload as it may be shown: of a record that cannot be read nobody knows where its fields are."""
    if redaction and error_type == INVALID_INPUT:
        return json.dumps(REDACTED)
    return redaction.hide_json(payload)


def hidden_rows(rows: Iterator[ResultRow], fields: Sequence[str]) -> Iterator[ResultRow]:
    """Rows with payloads as they may be shown; the same rows where nothing is to be hidden.

    Args:
        rows: what `ReportReader.results` yields.
        fields: `BatchSpec.redact`.
    """
    redaction = Redaction(fields)
    if not redaction:
        return rows
    return (
        row if row.payload is None else row._replace(payload=hidden(redaction, row.payload, row.error_type))
        for row in rows
    )


def _idle(status: BatchStatus, reader: ItemReader, seq: int) -> str:
    """The state of an item, should it have no outcome."""
    if status.state in (CANCELLED, EXPIRED):
        return status.state
    return RUNNING if status.holder and reader.is_claimed(seq) else PENDING


def _rows(reader: ItemReader, which: str | int) -> Iterator[ItemRow]:
    if isinstance(which, int):
        seqs = [which]
    elif (seq := place_of(which, "#")) is not None:
        seqs = [seq]
    else:
        seqs = reader.find(which)
        if (seq := place_of(which, "item-")) is not None:
            named = reader.item(seq)
            # The place of an item without an id of its own is its id; of others, only where nothing is called so.
            seqs += [seq] if named and (not named.has_own_id or not seqs) and seq not in seqs else []
    rows = [reader.item(seq) for seq in seqs]
    if not any(rows) and isinstance(which, str) and which.startswith("#"):
        rows = [reader.item(seq) for seq in reader.find(which)]
    yield from filter(None, rows)


def _not_found(reader: ItemReader, batch_id: str, which: str, items: int) -> ItemNotFound:
    from difflib import get_close_matches

    near = get_close_matches(which, reader.near(which), 1)
    return ItemNotFound(batch_id, which, near[0] if near else None, items)


def details(
    batch_id: str,
    row: ItemRow,
    outcomes: Sequence[OutcomeRow],
    failed: Sequence[AttemptRow],
    redaction: Redaction,
    idle: str = PENDING,
    done: Sequence[StageRow] = (),
    stages: int = 1,
) -> ItemDetails:
    """An item with all that came of it.

    Args:
        batch_id: the batch.
        row: the item.
        outcomes: of its runs, the first one first.
        failed: its failed attempts, in their order.
        redaction: what is not to be shown of its payload.
        idle: its state without an outcome.
        done: what the stages have given that are done, but for the last of all.
        stages: of the batch.
    """
    history = list(_history(outcomes, failed, done))
    last = next((outcome for outcome in outcomes if outcome.run == row.run), None)
    made = [attempt for attempt in history if attempt.run == row.run]
    tries = sum(attempt.status == FAILED for attempt in made)
    return ItemDetails(
        batch_id=batch_id,
        seq=row.seq,
        item_id=row.item_id,
        line=row.line,
        status=idle if last is None else SUCCESS if last.success else FAILED,
        run=row.run,
        payload=hidden(redaction, row.payload, outcomes[0].error_type if outcomes else None),
        result=last.result if last else None,
        error_type=last.error_type if last else None,
        error=last.error if last else None,
        attempts=last.attempts if last else tries,
        duration=last.duration_us / 1e6 if last else sum(attempt.duration for attempt in made),
        ended_at=iso(last.ended_ms / 1000) if last and last.ended_ms else None,
        history=history,
        interruptions=row.interruptions,
        stages=stages,
    )


def _history(
    outcomes: Sequence[OutcomeRow], failed: Sequence[AttemptRow], stages: Sequence[StageRow]
) -> Iterator[AttemptDetails]:
    """Every attempt: those that failed are stored, the last one of a run may be known by its outcome only."""
    ended = {outcome.run: outcome for outcome in outcomes}
    for run in sorted({*ended, *(attempt.run for attempt in failed), *(stage.run for stage in stages)}):
        stored = [attempt for attempt in failed if attempt.run == run]
        done = {stage.stage: stage for stage in stages if stage.run == run}
        for number in sorted({*done, *(attempt.stage for attempt in stored)}):
            yield from _numbered(stored, number)
            if number in done:
                yield stage_details(done[number])
        outcome = ended.get(run)
        if outcome is not None and outcome.attempts > max((attempt.number for attempt in stored), default=0):
            spent = sum(attempt.duration_us for attempt in stored) + sum(stage.duration_us for stage in done.values())
            here = max((stage.stage for stage in stages if stage.run <= run), default=0) + 1
            yield _last(outcome, outcome.duration_us - spent, here, sum(each.stage == here for each in stored) + 1)


def _numbered(attempts: Sequence[AttemptRow], stage: int) -> Iterator[AttemptDetails]:
    """Those at one stage, numbered from 1."""
    of_stage = (attempt for attempt in attempts if attempt.stage == stage)
    return (replace(attempt_details(attempt), number=number) for number, attempt in enumerate(of_stage, 1))


def stage_details(row: StageRow) -> AttemptDetails:
    """The attempt with which a stage was done, as it is shown."""
    duration = row.duration_us / 1e6
    started = iso(row.ended_ms / 1000 - duration)
    return AttemptDetails(
        row.run, row.attempts, SUCCESS, started, duration, row.worker, stage=row.stage, result=row.result
    )


def attempt_details(row: AttemptRow) -> AttemptDetails:
    """A failed attempt as it is shown."""
    return AttemptDetails(
        row.run,
        row.number,
        FAILED,
        iso(row.started_ms / 1000),
        row.duration_us / 1e6,
        row.worker,
        row.error_type,
        row.error,
        row.traceback,
        None if row.delay_ms is None else row.delay_ms / 1000,
        row.stage,
    )


def _last(outcome: OutcomeRow, duration_us: int, stage: int, number: int) -> AttemptDetails:
    duration = duration_us / 1e6
    # A crash takes along when the attempt began.
    started = iso(outcome.ended_ms / 1000 - duration) if outcome.success else None
    return AttemptDetails(
        outcome.run,
        number,
        SUCCESS if outcome.success else FAILED,
        started,
        duration,
        outcome.worker,
        outcome.error_type,
        outcome.error,
        stage=stage,
    )


def _members(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, allow_nan=False)[1:-1]
