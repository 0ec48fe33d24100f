"""Changing the limits of a batch, also while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from batchq.app.request import plain
from batchq.app.status import status_of
from batchq.config import MAX_CONCURRENCY, Limit, check_count, check_number
from batchq.errors import UsageError
from batchq.model import CANCELLED, EXPIRED
from batchq.pace import Rate, budgets_of, rates_of
from batchq.spec import BatchSpec
from batchq.store.batch import set_limits
from batchq.store.home import Home
from batchq.units import bytes_of, moment_of

NONE: Final = "none"
"""Takes a limit away."""


@dataclass(frozen=True)
class Changes:
    """Limits to change; None leaves one as it is, and the text ``none`` takes it away.

    Attributes:
        concurrency: items in flight in the whole batch.
        workers: processes at most.
        timeout: seconds of one attempt; 0 for no limit.
        retry_attempts: attempts of an item, the first included.
        rate: replace those of the same unit; ``tokens=none`` takes away those of one.
        budget: replace those of the same unit.
        halt: failed items or share of them that halt the batch.
        adaptive: lower the concurrency while the server that items call is overloaded.
        deadline: what has not begun by then never does.
        memfree: nothing new begins with less free memory.
    """

    concurrency: int | None = None
    workers: int | None = None
    timeout: float | None = None
    retry_attempts: int | None = None
    rate: tuple[str, ...] = ()
    budget: tuple[str, ...] = ()
    halt: str | None = None
    adaptive: bool | None = None
    deadline: str | None = None
    memfree: str | None = None

    def check(self) -> None:
        """Raise `ConfigError` where a value cannot be used."""
        if self.concurrency is not None:
            check_count("--concurrency", self.concurrency, MAX_CONCURRENCY)
        if self.workers is not None:
            check_count("--workers", self.workers)
        if self.timeout is not None:
            check_number("--timeout", self.timeout)
        if self.retry_attempts is not None:
            check_count("--retry-attempts", self.retry_attempts)
        Limit.of(_none(self.halt))
        rates_of(text for text in self.rate if not _is_none(text))
        budgets_of(text for text in self.budget if not _is_none(text))
        if (deadline := _none(self.deadline)) is not None:
            moment_of("--deadline", deadline)
        if (memfree := _none(self.memfree)) is not None:
            bytes_of("--memfree", memfree)

    def applied(self, spec: BatchSpec) -> BatchSpec:
        """`spec` with these limits."""
        spec = replace(
            spec,
            concurrency=self.concurrency or spec.concurrency,
            workers=self.workers or spec.workers,
            all_workers=spec.all_workers and self.workers is None,
            retry_attempts=self.retry_attempts or spec.retry_attempts,
            rates=_merged(spec.rates, self.rate),
            budgets=_merged(spec.budgets, self.budget),
            adaptive=spec.adaptive if self.adaptive is None else self.adaptive,
        )
        if self.timeout is not None:
            spec = replace(spec, timeout=plain(self.timeout) or None)
        if self.halt is not None:
            spec = replace(spec, halt=_none(self.halt))
        if self.deadline is not None:
            deadline = _none(self.deadline)
            spec = replace(spec, deadline=None if deadline is None else moment_of("--deadline", deadline))
        if self.memfree is not None:
            memfree = _none(self.memfree)
            spec = replace(spec, memfree=None if memfree is None else bytes_of("--memfree", memfree))
        return spec


def change_limits(home: Home, batch_id: str, changes: Changes) -> BatchSpec:
    """Let other limits hold, within a second where the batch runs; the specification then.

    Args:
        home: where the batch is.
        batch_id: the batch.
        changes: what to change.

    Raises:
        UsageError: there is no such batch, it was cancelled, or a value cannot be used.
    """
    changes.check()
    folder = home.find(batch_id)
    state = status_of(folder).state
    if state in (CANCELLED, EXPIRED):
        raise UsageError(f"{batch_id} is {state}, which is for good", "Start another batch with these limits.")
    return set_limits(folder.database, changes.applied)


def _is_none(text: str) -> bool:
    return text.rpartition("=")[2].strip().lower() == NONE


def _none(text: str | None) -> str | None:
    return None if text is None or _is_none(text) else text


def _unit(text: str) -> str:
    """The unit of a rate or budget; empty for all units."""
    unit, equals, _ = text.rpartition("=")
    if equals:
        return unit.strip()
    return "" if _is_none(text) else Rate.of(text).unit


def _merged(before: Sequence[str], changed: Sequence[str]) -> tuple[str, ...]:
    units = {_unit(text) for text in changed}
    kept = [] if "" in units else [text for text in before if _unit(text) not in units]
    return (*kept, *(text for text in changed if not _is_none(text)))
