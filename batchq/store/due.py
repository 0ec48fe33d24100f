"""What a recorder has been told and has not written yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchq.model import FailedAttempt, Outcome
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
    finished: list[int] = field(default_factory=list)
    given_back: list[tuple[int, int]] = field(default_factory=list)
    put_back: list[tuple[int, Sequence[int]]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.outcomes or self.attempts or self.finished or self.given_back or self.put_back or self.entries)
