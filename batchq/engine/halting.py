"""When a batch stops by itself: too many failures, failures that are all alike, or a handler that asks for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import takewhile
from typing import Final

from batchq.config import Limit
from batchq.model import Outcome, Tally
from batchq.pace import budgets_of, over_budget
from batchq.spec import BatchSpec
from batchq.store.batch import BatchStore

SHARE_AFTER: Final = 50
"""Items that must have an outcome before a share of failures says anything."""
FIRST: Final = 20
ALIKE: Final = 50
"""When the first 20 of a session all fail, or 50 in a row fail alike, the fault is not an item's: a wrong key, no
network."""

SETTLE_SECONDS: Final = 1.0
"""An outcome is committed much sooner."""

Recent = Sequence[tuple[bool, object]]
"""(success, kind of failure) of the last outcomes, the newest first."""


def limit_reached(limit: Limit, tally: Tally) -> str | None:
    """Why the batch has to stop; None while it has not to.

    Args:
        limit: failures that it may have.
        tally: the counts of this session.

    Example:
        >>> limit_reached(Limit(failed=2), Tally(items=9, success=1, failed=2))
        '2 items have failed, and the limit is 2'
    """
    if limit.failed is not None and tally.failed >= limit.failed:
        return f"{tally.failed:,} items have failed, and the limit is {limit.failed:,}"
    if limit.share is not None and tally.done >= SHARE_AFTER and tally.failed >= limit.share * tally.done:
        share = tally.failed / tally.done
        return f"{share:.0%} of {tally.done:,} items have failed, and the limit is {limit.share:.0%}"
    return None


class StopRules:
    """Looks at what fails in one session of a batch.

    What failed in an earlier session counts no more: `resume` says that it should go on.

    Args:
        store: the batch's file.
        spec: its limits.
    """

    def __init__(self, store: BatchStore, spec: BatchSpec) -> None:
        self._store = store
        self.obey(spec)
        self._before = store.tally()
        self._first = store.last_outcome()
        self._failed = self._before.failed
        self._passed = 0
        self._braked_at: float | None = None

    def obey(self, spec: BatchSpec) -> None:
        """Other limits hold from now on."""
        self._limit = Limit.of(spec.halt)
        self._breaker = spec.breaker
        self._budgets = budgets_of(spec.budgets)
        self._deadline = spec.deadline

    def halt_reason(self, tally: Tally, asked_by: int) -> str | None:
        """Why the batch has to halt; None while it has not.

        Args:
            tally: the counts now.
            asked_by: the item whose handler asked for it; 0 for none.
        """
        if asked_by and (error := self._store.error_of(asked_by)) is not None:
            return error
        before = self._before
        return limit_reached(
            self._limit, tally._replace(success=tally.success - before.success, failed=tally.failed - before.failed)
        )

    def pause_reason(self, tally: Tally) -> str | None:
        """Why the batch should pause; None while it should not."""
        if self._budgets and (over := over_budget(self._budgets, self._store.spent())):
            return over
        if not self._breaker or tally.failed == self._failed:
            return None
        self._failed = tally.failed
        recent = self._store.recent_outcomes(self._first, ALIKE)
        none_succeeded = tally.success == self._before.success
        return all_fail(recent, none_succeeded)

    def brake(self, tally: Tally, counted: int, now: float) -> int:
        """At how many failures, as the workers count them, nothing begins until it is clear whether to stop; 0: none.

        The tally follows what happens by a commit and a look; without a brake, quick items would fail by the hundred
        meanwhile.

        Args:
            tally: the counts now.
            counted: what the workers have counted.
            now: seconds of the monotonic clock.
        """
        limits = [] if self._limit.failed is None else [self._limit.failed]
        if self._breaker and tally.success == self._before.success:
            limits.append(FIRST)
        if not limits:
            return 0
        at = min(limits)
        if counted < at + self._passed:
            self._braked_at = None
        elif self._braked_at is None:
            self._braked_at = now
        elif now - self._braked_at > SETTLE_SECONDS:
            # All is committed, and no rule has stopped the batch: some were put back by `retry`, say.
            failed = tally.failed - self._before.failed
            self._passed = max(counted - failed, counted - at + 1)
            self._braked_at = None
        return at + self._passed

    def expiry_reason(self, now: float) -> str | None:
        """Why what has not begun never does; None while it may.

        Args:
            now: seconds since 1970.
        """
        if self._deadline is None or now < self._deadline:
            return None
        return f"its deadline {datetime.fromtimestamp(self._deadline, timezone.utc):%Y-%m-%d %H:%M:%S} UTC has passed"


class RunningRules:
    """The same rules for a batch in memory, asked at each outcome.

    Args:
        limit: failures that it may have.
        breaker: stop when everything fails.
    """

    def __init__(self, limit: Limit, breaker: bool) -> None:
        self._limit = limit
        self._breaker = breaker
        self._recent: deque[tuple[bool, object]] = deque(maxlen=ALIKE)

    def reason(self, outcome: Outcome, tally: Tally) -> str | None:
        """Why the batch has to stop after `outcome`; None while it has not to."""
        failure = outcome.failure
        self._recent.appendleft((failure is None, failure and failure.fingerprint))
        if failure is None:
            return None
        reason = limit_reached(self._limit, tally)
        if reason is None and self._breaker:
            reason = all_fail(list(self._recent), none_succeeded=tally.success == 0)
        return reason


def all_fail(recent: Recent, none_succeeded: bool) -> str | None:
    """Whether everything fails, in words; None while it does not.

    Args:
        recent: the last outcomes of the session.
        none_succeeded: none in the session has succeeded.

    Example:
        >>> all_fail([(False, 1)] * 20, none_succeeded=True)
        'the first 20 items all failed'
        >>> all_fail([(False, 1)] * 20, none_succeeded=False) is None
        True
    """
    if not recent or recent[0][0]:
        return None
    kind = recent[0][1]
    alike = sum(1 for _ in takewhile(lambda outcome: not outcome[0] and outcome[1] == kind, recent))
    if alike >= ALIKE:
        return f"the last {alike} items all failed alike"
    if none_succeeded and len(recent) >= FIRST:
        return f"the first {len(recent)} items all failed"
    return None
