"""File descriptors: how many slots the limit of this process, which workers inherit, has room for."""

from __future__ import annotations

from typing import Final

from batchq.app.words import count
from batchq.errors import UsageError
from batchq.store.descriptors import in_use
from batchq.store.descriptors import soft_limit as soft_limit

PER_WORKER: Final = 64
"""What a worker has open beside its items: 22 of its own (measured), the rest for what the handler keeps open."""
SUPERVISOR: Final = 64
PER_CHILD: Final = 8
"""What the supervisor has open for each worker: pipes and locks (8 measured)."""
LEAST: Final = 24
"""What it cannot do without for itself (17 measured, and 4 while it starts a process): locks, log, two connections."""
LEAST_OF_WORKER: Final = 32
"""The same of a worker (22 measured), and what Python opens while it imports."""


def slots(workers: int, limit: int) -> int:
    """Slots that there is room for, one descriptor each.

    Example:
        >>> slots(2, 1024)
        1920
    """
    return workers * max(0, limit - PER_WORKER)


def needed(concurrency: int, workers: int) -> int:
    """The limit that so many slots in so many workers need.

    Example:
        >>> needed(2000, 2)
        1064
    """
    return max(PER_WORKER + -(-concurrency // workers), SUPERVISOR + PER_CHILD * workers)


def require(workers: int) -> None:
    """Refuse a batch of so many workers under a limit with which it cannot even begin.

    Args:
        workers: processes side by side.

    Raises:
        UsageError: this process may have too few descriptors; says how to have more.

    Example:
        require(2)  # nothing, under the usual limit of 1,024
    """
    limit = soft_limit()
    least = max(LEAST_OF_WORKER, LEAST + in_use() + PER_CHILD * workers)
    if limit is not None and limit < least:
        raise UsageError(
            f"a process may open {limit:,} files here, and a batch of {count(workers, 'worker')} needs {least:,}",
            f"`ulimit -n {needed(workers, workers)}` raises that" + ("; -w 1 needs fewer" if workers > 1 else "") + ".",
        )


def warning(concurrency: int, workers: int, limit: int | None) -> str:
    """One line where the limit is too small for a batch; empty where it is not.

    Args:
        concurrency: items in flight in the whole batch.
        workers: processes.
        limit: descriptors of a process; None for no limit.
    """
    need = needed(concurrency, workers)
    if limit is None or need <= limit:
        return ""
    return (
        f"a process here may open {limit:,} files, too few for {concurrency:,} items at a time in "
        f"{count(workers, 'worker')} if each opens one; `ulimit -n {need}` before the start raises that"
    )
