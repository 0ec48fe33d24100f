"""Cases of the library: in memory against what is written by hand, and what the original module promised."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.handlers import WAIT_SECONDS
from benchmarks.measure import Bench
from benchmarks.rows import Finding, Target, alternate, pairs, spread


def library(bench: Bench) -> Iterator[Finding]:
    """The library in memory: against one by one, and against semaphore and gather."""
    for concurrency, target in ((5, 4.9), (10, 9.7)):
        items = bench.items(40 * concurrency)
        alone, together = alternate(
            bench.runs,
            lambda items=items: bench.library("sequential", items, 1, "wait")["seconds"],  # type: ignore[misc]
            lambda items=items, c=concurrency: bench.library("parallel", items, c, "wait")["seconds"],  # type: ignore[misc]
        )
        what = f"{WAIT_SECONDS * 1000:.0f} ms handler, {items:,} items: PARALLEL at {concurrency} / SEQUENTIAL"
        yield pairs(f"library/parallel-{concurrency}", what, alone, together, Target(">=", target))
    items = bench.items(1_000_000)
    hand: list[dict[str, float]] = []
    ours: list[dict[str, float]] = []
    for _ in range(bench.runs):
        hand.append(bench.library("gather", items, 100, "noop"))
        ours.append(bench.library("parallel", items, 100, "noop"))
    what = f"{items:,} no-op items, in memory: PARALLEL at 100 / semaphore and gather, "
    speeds = _column(hand, "seconds"), _column(ours, "seconds")
    yield pairs("library/rate", what + "items/s", *speeds, Target(">=", 1.5))
    peaks = _column(ours, "peak_mb"), _column(hand, "peak_mb")
    yield pairs("library/memory", what + "peak memory", *peaks, Target("<", 1.0))
    what = f"a report of {items:,} results, made and written as JSON"
    yield spread("library/report", what, _column(ours, "report_seconds"), "s", Target("<", 2.0))


def promises(bench: Bench) -> Iterator[Finding]:
    """What the original promised: successes, recovered failures, ideas a minute on the queue."""
    items = bench.items(2000)
    stable = bench.library("parallel", items, 10, "noop")
    share = 100 * stable["success"] / items
    yield spread("promises/success", "successes of a stable function", [share], "%", Target(">=", 95.0))
    shaky = bench.library("parallel", items, 10, "shaky")
    failed_once = shaky["recovered"] + items - shaky["success"]
    share = 100 * shaky["recovered"] / failed_once if failed_once else 100.0
    what = "transient failures (30% of the calls) that were recovered"
    yield spread("promises/recovered", what, [share], "%", Target(">=", 80.0))
    rates = [60 * items / bench.library("queue", items, 10, "noop")["seconds"] for _ in range(bench.runs)]
    what = f"QUEUE mode, {items:,} ideas at 10, the start of processes included: ideas a minute"
    yield spread("promises/queue", what, rates, "/min", Target(">=", 100.0))


def _column(found: list[dict[str, float]], name: str) -> list[float]:
    return [each[name] for each in found]
