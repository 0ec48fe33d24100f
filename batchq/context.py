"""What a handler may want to know about its attempt, and what it can tell about it: how much it spends."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import math
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

from batchq.errors import ConfigError
from batchq.pace import ITEMS, Booking, Charge

NOTHING: Final[Mapping[str, float]] = MappingProxyType({})
LOOK_SECONDS: Final = 0.5
"""Whoever waits for a rate looks so often whether that has changed."""
BEGIN_SECONDS: Final = 0.25
"""So long before its turn comes it is counted: for as long the news of it may be on its way, from a cluster, and where
its process dies meanwhile, what was paid would count for no budget."""


class Till(Protocol):
    """Where a handler pays."""

    @property
    def pace(self) -> int:
        """A number that changes with the rate limits."""

    @property
    def limits_spending(self) -> bool:
        """Whether a rate or a budget limits what is spent."""

    def charge(self, booking: Booking) -> concurrent.futures.Future[Charge]:
        """Write something into the book of what is spent."""

    def begin_wait(self) -> None:
        """From now on the attempt waits for its turn, which is no time of the handler's."""

    def end_wait(self) -> None:
        """It waits no more."""

    def hold(self, seconds: float) -> None:
        """Let nothing of the whole batch begin for so long."""

    def held(self) -> float:
        """For so many seconds yet the server that items call is not to be called."""


class Spending:
    """What `Context.spend` returns: an amount that is charged already.

    In an async handler await it, so that the rate limit is kept; in a sync one `spend` has waited. Who does not wait to
    the end, since the batch is stopped, has spent nothing.

    Args:
        till: where the attempt pays.
        amounts: by unit, what is charged.
        counts: False for what is charged already, and waits for its turn only.
        reserved: by unit, what counts as spent where this process dies before `settle`.

    Example:
        >>> async def handler(item, ctx):
        ...     spending = await ctx.spend(tokens=800)              # an estimate
        ...     answer = await ask(item)
        ...     spending.settle(tokens=answer.tokens)               # the true number
        ...     return answer.text
    """

    def __init__(
        self,
        till: Till | None,
        amounts: Mapping[str, float],
        counts: bool = True,
        reserved: Mapping[str, float] = NOTHING,
    ) -> None:
        self._till = till
        self._amounts = _checked(amounts)
        self._reserved = _checked(reserved)
        self._counts = counts
        self._waits = False
        # Where nothing limits it, it is due at once: to hear that takes a transaction, and calls that have waited for
        # one come in crowds.
        self._is_due = till is not None and counts and not till.limits_spending
        self._charged: concurrent.futures.Future[Charge] | None = None
        if till is not None and self._amounts:
            first, reserves, may_wait = self._amounts, self._reserved, not self._is_due
            self._charged = till.charge(
                Booking("charge", (first, reserves, may_wait)) if counts else Booking("again", (first,))
            )
        self._is_heard = self._is_due
        self._pace = 0
        self._missed = False

    def __await__(self) -> Generator[Any, None, Spending]:
        return self._wait_async().__await__()

    def settle(self, **amounts: float) -> None:
        """Charge the difference to the true `amounts`, or give it back; units that are not named stay.

        Raises:
            ConfigError: an amount is no number from 0.
        """
        true = _checked(amounts)
        difference = {unit: amount - self._amounts.get(unit, 0.0) for unit, amount in true.items()}
        difference = {unit: amount for unit, amount in difference.items() if amount}
        self._amounts = {**self._amounts, **true}
        given_back = {unit: -amount for unit, amount in self._reserved.items() if amount}
        self._reserved = {}
        if self._till and (difference or given_back):
            self._till.charge(Booking("charge", (difference, given_back)))

    def wait(self) -> None:
        """Wait, in a thread, until what was charged may be used."""
        if self._till is None or self._charged is None:
            return
        self._till.begin_wait()
        try:
            start = 0 if self._is_due else self._begun(self._charged.result())
            while (pause := self._pause(self._till, start)) is not None:
                time.sleep(self._until_begin(self._till, pause))
                if (again := self._charged_anew(self._till)) is not None:
                    start = again.result().start_ns
            self._has_turn(self._till)
        except BaseException:
            self._take_back(self._till)
            raise
        finally:
            self._till.end_wait()

    async def _wait_async(self) -> Spending:
        if self._till is None or self._charged is None:
            return self
        self._till.begin_wait()
        try:
            start = 0 if self._is_due else self._begun(await _answer(self._charged))
            while (pause := self._pause(self._till, start)) is not None:
                await asyncio.sleep(self._until_begin(self._till, pause))
                if (again := self._charged_anew(self._till)) is not None:
                    start = (await _answer(again)).start_ns
            self._has_turn(self._till)
        except BaseException:  # the batch is stopped: what was charged is not used
            self._take_back(self._till)
            raise
        finally:
            self._till.end_wait()
        return self

    def _begun(self, charge: Charge) -> int:
        self._waits, self._is_heard = charge.waits, True
        return charge.start_ns

    def _until_begin(self, till: Till, pause: float) -> float:
        """Of a pause the part until which nothing is to be done; what has its turn soon is counted now."""
        if pause > BEGIN_SECONDS:
            return pause - BEGIN_SECONDS if self._waits else pause
        self._has_turn(till)
        return pause

    def _has_turn(self, till: Till) -> None:
        """What waited is spent from now on."""
        if self._waits:
            amounts, reserved = self._amounts, self._reserved
            till.charge(Booking("begin", (amounts, reserved)))
            self._waits = False

    def _take_back(self, till: Till) -> None:
        def hear(charged: concurrent.futures.Future[Charge]) -> None:
            if not charged.cancelled() and charged.exception() is None:
                self._begun(charged.result())
                self._take_back(till)

        if not self._is_heard and self._charged is not None:
            self._charged.add_done_callback(hear)  # until then nobody knows whether it is spent or waits
        elif self._waits:
            till.charge(Booking("give_up", (self._amounts,)))
        elif self._counts:
            self.settle(**dict.fromkeys(self._amounts, 0.0))

    def _pause(self, till: Till, start_ns: int) -> float | None:
        """Seconds until the next look; None where it is time. What may be used from `start_ns` on is charged."""
        self._pace = till.pace
        due = (start_ns - time.monotonic_ns()) / 1e9
        held = till.held()
        # A time that comes while nobody may call the server is missed: with all that wait for it, it would be a crowd.
        self._missed = 0 < held >= due
        pause = max(due, held)
        return min(pause, LOOK_SECONDS) if pause > 0 else None

    def _charged_anew(self, till: Till) -> concurrent.futures.Future[Charge] | None:
        """When it may be used instead, where the time that was known counts no more."""
        if self._missed:
            amounts = {**self._amounts, ITEMS: 1.0}
            return till.charge(Booking("again", (amounts,))) if till.held() <= 0 else None
        amounts = self._amounts
        return till.charge(Booking("again", (amounts,))) if till.pace != self._pace else None


@dataclass(frozen=True)
class Context:
    """What a handler may want to know about the attempt that it is called for.

    Attributes:
        batch_id: the batch.
        item_id: the item's own id, or ``item-<seq>``.
        seq: the item's position in the input, from 1.
        attempt: 1 for the first attempt of this run, at this stage.
        idempotency_key: the same for every attempt of this run, and another at each stage; send it along so that
            repeating is harmless.
        resource: the value of the --setup context manager in this worker, or None.
        log: a logger whose lines carry the item's id and go to the batch's log.
        stage: the stage of the batch (``--then``) that it is called for, from 1.
        payload: the item itself, as the first stage gets it; a later one is called with the result of the one before.

    Example:
        >>> def handler(item, ctx):
        ...     ctx.log.info("attempt %d", ctx.attempt)
        ...     return item["text"].title()
    """

    batch_id: str
    item_id: str | int
    seq: int
    attempt: int
    idempotency_key: str
    resource: Any
    log: logging.LoggerAdapter[logging.Logger]
    till: Till | None = None
    stage: int = 1
    payload: Any = None

    def spend(self, **amounts: float) -> Spending:
        """Tell how much this attempt spends, by units of your own: tokens, usd.

        A unit that has a ``--rate`` is waited for, which counts neither as the handler's time nor for its timeout;
        one that has a ``--budget`` pauses the batch when that is used up; all are shown in status and report. While the
        batch is held back (a server has answered 429, or `hold`), it is waited as well.

        Args:
            amounts: by unit; numbers from 0.

        Returns:
            What to await in an async handler (a sync one has waited), with `Spending.settle` for the true number.

        Raises:
            ConfigError: an amount is no number from 0.

        Example:
            >>> async def handler(item, ctx):
            ...     await ctx.spend(tokens=len(item["text"]) // 4, usd=0.002)
        """
        return _waited(Spending(self.till, amounts))

    def turn(self) -> Spending:
        """Wait for the turn of another call, in a handler that calls its server more than once for an item.

        Such a call counts for a ``--rate`` of attempts as the beginning of one does, and waits while the batch is held
        back, which counts neither as the handler's time nor for its timeout.

        Returns:
            What to await in an async handler; a sync one has waited.

        Example:
            >>> async def handler(item, ctx):
            ...     draft = await ask(item)
            ...     await ctx.turn()
            ...     return await improve(draft)
        """
        return _waited(Spending(self.till, {ITEMS: 1.0}, counts=False))

    def hold(self, seconds: float) -> None:
        """Let no attempt of the whole batch begin for so long, in other workers neither.

        That is what an answer of 429 with a ``Retry-After`` does by itself; this is for servers that tell before that
        there is no more, say by ``x-ratelimit-remaining: 0``.  What is in flight goes on, this attempt too.

        Args:
            seconds: a number from 0; it is not obeyed for longer than 15 minutes.

        Raises:
            ConfigError: it is no such number.

        Example:
            >>> async def handler(item, ctx):
            ...     answer = await ask(item)
            ...     if answer.headers.get("x-ratelimit-remaining") == "0":
            ...         ctx.hold(float(answer.headers["x-ratelimit-reset"]))
            ...     return answer.text
        """
        seconds = _checked({"seconds": seconds})["seconds"]
        if self.till is not None and seconds:
            self.till.hold(seconds)


async def _answer(charged: concurrent.futures.Future[Charge]) -> Charge:
    """What came of it. Whoever is cancelled meanwhile leaves it be: `asyncio.wrap_future` would cancel it as well."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()

    def tell(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(came.set)

    charged.add_done_callback(tell)
    await came.wait()
    return charged.result()


def _waited(spending: Spending) -> Spending:
    """`spending`, which in a thread has waited."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        spending.wait()
    return spending


def _checked(amounts: Mapping[str, float]) -> dict[str, float]:
    for unit, amount in amounts.items():
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 <= amount < math.inf:
            raise ConfigError(unit, amount, "a number from 0")
    return {unit: float(amount) for unit, amount in amounts.items()}
