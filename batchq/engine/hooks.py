"""What a supervisor tells the face that started it: while it runs, and how it left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from batchq.store.batch import Progress


@dataclass
class Hooks:
    """What the face that started a supervisor wants to be told.

    Attributes:
        progress: called about ten times a second with state and tally.
        note: called with each message for the user.
    """

    progress: Callable[[Progress], None] = lambda _: None
    note: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Ending:
    """How a supervisor left.

    Attributes:
        state: the batch's state then.
        reason: why it is not completed, for people.
        stopped: it was asked to stop; the batch is interrupted and `resume` goes on.
        exit_code: of a batch that was halted.
        patient: what was in flight had all the time that it took.
        hint: what to do next, where that is not to go on with it.
    """

    state: str
    reason: str | None = None
    stopped: bool = False
    exit_code: int = 3
    patient: bool = False
    hint: str = ""
