"""What a recorder has been told and has not written yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from batchq.model import FailedAttempt, Outcome, StageResult
from batchq.store.pace import StoredBook


@dataclass(frozen=True)
class Entry:
    """Something to do with the batch's rate limits and budgets, in the next transaction.

    Attributes:
        write: does it.
        answer: called from the recorder's thread with what `write` returned, once that is committed.
        failed: called instead where it never will be.
    """

    write: Callable[[StoredBook], Any]
    answer: Callable[[Any], None]
    failed: Callable[[Exception], None]


@dataclass
class Due:
    """What the next transaction has to do."""

    outcomes: list[Outcome] = field(default_factory=list)
    attempts: list[FailedAttempt] = field(default_factory=list)
    stages: list[StageResult] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    given_back: list[tuple[int, int]] = field(default_factory=list)
    put_back: list[tuple[int, Sequence[int]]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def __bool__(self) -> bool:
        done = self.outcomes or self.attempts or self.stages
        return bool(done or self.finished or self.given_back or self.put_back or self.entries)

    @property
    def size(self) -> int:
        """Characters of the results in it."""
        return sum(len(outcome.result or "") for outcome in self.outcomes) + sum(len(s.result) for s in self.stages)

    @property
    def results(self) -> int:
        """How many results and failures of items and their stages are in it."""
        return len(self.outcomes) + len(self.stages)

    def first(self, most: int) -> tuple[Due, Due, int]:
        """So many of the outcomes, and of the stages' results, with all attempts; the rest; and the size of the first.

        Acks stay with the rest: a chunk may be in the queue although its items have their outcomes, never without.
        """
        few = Due(self.outcomes[:most], self.attempts, self.stages[:most])
        rest = replace(self, outcomes=self.outcomes[most:], attempts=[], stages=self.stages[most:])
        return few, rest, few.size

    def before(self, newer: Due) -> Due:
        """This, and what came after it."""
        return Due(
            self.outcomes + newer.outcomes,
            self.attempts + newer.attempts,
            self.stages + newer.stages,
            self.finished + newer.finished,
            self.given_back + newer.given_back,
            self.put_back + newer.put_back,
            self.entries + newer.entries,
        )
