"""``batchq try``: the first few items of an input, run here and now, before anything is stored.

input ─▶ records ─▶ engine.tryout ─▶ Listener: began, said, failed, ended
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import BinaryIO, Final, Protocol

from batchq.app.items import AttemptDetails, ItemDetails, attempt_details, details, stage_details
from batchq.app.request import StartRequest, spec_of
from batchq.app.verbs import check_work
from batchq.config import check_count
from batchq.engine.hiding import Hiding
from batchq.engine.tryout import BATCH_ID, try_out
from batchq.errors import UsageError
from batchq.inputs import open_reader
from batchq.model import FAILED, INVALID_INPUT, FailedAttempt, Item, Outcome, Record, StageResult
from batchq.redaction import Redaction
from batchq.spec import BatchSpec
from batchq.store.items import AttemptRow, ItemRow, OutcomeRow, StageRow

ITEMS: Final = 3
MOST_ITEMS: Final = 1000
"""Items of a trial are in memory; with more of them it is none."""
LOG_FORMAT: Final = "%(levelname)s %(name)s: %(message)s"


class Listener(Protocol):
    """Is told what happens, when it does."""

    def began(self, item: ItemDetails) -> None:
        """An item is about to run."""

    def said(self, line: str) -> None:
        """The function has printed or logged a line."""

    def failed(self, attempt: AttemptDetails) -> None:
        """An attempt has failed."""

    def advanced(self, attempt: AttemptDetails) -> None:
        """A stage has succeeded that is not the last one."""

    def ended(self, item: ItemDetails) -> None:
        """An item has its outcome."""


@dataclass
class Tried:
    """What came of a trial.

    Attributes:
        items: each with its attempts and its outcome.
        spent: what the function has spent, by unit.
        stopped: why it would have stopped the batch; None where it would not.
    """

    items: list[ItemDetails] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)
    stopped: str | None = None

    @property
    def failures(self) -> int:
        """Items that failed."""
        return sum(item.status == FAILED for item in self.items)


def run_tryout(
    request: StartRequest,
    listener: Listener,
    count: int = ITEMS,
    seqs: Sequence[int] = (),
    stdin: BinaryIO | None = None,
) -> Tried:
    """Run a few items, one after another, in this process; nothing is stored, and no home is touched.

    Args:
        request: what `start` would be asked for.
        listener: whom to tell.
        count: of the first records, so many.
        seqs: or the records at these places, from 1.
        stdin: to read where that is the input.

    Raises:
        UsageError: what `start` would raise; or there is no record at such a place.
    """
    check_count("-n", count, MOST_ITEMS)
    for seq in seqs:
        check_count("--item", seq)
    spec = spec_of(request)
    check_work(spec)
    records = _records(spec, count, seqs, stdin)
    rehearsal = _Rehearsal(listener, Redaction(spec.redact), len(spec.stages) + 1)
    told = (rehearsal.ended, rehearsal.failed, rehearsal.advanced)
    with _heard(listener.said, rehearsal.cleaned):
        spent, stopped = asyncio.run(try_out(spec, rehearsal.items(records), *told))
    return Tried(rehearsal.done, spent, stopped)


class _Rehearsal:
    """Keeps what belongs to the item that runs.

    Args:
        listener: whom to tell.
        redaction: what it may not be told.
        stages: of the batch.
    """

    def __init__(self, listener: Listener, redaction: Redaction, stages: int) -> None:
        self.done: list[ItemDetails] = []
        self._listener = listener
        self._redaction = redaction
        self._stages = stages
        self._done: list[StageRow] = []
        self._attempts: list[AttemptRow] = []
        self._clean: Callable[[str], str] = str

    def items(self, records: Sequence[tuple[int, Record]]) -> Iterator[Item]:
        """The items to run, each told of when it is drawn; of a record that cannot be read only its failure."""
        for seq, record in records:
            item_id = f"item-{seq}" if record.item_id is None else record.item_id
            self._row = ItemRow(seq, item_id, record.item_id is not None, record.line, 1, 0, 0, record.payload)
            self._attempts, self._done = [], []
            if record.error is not None:
                bad = OutcomeRow(1, 0, 0, 0, 0, 0, INVALID_INPUT, record.error, None)
                self._listener.began(self._details([bad]))
                self._end(bad)
                continue
            self._clean = self._redaction.cleaner(record.payload)
            self._listener.began(self._details([]))
            yield Item(seq, item_id, record.payload, 1, 0)

    def cleaned(self, text: str) -> str:
        """What was printed or logged, without what may not be told."""
        return self._clean(text)

    def failed(self, item: Item, attempt: FailedAttempt) -> None:
        """An attempt has failed."""
        failure = attempt.failure
        row = AttemptRow(
            attempt.run,
            attempt.number,
            attempt.started_ms,
            attempt.duration_us,
            attempt.worker,
            attempt.delay_ms,
            failure.error_type,
            failure.error,
            failure.traceback,
            attempt.stage,
        )
        self._attempts.append(row)
        self._listener.failed(replace(attempt_details(row), number=item.tries + 1))

    def advanced(self, item: Item, result: StageResult) -> None:
        """A stage has succeeded that is not the last one."""
        row = StageRow(*result[1:])
        self._done.append(row)
        self._clean = self._redaction.cleaner(*item.payloads, row.result)
        self._listener.advanced(stage_details(row))

    def ended(self, item: Item, outcome: Outcome) -> None:
        """The item has its outcome."""
        failure = outcome.failure
        self._end(
            OutcomeRow(
                outcome.run,
                int(failure is None),
                outcome.attempts,
                outcome.duration_us,
                outcome.ended_ms,
                outcome.worker,
                failure.error_type if failure else None,
                failure.error if failure else None,
                outcome.result,
            )
        )

    def _end(self, outcome: OutcomeRow) -> None:
        item = self._details([outcome])
        self.done.append(item)
        self._listener.ended(item)

    def _details(self, outcomes: Sequence[OutcomeRow]) -> ItemDetails:
        return details(
            BATCH_ID, self._row, outcomes, self._attempts, self._redaction, done=self._done, stages=self._stages
        )


def _records(spec: BatchSpec, count: int, seqs: Sequence[int], stdin: BinaryIO | None) -> list[tuple[int, Record]]:
    """The records to try, each with its place."""
    wanted = sorted(set(seqs))
    found = []
    last = 0
    with contextlib.closing(open_reader(spec.source, stdin=stdin, strict_first=True)) as reader:
        records = filter(
            None, Hiding(spec.redact, spec.source.id_field).nameless(iter(reader)) if spec.redact else reader
        )
        for last, record in enumerate(islice(records, wanted[-1] if wanted else count), 1):
            if not wanted or last in wanted:
                found.append((last, record))
    if not wanted:
        return found
    if last < wanted[-1]:
        hint = f"Its last one is --item {last}." if last else "It has none."
        raise UsageError(f"{spec.source.name} has no item {wanted[-1]}", hint)
    return found


@contextlib.contextmanager
def _heard(hear: Callable[[str], None], clean: Callable[[str], str]) -> Iterator[None]:
    """Let `hear` have each line that is printed or logged here, as a worker's log would have it."""
    stream = _Lines(hear, clean)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root, ours = logging.getLogger(), logging.getLogger("batchq")
    level = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            yield
    finally:
        root.removeHandler(handler)
        ours.setLevel(level)
        stream.end()


class _Lines(io.TextIOBase):
    """A stream that hands each line on as soon as it has its end."""

    def __init__(self, hear: Callable[[str], None], clean: Callable[[str], str]) -> None:
        self._hear = hear
        self._clean = clean
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        *lines, self._begun = (self._begun + self._clean(text)).split("\n")
        for line in lines:
            self._hear(line)
        return len(text)

    def end(self) -> None:
        """Hand on what has no end of line."""
        if self._begun:
            self._hear(self._begun)
