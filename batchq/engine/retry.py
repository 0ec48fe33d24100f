"""Whether a failed attempt is tried again, and after how long. The strategies are tenacity's.

An attempt that succeeds never comes here: entering tenacity for each item would cost more than all the rest
(measured: 20 to 24 thousand items a second at best).  A waiting item holds neither a slot nor a task, so the
strategies are driven directly and answer with a number of seconds.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from batchq.config import RetryConfig
from batchq.engine.failures import describe
from batchq.engine.http_errors import LONGEST_WAIT, cannot_get_better, retry_after_of
from batchq.engine.threads import SlotThread
from batchq.errors import Halt, Permanent, RetriesExhausted, RetryAfter, UnserializableResult
from batchq.handlers import is_coroutine_function

if TYPE_CHECKING:
    from batchq.engine.strategies import Strategies

PROGRAMMING_ERRORS: Final = (TypeError, NameError, AttributeError, ImportError, SyntaxError)
"""A handler that is written wrong does not get better by running it again."""
BUDGET_LEAST: Final = 10
"""Retries that no budget forbids."""


class RetryHandler:
    """Decides what follows a failed attempt, and runs single functions with retries.

    The delay before attempt n + 1 is ``initial_delay * backoff_factor ** (n - 1)``, at most ``max_delay``: 1, 2, 4 …
    seconds with the defaults.  Not tried again: `Permanent`, programming errors (TypeError, NameError,
    AttributeError, ImportError, SyntaxError), HTTP answers that cannot get better, and cancellation.  `RetryAfter` and
    a ``Retry-After`` header set the delay.

    Args:
        config: attempts and delays (seconds); defaults to three attempts after 1 and 2 seconds.
        draw: a number from 0 to 1 for the jitter; tests pass their own.
        prepare: called at the first failure, before anything is imported for it.

    Example:
        >>> RetryHandler().delay_after(ConnectionError("reset"), attempt=2)
        2.0
    """

    def __init__(
        self,
        config: RetryConfig | None = None,
        draw: Callable[[], float] = random.random,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config or RetryConfig()
        self._draw = draw
        self._prepare = prepare
        self._attempts = self._retries = 0
        self._made: Strategies | None = None
        self._made_of: RetryConfig | None = None

    async def execute_with_retry(
        self, func: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> tuple[Any, int, str | None]:
        """Call `func` until it succeeds, or until trying again is of no use.

        Args:
            func: a function, async or not; one that is not runs in a thread.
            args: passed on to it.
            kwargs: passed on to it.

        Returns:
            ``(result, attempts, None)``, or ``(None, attempts, text of the last error)``.

        Example:
            >>> asyncio.run(RetryHandler().execute_with_retry(str.upper, "tea"))
            ('TEA', 1, None)
        """
        result, attempts, error = await self.attempt(func, *args, **kwargs)
        return (result, attempts, None) if error is None else (None, attempts, describe(error).error)

    async def attempt(
        self, func: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> tuple[Any, int, BaseException | None]:
        """As `execute_with_retry`, with the last exception itself."""
        attempts = 0
        while True:
            attempts += 1
            try:
                return await _call(func, *args, **kwargs), attempts, None
            except BaseException as error:
                if not isinstance(error, Exception) and not _is_own_cancellation(error):
                    raise
                delay = self.delay_after(error, attempts)
                if delay is None:
                    return None, attempts, error
            await asyncio.sleep(delay)

    def delay_after(self, error: BaseException, attempt: int) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1) failed with `error`; None to give up."""
        self._attempts += 1
        delay = self._strategies().delay_after(error, attempt)
        if delay is None or not self._within_budget():
            return None
        self._retries += 1
        asked = wait_asked_by(error)
        delay = delay if asked is None else asked
        return delay + delay * self.config.jitter * self._draw()

    def succeeded(self) -> None:
        """An attempt succeeded: it counts for the budget."""
        self._attempts += 1

    def see(self, attempts: int, retries: int) -> None:
        """So many attempts were made, and so many of them retries, by others as well: they count for the budget."""
        self._attempts = max(self._attempts, attempts)
        self._retries = max(self._retries, retries)

    def _within_budget(self) -> bool:
        # A few are always allowed: the first failure of a batch would otherwise be over any budget.
        return self._retries < BUDGET_LEAST or self._retries < self.config.budget * self._attempts

    def _calculate_delay(self, attempt: int) -> float:
        """Seconds before attempt ``attempt + 1``, without jitter: initial_delay * backoff_factor ** (attempt - 1)."""
        return self._strategies().delay(attempt)

    def _strategies(self) -> Strategies:
        """Made anew when somebody has changed the configuration, which is mutable."""
        config = self.config
        if self._made is None or self._made_of != config:
            self._prepare()
            from batchq.engine.strategies import Strategies

            self._made = Strategies(config, lambda error: is_transient(error, config.no_retry, config.retry_on))
            self._made_of = replace(config)
        return self._made


async def retry_on_exception(
    func: Callable[..., Any], max_attempts: int = 3, backoff_factor: float = 2.0, *args: Any, **kwargs: Any
) -> Any:
    """Call `func` with `args` and `kwargs` until it succeeds, and return its result.

    Args:
        func: a function, async or not.
        max_attempts: calls at most.
        backoff_factor: factor from one delay to the next; the first is one second.

    Raises:
        RetriesExhausted: the last attempt failed too; its exception is the cause.

    Example:
        >>> asyncio.run(retry_on_exception(str.upper, 3, 2.0, "tea"))
        'TEA'
    """
    result, attempts, error = await RetryHandler(RetryConfig(max_attempts, backoff_factor)).attempt(
        func, *args, **kwargs
    )
    if error is not None:
        raise RetriesExhausted(attempts, describe(error).error) from error
    return result


def is_transient(error: BaseException, no_retry: Sequence[str] = (), retry_on: Sequence[str] = ()) -> bool:
    """Whether trying again can help.

    Cancellation, SystemExit and KeyboardInterrupt are no `Exception`: retrying them would swallow them.

    Args:
        error: what an attempt raised.
        no_retry: names of exceptions that are not tried again.
        retry_on: names of exceptions that are; a name that stands in both is not.

    Example:
        >>> is_transient(ConnectionError()), is_transient(TypeError())
        (True, False)
        >>> is_transient(TypeError(), retry_on=["TypeError"]), is_transient(KeyError(), no_retry=["LookupError"])
        (True, False)
    """
    if not isinstance(error, Exception) or isinstance(error, (Permanent, Halt, UnserializableResult)):
        return False
    names = names_of(type(error))
    if not names.isdisjoint(no_retry):
        return False
    if not names.isdisjoint(retry_on) or isinstance(error, RetryAfter):
        return True
    return not isinstance(error, PROGRAMMING_ERRORS) and not cannot_get_better(error)


def names_of(kind: type[BaseException]) -> set[str]:
    """The names by which a user may call an exception: its own and its bases', with and without their modules."""
    return {name for base in kind.__mro__ for name in (base.__name__, f"{base.__module__}.{base.__qualname__}")}


def wait_asked_by(error: BaseException) -> float | None:
    """Seconds that the handler or the server asks to wait; None where neither does."""
    if isinstance(error, RetryAfter):
        return min(max(error.seconds, 0.0), LONGEST_WAIT)
    return retry_after_of(error)


async def _call(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if is_coroutine_function(func):
        return await func(*args, **kwargs)
    thread = SlotThread(asyncio.get_running_loop())
    try:
        result, error = await thread.call(lambda: func(*args, **kwargs))
    finally:
        thread.end()
    if error is not None:
        raise error
    return await result if inspect.isawaitable(result) else result


def _is_own_cancellation(error: BaseException) -> bool:
    """Whether `error` is a cancellation that the function raised itself, which is a failure like any other."""
    task = asyncio.current_task()
    cancelling = getattr(task, "cancelling", None)  # Python 3.10 cannot tell
    return isinstance(error, asyncio.CancelledError) and cancelling is not None and cancelling() == 0
