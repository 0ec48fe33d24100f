"""What `start` is asked for, checked and put into a specification."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from batchq.app.outfile import check_new
from batchq.app.signature import is_in_variable
from batchq.app.source import source_of
from batchq.config import (
    DURABILITIES,
    MAX_CONCURRENCY,
    NANS,
    Limit,
    check_choice,
    check_count,
    check_number,
    engine_name,
)
from batchq.errors import UsageError
from batchq.loading import split_target
from batchq.pace import budgets_of, rates_of
from batchq.ready import KINDS, PAID, kind
from batchq.redaction import fields_of
from batchq.spec import DASK, BatchSpec
from batchq.units import bytes_of, moment_of, share_of
from batchq.urls import addresses_of

ON_THE_WAY: Final = 4
"""Items of 50 ms that a slot begins until the outcome of one is committed where the supervisor is."""
NOTHING_TO_RUN: Final = "it is not said what is to run over the items"
WHAT_TO_RUN: Final = f"Name a function with --func, or use {', '.join('--' + name for name in KINDS)}."


@dataclass(frozen=True)
class StartRequest:
    """What `start` is asked for; each field as the option of that name.

    Attributes:
        input: a file or a pattern of files, several of them, or ``-`` for standard input.
        func: TARGET of the handler; None where `work` is to be done.
        batch_id: the user's own id; None chooses one.
        input_format: None tells it by the file's name.
        setup: TARGET of a context manager that each worker enters once.
        concurrency: items in flight in the whole batch.
        workers: processes at most; None: as many as there are usable cores.
        timeout: seconds per attempt; 0 for no limit.
        retry_attempts: attempts of an item, the first included.
        retry_delay: seconds before the second attempt.
        retry_backoff: factor from one delay to the next.
        chunk_size: items in a chunk.
        limit: read at most that many records.
        durability: ``normal`` or ``full``.
        grace: seconds that items in flight have after a first Ctrl-C.
        max_uncommitted: outcomes that are uncommitted at most, over all workers.
        fail_empty: an empty result fails its item.
        nan: NaN and the infinities in a result: ``fail``, or ``null`` to store that.
        strict: the first record that cannot be read halts the batch.
        retry_max_delay: seconds; no delay is longer.
        retry_jitter: share of a delay that is added at random.
        retry_budget: share of the attempts that may be retries.
        no_retry: names of exceptions that are not tried again.
        retry_on: names of exceptions that are, although they would not be.
        halt: failed items (``100``) or share of them (``20%``) that halts the batch.
        no_breaker: go on even when everything fails.
        rate: limits of what begins or is spent in so long, such as ``600/m`` and ``tokens=90k/m``.
        budget: how much may be spent in all, such as ``usd=20``.
        adaptive: lower the concurrency while the server that items call is overloaded.
        deadline: what has not begun by then never does: ``2h`` from now, ``18:30``, or a date and time.
        memfree: nothing new begins with less free memory than that, such as ``2G``.
        on_finish: a command for the shell when the batch has ended, or waits for somebody.
        notify: addresses that are told how the batch ends.
        notify_at: share of failed items at which they are told as well, such as ``5%``.
        max_tasks_per_worker: items after which a worker is replaced.
        max_worker_memory: a worker that has more in memory is replaced; such as ``2G``.
        encoding: of text.
        csv_types: cells of a table become numbers, true, false and null where they look like it.
        max_item_size: a larger record fails; such as ``64M``.
        id_field: the field that an item's id is taken from; None for ``id``, ``idea_id`` or ``custom_id``.
        select: the fields that an item keeps, with commas between them; empty for all.
        where: a condition on records; see `inputs.where`.
        unique: the field by which later records of the same value are left out.
        skip: leave out so many records at the beginning.
        sample: so many records, drawn at random.
        shuffle: in a random order.
        seed: of what is random; None for another one each time.
        shard: the part of what is chosen that becomes items: ``3/10`` for the third of ten.
        redact: names and paths of fields that logs and reports do not show, with commas between them.
        out: a file to which results are written while the batch runs.
        overwrite: `out` may exist already.
        reuse: ids of earlier batches, whose results are taken for items that are the same.
        reuse_changed: also where these have run another function.
        cache: a folder of results that batches share.
        work: ready-made work instead of a function: its ``kind``, of `ready.KINDS`, and its options.
        then: TARGETs of the stages that come after `func` or `work`, each called with what the one before returned.
        engine: what runs the workers, one of `spec.ENGINES`; None for ``dask`` with a `scheduler`, else ``local``.
        scheduler: address of a Dask scheduler.
    """

    input: str | Sequence[str]
    func: str | None = None
    batch_id: str | None = None
    input_format: str | None = None
    setup: str | None = None
    concurrency: int = 5
    workers: int | None = None
    timeout: float = 300.0
    retry_attempts: int = 3
    retry_delay: float = 1.0
    retry_backoff: float = 2.0
    chunk_size: int = 50
    limit: int | None = None
    durability: str = "normal"
    grace: float = 8.0
    max_uncommitted: int = 1000
    fail_empty: bool = False
    retry_max_delay: float = 60.0
    retry_jitter: float = 0.1
    retry_budget: float = 1.0
    no_retry: tuple[str, ...] = ()
    retry_on: tuple[str, ...] = ()
    halt: str | None = None
    no_breaker: bool = False
    rate: tuple[str, ...] = ()
    budget: tuple[str, ...] = ()
    adaptive: bool = False
    deadline: str | None = None
    memfree: str | None = None
    on_finish: str | None = None
    notify: tuple[str, ...] = ()
    notify_at: str | None = None
    max_tasks_per_worker: int | None = None
    max_worker_memory: str | None = None
    encoding: str = "utf-8"
    csv_types: bool = False
    max_item_size: str = "64M"
    id_field: str | None = None
    select: str = ""
    where: str | None = None
    unique: str | None = None
    skip: int = 0
    sample: int | None = None
    shuffle: bool = False
    seed: int | None = None
    shard: str | None = None
    redact: tuple[str, ...] = ()
    nan: str = "fail"
    strict: bool = False
    out: str | None = None
    overwrite: bool = False
    work: Mapping[str, Any] | None = None
    reuse: tuple[str, ...] = ()
    reuse_changed: bool = False
    cache: str | None = None
    then: Sequence[str] = ()
    engine: str | None = None
    scheduler: str | None = None


def spec_of(request: StartRequest) -> BatchSpec:
    """The specification of a new batch; raises `UsageError` where an option, the target or the input cannot be used."""
    workers = usable_cores() if request.workers is None else request.workers
    check_count("--concurrency", request.concurrency, MAX_CONCURRENCY)
    check_count("--workers", workers)
    check_count("--chunk-size", request.chunk_size)
    check_number("--timeout", request.timeout)
    check_number("--grace", request.grace)
    check_choice("--durability", request.durability, DURABILITIES)
    check_choice("--nan", request.nan, NANS)
    engine = engine_name(request.engine, request.scheduler)
    check_count("--retry-attempts", request.retry_attempts)
    check_number("--retry-delay", request.retry_delay)
    check_number("--retry-backoff", request.retry_backoff, least=1.0)
    Limit.of(request.halt)
    check_number("--retry-max-delay", request.retry_max_delay)
    check_number("--retry-jitter", request.retry_jitter, most=1.0)
    check_number("--retry-budget", request.retry_budget, most=1.0)
    check_count("--max-uncommitted", request.max_uncommitted)
    if request.max_tasks_per_worker is not None:
        check_count("--max-tasks-per-worker", request.max_tasks_per_worker)
    rates_of(request.rate)
    budgets_of(request.budget)
    redact = fields_of(request.redact)
    notify, notify_at = notices_of(request.notify, request.notify_at)
    cwd = Path.cwd()
    target, folder, work = _work_of(request, cwd)
    setup = split_target(request.setup, cwd)[0] if request.setup else None
    source = source_of(request)
    return BatchSpec(
        target=target,
        folder=str(folder),
        cwd=str(cwd),
        python=sys.executable,
        source=source,
        setup=setup,
        concurrency=request.concurrency,
        workers=min(workers, request.concurrency),
        timeout=plain(request.timeout) or None,
        retry_attempts=request.retry_attempts,
        retry_delay=request.retry_delay,
        retry_backoff=request.retry_backoff,
        chunk_size=request.chunk_size,
        durability=request.durability,
        max_uncommitted=_uncommitted(request, engine),
        grace=request.grace,
        fail_empty=request.fail_empty,
        nan=request.nan,
        strict=request.strict,
        retry_max_delay=request.retry_max_delay,
        retry_jitter=request.retry_jitter,
        retry_budget=request.retry_budget,
        no_retry=request.no_retry,
        retry_on=request.retry_on,
        halt=request.halt,
        breaker=not request.no_breaker,
        rates=request.rate,
        budgets=request.budget,
        adaptive=request.adaptive,
        deadline=None if request.deadline is None else moment_of("--deadline", request.deadline),
        memfree=None if request.memfree is None else bytes_of("--memfree", request.memfree),
        on_finish=request.on_finish,
        notify=notify,
        notify_at=notify_at,
        notify_by_variable=bool(notify) and is_in_variable(),
        max_tasks_per_worker=request.max_tasks_per_worker,
        max_worker_memory=(
            None if request.max_worker_memory is None else bytes_of("--max-worker-memory", request.max_worker_memory)
        ),
        redact=redact,
        out=check_new(request.out, request.overwrite, [part.path for part in source.parts]),
        stages=stages_of(request.then, cwd),
        work=work,
        reuse=tuple(dict.fromkeys(request.reuse)),
        reuse_changed=request.reuse_changed,
        cache=None if request.cache is None else _folder("--cache", request.cache, cwd),
        engine=engine,
        scheduler=request.scheduler,
    )


def _folder(option: str, path: str, cwd: Path) -> str:
    if not path:  # of a variable that is not set
        raise UsageError(f"{option} needs a folder")
    return str((cwd / path).resolve())


def _uncommitted(request: StartRequest, engine: str) -> int:
    """Outcomes that may be lost in a crash: where each is paid, none but those of what is in flight.

    On a cluster they are longer on their way: so many that the slots need not wait for them.
    """
    asked = request.max_uncommitted
    if asked != StartRequest.max_uncommitted:
        return asked
    if request.work is not None and request.work["kind"] in PAID:
        return 1
    return max(asked, ON_THE_WAY * request.concurrency) if engine == DASK else asked


def _work_of(request: StartRequest, cwd: Path) -> tuple[str, Path, dict[str, Any] | None]:
    """The target of a batch, the folder in which it is found, and the ready-made work that it is, if it is any."""
    asked = request.work
    if asked is None:
        if request.func is None:
            raise UsageError(NOTHING_TO_RUN, WHAT_TO_RUN)
        return *split_target(request.func, cwd), None
    name = asked["kind"]
    if request.func is not None:
        raise UsageError(f"--{name} and --func exclude each other")
    if request.setup is not None and not request.then:
        raise UsageError(
            f"--{name} and --setup exclude each other", "A --setup is for the functions that --then names."
        )
    work = {"kind": name, **kind(name).check(asked)}
    return work["title"], cwd, work


def stages_of(then: Iterable[str], cwd: Path) -> tuple[str, ...]:
    """The later stages of a batch as they are stored; raises `TargetError` where one names nothing."""
    return tuple(split_target(target, cwd)[0] for target in then)


def notices_of(addresses: Iterable[str], share: str | None) -> tuple[tuple[str, ...], float | None]:
    """Whom ``--notify`` names, each once, and at which share of failed items they are told as well.

    Raises:
        UsageError: an address or the share cannot be used, or the share stands alone.

    Example:
        >>> notices_of(["https://example.org/hook"], "5%")
        (('https://example.org/hook',), 0.05)
    """
    notify = addresses_of("--notify", addresses)
    notify_at = None if share is None else share_of("--notify-at", share)
    if notify_at is not None and not notify:
        raise UsageError("--notify-at is of use with --notify only")
    return notify, notify_at


def moved_to(spec: BatchSpec, engine: str | None, scheduler: str | None) -> BatchSpec:
    """`spec` with its workers where ``--engine`` and ``--scheduler`` say; elsewhere as many as here by default.

    Those that were fitted to a cluster of hundreds would be as many processes of this machine.

    Raises:
        UsageError: as `engine_name`.
    """
    if engine is None and scheduler is None:
        return spec
    there = replace(spec, engine=engine_name(engine, scheduler), scheduler=scheduler)
    if there == spec:
        return spec
    return replace(there, workers=min(usable_cores(), spec.concurrency), all_workers=False)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def plain(seconds: float) -> float:
    """30.0 as 30: it is shown in errors as the user typed it."""
    return int(seconds) if seconds == int(seconds) else seconds
