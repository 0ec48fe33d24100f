"""What a handler may want to know about its attempt, and what it can tell about it: how much it spends."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import math
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from batchq.errors import ConfigError

LOOK_SECONDS: Final = 0.5
"""Whoever waits for a rate looks so often whether that has changed."""


class Till(Protocol):
    """Where a handler pays."""

    @property
    def pace(self) -> int:
        """A number that changes with the rate limits."""

    def charge(self, amounts: Mapping[str, float], again: bool = False) -> concurrent.futures.Future[int]:
        """Charge so much of each unit; the answer is when it may be used (monotonic clock, nanoseconds).

        Args:
            amounts: by unit.
            again: it is charged already, and other limits hold: answer with the time only.
        """

    def begin_wait(self) -> None:
        """From now on the attempt waits for its turn, which is no time of the handler's."""

    def end_wait(self) -> None:
        """It waits no more."""

    def hold(self, seconds: float) -> None:
        """Let nothing of the whole batch begin for so long."""


class Spending:
    """What `Context.spend` returns: an amount that is charged already.

    In an async handler await it, so that the rate limit is kept; in a sync one `spend` has waited.

    Example:
        >>> async def handler(item, ctx):
        ...     spending = await ctx.spend(tokens=800)              # an estimate
        ...     answer = await ask(item)
        ...     spending.settle(tokens=answer.tokens)               # the true number
        ...     return answer.text
    """

    def __init__(self, till: Till | None, amounts: Mapping[str, float]) -> None:
        self._till = till
        self._amounts = _checked(amounts)
        self._charged = till.charge(self._amounts) if till and self._amounts else None

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
        if self._till and difference:
            self._till.charge(difference)

    def wait(self) -> None:
        """Wait, in a thread, until what was charged may be used."""
        if self._till is None or self._charged is None:
            return
        self._till.begin_wait()
        try:
            start, pace = self._charged.result(), self._till.pace
            while (pause := (start - time.monotonic_ns()) / 1e9) > 0:
                time.sleep(min(pause, LOOK_SECONDS))
                if self._till.pace != pace:
                    start, pace = self._till.charge(self._amounts, again=True).result(), self._till.pace
        finally:
            self._till.end_wait()

    async def _wait_async(self) -> Spending:
        if self._till is None or self._charged is None:
            return self
        self._till.begin_wait()
        try:
            start, pace = await asyncio.wrap_future(self._charged), self._till.pace
            while (pause := (start - time.monotonic_ns()) / 1e9) > 0:
                await asyncio.sleep(min(pause, LOOK_SECONDS))
                if self._till.pace != pace:
                    again = self._till.charge(self._amounts, again=True)
                    start, pace = await asyncio.wrap_future(again), self._till.pace
        finally:
            self._till.end_wait()
        return self


@dataclass(frozen=True)
class Context:
    """What a handler may want to know about the attempt that it is called for.

    Attributes:
        batch_id: the batch.
        item_id: the item's own id, or ``item-<seq>``.
        seq: the item's position in the input, from 1.
        attempt: 1 for the first attempt of this run.
        idempotency_key: the same for every attempt of this run; send it along so that repeating is harmless.
        resource: the value of the --setup context manager in this worker, or None.
        log: a logger whose lines carry the item's id and go to the batch's log.

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

    def spend(self, **amounts: float) -> Spending:
        """Tell how much this attempt spends, by units of your own: tokens, usd.

        A unit that has a ``--rate`` is waited for, which counts neither as the handler's time nor for its timeout;
        one that has a ``--budget`` pauses the batch when that is used up; all are shown in status and report.

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
        spending = Spending(self.till, amounts)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            spending.wait()
        return spending

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


def _checked(amounts: Mapping[str, float]) -> dict[str, float]:
    for unit, amount in amounts.items():
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 <= amount < math.inf:
            raise ConfigError(unit, amount, "a number from 0")
    return {unit: float(amount) for unit, amount in amounts.items()}
