"""What a user can set, with the original's names and defaults, and the checks of it."""

from __future__ import annotations

import enum
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchq.durable_settings import DurableSettings, texts_of
from batchq.errors import ConfigError, UsageError
from batchq.pace import budgets_of, rates_of
from batchq.shards import Shard
from batchq.spec import DASK, ENGINES, LOCAL

MAX_CONCURRENCY: Final = 100_000
"""Slots beyond it cost memory and file descriptors that no machine has; a typing mistake is likelier."""
DURABILITIES: Final = ("normal", "full")
EMPTY_KEEP: Final = "keep"
EMPTY_FAIL: Final = "fail"
EMPTY_RESULTS: Final = (EMPTY_KEEP, EMPTY_FAIL)
SCHEDULER: Final = re.compile(r"(?!https?:)[a-z]+://(\[[0-9A-Za-z:.%]+\]|[^\s/:@\[\]]+):([0-9]{1,5})", re.ASCII)
MOST_PORT: Final = 65535
NAN_FAIL: Final = "fail"
NAN_NULL: Final = "null"
NANS: Final = (NAN_FAIL, NAN_NULL)


class ProcessingMode(enum.Enum):
    """Where the items of a batch run.

    ``PARALLEL`` and ``SEQUENTIAL`` run in the caller's event loop; ``QUEUE`` is the durable engine.

    Example:
        >>> ProcessingMode("queue")
        <ProcessingMode.QUEUE: 'queue'>
    """

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    QUEUE = "queue"


class QueueStatus(enum.Enum):
    """How a `QueueManager` stands.

    Example:
        >>> QueueStatus.PAUSED.value
        'paused'
    """

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass
class RetryConfig:
    """How often an item is tried and how long it waits in between.

    Attributes:
        max_attempts: attempts of an item, the first included.
        backoff_factor: factor from one delay to the next.
        initial_delay: seconds before the second attempt.
        max_delay: seconds; no delay is longer.
        jitter: share of a delay that is added at random; 0.1 adds up to 10%.
        no_retry: names of exceptions (``ValueError``, ``package.module.Name``) that are not tried again, nor are those
            derived from them.
        retry_on: names of exceptions that are, although they would not be, such as programming errors.
        budget: share of the attempts that may be retries, 0 to 1, so that an outage does not become a storm; 1 for no
            such limit.

    Raises:
        ConfigError: a number is out of its range.

    Example:
        >>> RetryConfig(max_attempts=5, initial_delay=0.5).max_delay
        60.0
    """

    max_attempts: int = 3
    backoff_factor: float = 2.0
    initial_delay: float = 1.0
    max_delay: float = 60.0
    jitter: float = 0.0
    no_retry: tuple[str, ...] = ()
    retry_on: tuple[str, ...] = ()
    budget: float = 1.0

    def __post_init__(self) -> None:
        check_count("retry attempts", self.max_attempts)
        check_number("retry budget", self.budget, most=1.0)
        check_number("retry backoff", self.backoff_factor, least=1.0)
        check_number("retry delay", self.initial_delay)
        check_number("longest retry delay", self.max_delay)
        check_number("retry jitter", self.jitter, most=1.0)


@dataclass
class QueueConfig:
    """How a `QueueManager` hands out items, and where it keeps them.

    Attributes:
        chunk_size: items in a chunk.
        max_queue_size: items that may wait at a time; adding more is refused.
        enable_persistence: keep the queue in a file, so that it survives the program.
        persistence_path: that file.

    Raises:
        ConfigError: a number is below 1.

    Example:
        >>> QueueConfig(chunk_size=10).max_queue_size
        1000
    """

    chunk_size: int = 50
    max_queue_size: int = 1000
    enable_persistence: bool = False
    persistence_path: str = "queue_state.json"

    def __post_init__(self) -> None:
        check_count("chunk size", self.chunk_size)
        check_count("longest queue", self.max_queue_size)


@dataclass(frozen=True)
class Limit:
    """Failures that a batch may have.

    Attributes:
        failed: so many; None for no such limit.
        share: so many of those that are done, 0 to 1; None for no such limit.
    """

    failed: int | None = None
    share: float | None = None

    @classmethod
    def of(cls, text: str | int | None) -> Limit:
        """What ``--halt`` says: ``100`` (also as a number) or ``20%``; None for no limit.

        Raises:
            ConfigError: it is neither.

        Example:
            >>> Limit.of("100"), Limit.of("20%")
            (Limit(failed=100, share=None), Limit(failed=None, share=0.2))
        """
        if text is None:
            return cls()
        number = str(text).strip()
        try:
            if number.endswith("%"):
                share = float(number[:-1]) / 100
                if 0 < share <= 1:
                    return cls(share=share)
            elif int(number) > 0:
                return cls(failed=int(number))
        except ValueError:
            pass
        raise ConfigError("halt", text, "a number of failed items, or a share of those that are done such as 20%")


@dataclass
class BatchConfig(DurableSettings):
    """How a `BatchProcessor` works. The first seven are the original's, in its order.

    Attributes:
        max_concurrent: items in flight at most; SEQUENTIAL always runs one at a time.
        mode: where the items run; its name as a string does as well.
        retry_attempts: attempts of an item, the first included.
        retry_backoff: factor from one delay to the next.
        timeout_per_item: seconds for each attempt; None or 0 for no limit.
        chunk_size: items that are stored together (QUEUE).
        enable_progress_tracking: show a bar, where stderr is a terminal or the program a notebook.
        retry_delay: seconds before the second attempt.
        retry_max_delay: seconds; no delay is longer.
        retry_jitter: share of a delay that is added at random; 0.1 adds up to 10%.
        empty_result: ``"keep"``, or ``"fail"`` for an item whose result is None or empty (``[]``, ``{}``, ``""``): an
            outage that the function swallows looks like that.
        nan: ``"fail"`` for an item whose result holds NaN or an infinity, or ``"null"`` to store null in its place
            (QUEUE; in memory a result is kept as it is).
        workers: processes (QUEUE); None for one a core, at most `max_concurrent`.
        durability: ``"normal"`` survives every crash of a process, ``"full"`` also a power cut (QUEUE).
        no_retry: names of exceptions that are not tried again.
        retry_on: names of exceptions that are, although they would not be, such as ``("TypeError",)``.
        retry_budget: share of the attempts that may be retries, 0 to 1; 1 for no such limit.
        halt: failed items (``"100"``, or 100) or share of them (``"20%"``, once 50 are done) that stop the batch.
        breaker: stop when the first 20 items all fail, or 50 in a row fail alike.
        rate: begin so many items in so long, evenly: ``"600/m"``, or several; in units of your own (``"tokens=90k/m"``)
            what functions tell by `Context.spend`.
        budget: stop when so much is spent by `Context.spend` (``"usd=20"``), or several.
        adaptive: lower the concurrency while an answer says that the server is overloaded (QUEUE).
        home: the folder of batches (QUEUE); None for ``$BATCHQ_HOME``, else the user's state folder.
        grace: seconds that items in flight have to finish when a QUEUE batch is interrupted.
        shard: the part of the ideas that is run, such as ``"3/10"`` for every tenth from the third on; None for all.
        engine: what runs the workers of a QUEUE batch: ``"local"``, processes of this machine, or ``"dask"``, a Dask
            cluster; None for that with a `scheduler`, else for processes.
        scheduler: address of a Dask scheduler; ``engine="dask"`` without one starts a cluster for the batch.
        where: only ideas that fulfil this condition, such as ``"price > 10 and lang in ('en', 'de')"``, as the option
            of `batchq start`; for any other condition there are generator expressions.

    The others need the mode QUEUE:

    Attributes:
        redact: fields of the ideas that errors, logs and reports do not show: names, or paths as ``"user.mail"``.
        out: a file (.jsonl, .csv or .tsv) to which each outcome is written as it is recorded.
        overwrite: `out` may exist already.
        notify: addresses that get a signed webhook when the batch has ended, or has stopped and waits for somebody; one
            that does not take it is tried again for a minute, and the call waits for that.
        notify_at: share of failed items at which they are told as well, such as ``"5%"``.
        deadline: what has not begun by then never does: ``"2h"`` from now, ``"18:30"``, or a date and time.
        memfree: nothing new begins with less free memory than that, such as ``"2G"``.
        max_tasks_per_worker: items after which a worker is replaced, where the function leaks.
        max_worker_memory: a worker that has more in memory is replaced; such as ``"2G"``.
        reuse: ids of earlier batches, whose results are taken for ideas that are the same.
        reuse_changed: also where these have run another function.
        cache: a folder of results that batches share.

    Raises:
        ConfigError: a value is not one of those that it can have.
        UsageError: two of them exclude each other.

    Example:
        >>> BatchConfig(max_concurrent=10, mode="queue").mode
        <ProcessingMode.QUEUE: 'queue'>
    """

    max_concurrent: int = 5
    mode: ProcessingMode | str = ProcessingMode.PARALLEL
    retry_attempts: int = 3
    retry_backoff: float = 2.0
    timeout_per_item: float | None = 300.0
    chunk_size: int = 50
    enable_progress_tracking: bool = True
    retry_delay: float = 1.0
    retry_max_delay: float = 60.0
    retry_jitter: float = 0.0
    empty_result: str = EMPTY_KEEP
    workers: int | None = None
    durability: str = DURABILITIES[0]
    home: str | os.PathLike[str] | None = None
    grace: float = 8.0
    no_retry: tuple[str, ...] = ()
    retry_on: tuple[str, ...] = ()
    retry_budget: float = 1.0
    halt: str | int | None = None
    breaker: bool = False
    rate: str | Sequence[str] = ()
    budget: str | Sequence[str] = ()
    adaptive: bool = False
    nan: str = NAN_FAIL
    shard: str | None = None
    engine: str | None = None
    scheduler: str | None = None
    where: str | None = None
    redact: str | Sequence[str] = ()
    out: str | os.PathLike[str] | None = None
    overwrite: bool = False
    notify: str | Sequence[str] = ()
    notify_at: str | None = None
    deadline: str | None = None
    memfree: str | None = None
    max_tasks_per_worker: int | None = None
    max_worker_memory: str | None = None
    reuse: str | Sequence[str] = ()
    reuse_changed: bool = False
    cache: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise `ConfigError` where a value cannot be used; fields may be set at any time, so each run asks."""
        self.mode = mode_of(self.mode)
        check_count("max_concurrent", self.max_concurrent, MAX_CONCURRENCY)
        check_count("retry_attempts", self.retry_attempts)
        check_number("retry_backoff", self.retry_backoff, least=1.0)
        if self.timeout_per_item is not None:
            check_number("timeout_per_item", self.timeout_per_item)
        check_count("chunk_size", self.chunk_size)
        check_number("retry_delay", self.retry_delay)
        check_number("retry_max_delay", self.retry_max_delay)
        check_number("retry_jitter", self.retry_jitter, most=1.0)
        check_choice("empty_result", self.empty_result, EMPTY_RESULTS)
        check_choice("nan", self.nan, NANS)
        if self.workers is not None:
            check_count("workers", self.workers)
        check_choice("durability", self.durability, DURABILITIES)
        check_number("grace", self.grace)
        check_number("retry_budget", self.retry_budget, most=1.0)
        Limit.of(self.halt)
        rates_of(self.rates)
        budgets_of(self.budgets)
        self.part  # noqa: B018  # raises
        if self.max_tasks_per_worker is not None:
            check_count("max_tasks_per_worker", self.max_tasks_per_worker)
        if self.runs_on != LOCAL and self.mode is not ProcessingMode.QUEUE:
            raise UsageError(f"engine={self.runs_on!r} needs mode='queue'")
        self.check_durable(self.mode is ProcessingMode.QUEUE)

    @property
    def runs_on(self) -> str:
        """What runs the workers, one of `spec.ENGINES`."""
        return engine_name(self.engine, self.scheduler, "")

    @property
    def part(self) -> Shard:
        """The part of the ideas that is run."""
        return Shard.of(self.shard, "shard")

    @property
    def rates(self) -> tuple[str, ...]:
        """The rate limits, as a tuple."""
        return texts_of(self.rate)

    @property
    def budgets(self) -> tuple[str, ...]:
        """The budgets, as a tuple."""
        return texts_of(self.budget)

    @property
    def retry(self) -> RetryConfig:
        """The retry settings among these."""
        return RetryConfig(
            self.retry_attempts,
            self.retry_backoff,
            self.retry_delay,
            self.retry_max_delay,
            self.retry_jitter,
            tuple(self.no_retry),
            tuple(self.retry_on),
            self.retry_budget,
        )


def mode_of(value: Any) -> ProcessingMode:
    """A mode, or its name, as a mode; raises `ConfigError` for anything else.

    Example:
        >>> mode_of("PARALLEL")
        <ProcessingMode.PARALLEL: 'parallel'>
    """
    if isinstance(value, ProcessingMode):
        return value
    try:
        return ProcessingMode(str(value).lower())
    except ValueError:
        raise ConfigError("mode", value, " or ".join(repr(mode.value) for mode in ProcessingMode)) from None


def engine_name(engine: str | None, scheduler: str | None, prefix: str = "--") -> str:
    """What runs the workers, where ``--engine`` and ``--scheduler`` say this.

    Args:
        engine: one of `spec.ENGINES`, or None.
        scheduler: address of a Dask scheduler, or None.
        prefix: of the two names, for messages.

    Raises:
        ConfigError: one of them cannot be used.
        UsageError: they exclude each other.

    Example:
        >>> engine_name(None, "tcp://10.0.0.5:8786"), engine_name(None, None)
        ('dask', 'local')
    """
    if scheduler is not None:
        found = SCHEDULER.fullmatch(scheduler) if isinstance(scheduler, str) else None
        if found is None or not 1 <= int(found[2]) <= MOST_PORT:
            raise ConfigError(f"{prefix}scheduler", scheduler, "an address such as tcp://10.0.0.5:8786")
    if engine is None:
        return LOCAL if scheduler is None else DASK
    check_choice(f"{prefix}engine", engine, ENGINES)
    if engine == LOCAL and scheduler is not None:
        raise UsageError(f"{prefix}engine local and {prefix}scheduler exclude each other")
    return engine


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise `ConfigError` unless `value` is one of `choices`."""
    if value not in choices:
        raise ConfigError(name, value, " or ".join(map(repr, choices)))


def check_count(name: str, value: Any, most: int | None = None) -> None:
    """Raise `ConfigError` unless `value` is a whole number from 1 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most is not None and value > most):
        raise ConfigError(name, value, "a whole number from 1" + (f" to {most}" if most else ""))


def check_number(name: str, value: Any, least: float = 0.0, most: float | None = None) -> None:
    """Raise `ConfigError` unless `value` is a finite number from `least` to `most`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < least or (most is not None and value > most):
        raise ConfigError(name, value, f"a number from {least:g}" + (f" to {most:g}" if most is not None else ""))
