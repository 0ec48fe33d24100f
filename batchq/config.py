"""What a user can set, with the original's names and defaults, and the checks of it."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any, Final

from batchq.errors import ConfigError

MAX_CONCURRENCY: Final = 100_000
"""Slots beyond it cost memory and file descriptors that no machine has; a typing mistake is likelier."""


class ProcessingMode(enum.Enum):
    """Where the items of a batch run.

    ``PARALLEL`` and ``SEQUENTIAL`` run in the caller's event loop; ``QUEUE`` is the durable engine.
    """

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    QUEUE = "queue"


@dataclass
class RetryConfig:
    """How often an item is tried and how long it waits in between.

    Attributes:
        max_attempts: attempts of an item, the first included.
        backoff_factor: factor from one delay to the next.
        initial_delay: seconds before the second attempt.
        max_delay: seconds; no delay is longer.
        jitter: share of a delay that is added at random; 0.1 adds up to 10%.
    """

    max_attempts: int = 3
    backoff_factor: float = 2.0
    initial_delay: float = 1.0
    max_delay: float = 60.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        check_count("retry attempts", self.max_attempts)
        check_number("retry backoff", self.backoff_factor, least=1.0)
        check_number("retry delay", self.initial_delay)
        check_number("longest retry delay", self.max_delay)
        check_number("retry jitter", self.jitter, most=1.0)


def check_count(name: str, value: Any, most: int | None = None) -> None:
    """Raise `ConfigError` unless `value` is a whole number from 1 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most is not None and value > most):
        raise ConfigError(name, value, "a whole number from 1" + (f" to {most}" if most else ""))


def check_number(name: str, value: Any, least: float = 0.0, most: float | None = None) -> None:
    """Raise `ConfigError` unless `value` is a finite number from `least` to `most`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < least or (most is not None and value > most):
        raise ConfigError(name, value, f"a number from {least:g}" + (f" to {most:g}" if most is not None else ""))
