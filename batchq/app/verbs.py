"""The verbs: one function each, called by every face."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from batchq.app.status import BatchStatus, status_of
from batchq.config import MAX_CONCURRENCY, check_count, check_number
from batchq.engine.hooks import Ending, Hooks
from batchq.engine.supervisor import Supervisor
from batchq.errors import ConfigError, HomeError, UsageError
from batchq.handlers import load_handler, load_target, split_target
from batchq.inputs import describe, open_reader
from batchq.model import COMPLETED, ENDED, BatchSpec, Tally
from batchq.store.batch import create_batch
from batchq.store.connection import DatabaseError
from batchq.store.home import Home

DURABILITIES: Final = ("normal", "full")


@dataclass(frozen=True)
class StartRequest:
    """What `start` is asked for; each field as the option of that name.

    Attributes:
        input: a file, or ``-`` for standard input.
        func: TARGET of the handler.
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
    """

    input: str
    func: str
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


@dataclass(frozen=True)
class Session:
    """A batch that is ready to be supervised by this process.

    Attributes:
        batch_id: the batch.
        spec: what it is.
        supervisor: call its `run`; its `stop` is safe in a signal handler.
    """

    batch_id: str
    spec: BatchSpec
    supervisor: Supervisor


def start(home: Home, request: StartRequest, hooks: Hooks, stdin: BinaryIO | None = None) -> Session:
    """Make a new batch; everything that can be found wrong with it is found before anything is stored.

    Raises:
        UsageError: an option, the target, the input, the id or the home cannot be used.
    """
    spec = _spec(request)
    _check_targets(spec)
    reader = open_reader(spec.source, stdin=stdin, strict_first=True)
    folder = home.claim(request.batch_id)
    try:
        create_batch(folder.database, folder.batch_id, spec)
        folder.supervise().release()  # a file system that cannot lock is found out now
    except BaseException as error:
        folder.remove()
        if isinstance(error, (OSError, DatabaseError)):
            raise HomeError(str(home.path), str(error)) from error
        raise
    return Session(folder.batch_id, spec, Supervisor(folder, reader, hooks))


def resume(
    home: Home, batch_id: str, hooks: Hooks, ignore_changed_input: bool = False, input_ended: bool = False
) -> Session | BatchStatus:
    """Go on with a batch; the status instead of a session where there is nothing left to do.

    Raises:
        UsageError: there is no such batch, or its target can no longer be used.
        BatchBusy: another process supervises it.
    """
    folder = home.find(batch_id)
    now = status_of(folder)
    if now.state in ENDED:
        return now
    folder.supervise().release()  # Refused before the target is loaded, which may take long.
    if now.input_cut and not input_ended:
        raise UsageError(
            "standard input was cut off, and cannot be read again from where it was",
            f"`batchq resume {batch_id} --input-ended` goes on with what was stored of it.",
        )
    _check_targets(now.spec)
    supervisor = Supervisor(folder, None, hooks, ignore_changed_input=ignore_changed_input, input_ended=input_ended)
    return Session(batch_id, now.spec, supervisor)


def exit_code(ending: Ending, tally: Tally) -> int:
    """What the command line exits with: 0 all succeeded, 1 some failed, 3 (or the reason's own) not finished."""
    if ending.state == COMPLETED and not ending.stopped:
        return 1 if tally.failed else 0
    return ending.exit_code


def _spec(request: StartRequest) -> BatchSpec:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = cores if request.workers is None else request.workers
    check_count("--concurrency", request.concurrency, MAX_CONCURRENCY)
    check_count("--workers", workers)
    check_count("--chunk-size", request.chunk_size)
    check_number("--timeout", request.timeout)
    check_number("--grace", request.grace)
    if request.limit is not None:
        check_count("--limit", request.limit)
    if request.durability not in DURABILITIES:
        raise ConfigError("--durability", request.durability, " or ".join(DURABILITIES))
    check_count("--retry-attempts", request.retry_attempts)
    check_number("--retry-delay", request.retry_delay)
    check_number("--retry-backoff", request.retry_backoff, least=1.0)
    check_count("--max-uncommitted", request.max_uncommitted)
    cwd = Path.cwd()
    target, folder = split_target(request.func, cwd)
    setup = split_target(request.setup, cwd)[0] if request.setup else None
    return BatchSpec(
        target=target,
        folder=str(folder),
        cwd=str(cwd),
        python=sys.executable,
        source=describe(request.input, request.input_format, request.limit),
        setup=setup,
        concurrency=request.concurrency,
        workers=min(workers, request.concurrency),
        timeout=request.timeout or None,
        retry_attempts=request.retry_attempts,
        retry_delay=request.retry_delay,
        retry_backoff=request.retry_backoff,
        chunk_size=request.chunk_size,
        durability=request.durability,
        max_uncommitted=request.max_uncommitted,
        grace=request.grace,
    )


def _check_targets(spec: BatchSpec) -> None:
    folder = Path(spec.folder)
    load_handler(spec.target, folder)
    if spec.setup:
        load_target(spec.setup, folder)
