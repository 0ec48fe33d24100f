"""tenacity's strategies, driven directly: how long to wait after a failed attempt, and when to give up.

A module of its own, since importing tenacity takes a tenth of a worker's start, and most batches fail later or never.
"""

from __future__ import annotations

from collections.abc import Callable

from tenacity import DoSleep, RetryCallState, RetryError, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_base, wait_exponential, wait_none

from batchq.config import RetryConfig


class Strategies:
    """What tenacity makes of a configuration.

    Args:
        config: attempts and delays (seconds).
        is_transient: whether trying again can help against an exception.

    Example:
        >>> Strategies(RetryConfig(), lambda error: True).delay_after(ConnectionError("reset"), attempt=2)
        2.0
    """

    def __init__(self, config: RetryConfig, is_transient: Callable[[BaseException], bool]) -> None:
        # Where the power overflows, tenacity answers with the cap, also of a delay of nothing.
        self._wait: wait_base = (
            wait_exponential(config.initial_delay, config.max_delay, config.backoff_factor)
            if config.initial_delay
            else wait_none()
        )
        self._retrying = Retrying(
            stop=stop_after_attempt(config.max_attempts), wait=self._wait, retry=retry_if_exception(is_transient)
        )
        self._retrying.begin()

    def delay_after(self, error: BaseException, attempt: int) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1) failed with `error`; None to give up."""
        state = self._state(attempt)
        state.set_exception((type(error), error, None))
        trace = error.__traceback__
        try:
            answer = self._retrying.iter(state)
        except (RetryError, type(error)):
            return None
        finally:
            error.__traceback__ = trace  # tenacity has raised it once more, which is nothing that users need see
        return float(answer) if isinstance(answer, DoSleep) else 0.0

    def delay(self, attempt: int) -> float:
        """Seconds between attempt number `attempt` and the next one."""
        return float(self._wait(self._state(attempt)))

    def _state(self, attempt: int) -> RetryCallState:
        state = RetryCallState(self._retrying, fn=None, args=(), kwargs={})
        state.attempt_number = attempt
        return state
