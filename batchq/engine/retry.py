"""Whether a failed attempt is tried again, and after how long. The strategies are tenacity's.

An attempt that succeeds never comes here: entering tenacity for each item would cost more than all the rest
(measured: 20 to 24 thousand items a second at best).  A waiting item holds neither a slot nor a task, so the
strategies are driven directly and answer with a number of seconds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from tenacity import DoSleep, RetryCallState, RetryError, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_base, wait_exponential, wait_none

from batchq.config import RetryConfig
from batchq.errors import Permanent, UnserializableResult

PROGRAMMING_ERRORS: Final = (TypeError, NameError, AttributeError, ImportError, SyntaxError)
"""A handler that is written wrong does not get better by running it again."""


class RetryHandler:
    """Decides what follows a failed attempt.

    Args:
        config: attempts and delays; defaults to three attempts after 1 and 2 seconds.
        draw: a number from 0 to 1 for the jitter; tests pass their own.

    Example:
        >>> RetryHandler().delay_after(ConnectionError("reset"), attempt=2)
        2.0
    """

    def __init__(self, config: RetryConfig | None = None, draw: Callable[[], float] = random.random) -> None:
        self.config = config or RetryConfig()
        self._draw = draw
        # Where the power overflows, tenacity answers with the cap, also of a delay of nothing.
        self._wait: wait_base = (
            wait_exponential(self.config.initial_delay, self.config.max_delay, self.config.backoff_factor)
            if self.config.initial_delay
            else wait_none()
        )
        self._retrying = Retrying(
            stop=stop_after_attempt(self.config.max_attempts),
            wait=self._wait,
            retry=retry_if_exception(is_transient),
        )
        self._retrying.begin()

    def delay_after(self, error: BaseException, attempt: int) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1) failed with `error`; None to give up."""
        state = _state(self._retrying, attempt)
        state.set_exception((type(error), error, None))
        try:
            answer = self._retrying.iter(state)
        except (RetryError, type(error)):
            return None
        delay = float(answer) if isinstance(answer, DoSleep) else 0.0
        return delay + delay * self.config.jitter * self._draw()

    def _calculate_delay(self, attempt: int) -> float:
        """Seconds before attempt ``attempt + 1``, without jitter: initial_delay * backoff_factor ** (attempt - 1)."""
        return float(self._wait(_state(self._retrying, attempt)))


def is_transient(error: BaseException) -> bool:
    """Whether trying again can help.

    Cancellation, SystemExit and KeyboardInterrupt are no `Exception`: retrying them would swallow them.
    """
    return isinstance(error, Exception) and not isinstance(
        error, (Permanent, UnserializableResult, *PROGRAMMING_ERRORS)
    )


def _state(retrying: Retrying, attempt: int) -> RetryCallState:
    state = RetryCallState(retrying, fn=None, args=(), kwargs={})
    state.attempt_number = attempt
    return state
