"""What a group of outcomes adds to the running counts of a batch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

INTERVAL_MS: Final = 10_000
"""Of the table of intervals."""

Fact = tuple[int, int, int, int, int, int]
"""success (1 or 0), attempts, duration_us, bucket, ended_ms and worker of an outcome."""


class Counts:
    """Sums over outcomes, by what they are counted by.

    Args:
        facts: of the outcomes that were written just now.

    Attributes:
        success: how many succeeded.
        reused: how many of these did without an attempt.
        failed: how many failed.
        recovered: how many succeeded after a failed attempt.
        duration_us: what their handlers took.
        tables: by the statement that adds to a table: its key, and what is added to the other columns.

    Example:
        >>> Counts([(1, 2, 500, 70, 123_456, 1)]).tables["count_tries"]
        {2: [1, 0]}
    """

    def __init__(self, facts: Sequence[Fact]) -> None:
        alike: dict[tuple[int, int, int, int], list[int]] = {}
        for success, attempts, duration_us, _, ended_ms, worker in facts:
            key = (success, attempts, ended_ms // INTERVAL_MS, worker)
            sums = alike.get(key)
            if sums is None:
                alike[key] = [1, duration_us]
            else:
                sums[0] += 1
                sums[1] += duration_us
        self.success = self.reused = self.failed = self.recovered = self.duration_us = 0
        intervals: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        tries: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        shares: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for (success, attempts, interval, worker), (count, duration_us) in alike.items():
            if success:
                self.success += count
                self.reused += 0 if attempts else count
                self.recovered += count if attempts > 1 else 0
            else:
                self.failed += count
            self.duration_us += duration_us
            column = 0 if success else 1
            start_s = interval * INTERVAL_MS // 1000
            intervals[start_s][column] += count
            intervals[start_s][2] += duration_us
            tries[attempts][column] += count
            shares[worker][0] += count
            shares[worker][1] += duration_us
        latency = Counter([bucket for _, attempts, _, bucket, _, _ in facts if attempts])
        self.tables: Mapping[str, Mapping[int, list[int]]] = {
            "count_latency": {bucket: [count] for bucket, count in latency.items()},
            "count_intervals": dict(intervals),
            "count_tries": dict(tries),
            "count_shares": dict(shares),
        }
