"""How the limits of a batch are shared out among its workers."""

from __future__ import annotations


def shares(concurrency: int, workers: int) -> list[int]:
    """Slots of each worker: together exactly `concurrency`, and none without a slot.

    Example:
        >>> shares(5, 2)
        [3, 2]
        >>> shares(2, 4)
        [1, 1]
    """
    workers = min(workers, concurrency)
    base, rest = divmod(concurrency, workers)
    return [base + (index < rest) for index in range(workers)]
