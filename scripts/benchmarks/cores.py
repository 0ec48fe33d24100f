"""The case of a handler that computes: whether two workers are twice one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from benchmarks.measure import SMALL_BYTES, Bench
from benchmarks.rows import Finding, Target, alternate, pairs

SETTINGS: Final = ("-c", "5")


def cpu(bench: Bench) -> Iterator[Finding]:
    """A handler, not async, that computes: two workers against one, and two plain processes against one."""
    count = max(2, bench.items(4000))
    source = bench.input("cpu", count, SMALL_BYTES)

    def plain(processes: int) -> float:
        share = str(count // processes)
        seconds = bench.time_together([[sys.executable, "-m", "benchmarks.plain_burn", share]] * processes)
        bench.say(f"  {processes} plain process(es): {seconds:.2f} s")
        return seconds

    one_plain, two_plain, one, two = alternate(
        bench.runs,
        lambda: plain(1),
        lambda: plain(2),
        lambda: bench.time_batch(source, count, "burn", *SETTINGS, "-w", "1"),
        lambda: bench.time_batch(source, count, "burn", *SETTINGS, "-w", "2"),
    )
    what = f"{count:,} items that compute: items/s of "
    yield pairs("cpu/plain", what + "2 plain processes / 1 plain process", one_plain, two_plain)
    yield pairs("cpu/workers", what + "2 workers / 1 worker", one, two, Target(">=", 1.8))
    yield pairs("cpu/against-plain", what + "2 workers / 2 plain processes", two_plain, two, guard=True)
    source.unlink()
