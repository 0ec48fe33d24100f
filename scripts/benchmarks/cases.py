"""The cases: what is measured, how the two sides alternate, and what is good enough."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from benchmarks.handlers import WAIT_SECONDS
from benchmarks.measure import WORKERS, Bench, Command, batchq, batchq_start, by_hand, write_items
from benchmarks.outputs import outputs
from benchmarks.rows import Row, Target, alternate, ratio

SMALL_BYTES: Final = 200
LARGE_BYTES: Final = 10_000
MEMORY_CONCURRENCY: Final = 100
SLOTS: Final = 1000
WARM_UP_SHARE: Final = 0.05
STARTED_BATCHES: Final = 3


def throughput(bench: Bench) -> Iterator[Row]:
    """(a) Machinery alone, from file to outcomes on disk, against the pattern written by hand."""
    count = bench.items(200_000)
    source = write_items(bench.folder / "small.jsonl", count, SMALL_BYTES)
    fewer = bench.items(200_000 * WARM_UP_SHARE)
    warm = write_items(bench.folder / "warm.jsonl", fewer, SMALL_BYTES)
    written = bench.folder / "by_hand.jsonl"
    for concurrency, target in ((100, Target(">=", 1.5)), (5, None)):

        def hand(source: Path = source, count: int = count, concurrency: int = concurrency) -> float:
            seconds = bench.time(by_hand(source, written, concurrency))
            bench.say(f"  by hand, {count:,} items, concurrency {concurrency}: {seconds:.2f} s")
            return seconds

        def ours(source: Path = source, count: int = count, concurrency: int = concurrency) -> float:
            return bench.time_batch(source, count, "noop", concurrency)

        hand(warm, fewer)
        ours(warm, fewer)
        hand_times, our_times = alternate(bench.runs, hand, ours)
        ratios = [a / b for a, b in zip(hand_times, our_times, strict=True)]
        yield Row(
            "a",
            f"{count:,} no-op items, {WORKERS} workers, -c {concurrency}: items/s against by hand",
            min(hand_times) / min(our_times),
            "x",
            target,
            min(ratios),
            max(ratios),
            {
                "by_hand_seconds": hand_times,
                "batchq_seconds": our_times,
                "by_hand_per_second": count / min(hand_times),
                "batchq_per_second": count / min(our_times),
            },
        )
    source.unlink()


def waiting(bench: Bench) -> Iterator[Row]:
    """(b) What is lost where the handler waits: slots scale with the items, so that the ideal stays 2 s."""
    slots = bench.items(SLOTS)
    few, many = 20 * slots, 60 * slots
    sources = {count: write_items(bench.folder / f"wait-{count}.jsonl", count, SMALL_BYTES) for count in (few, many)}
    warm = write_items(bench.folder / "warm.jsonl", slots, SMALL_BYTES)
    bench.time_batch(warm, slots, "wait", slots)
    few_times, many_times = alternate(
        bench.runs,
        lambda: bench.time_batch(sources[few], few, "wait", slots),
        lambda: bench.time_batch(sources[many], many, "wait", slots),
    )
    ideal = (many - few) * WAIT_SECONDS / slots
    shares = [100 * ideal / (b - a) for a, b in zip(few_times, many_times, strict=True)]
    yield Row(
        "b",
        f"{WAIT_SECONDS * 1000:.0f} ms handler, -c {slots:,}: ideal against marginal time, {few:,} to {many:,} items",
        100 * ideal / (min(many_times) - min(few_times)),
        "%",
        Target(">=", 95.0),
        min(shares),
        max(shares),
        {"ideal_seconds": ideal, "few_seconds": few_times, "many_seconds": many_times},
    )


def memory(bench: Bench) -> Iterator[Row]:
    """(c) Whether memory grows with the input: peak of the process tree, the median of the runs."""
    for full, size in ((1_000_000, SMALL_BYTES), (100_000, LARGE_BYTES)):
        many, few = bench.items(full), bench.items(full // 10)
        large = write_items(bench.folder / "large.jsonl", many, size)
        small = write_items(bench.folder / "small.jsonl", few, size)
        bench.time_batch(small, few, "noop", MEMORY_CONCURRENCY)
        few_peaks, many_peaks = alternate(
            bench.runs,
            lambda few=few, small=small: bench.peak_of_batch(small, few, MEMORY_CONCURRENCY),
            lambda many=many, large=large: bench.peak_of_batch(large, many, MEMORY_CONCURRENCY),
        )
        grown = [b - a for a, b in zip(few_peaks, many_peaks, strict=True)]
        yield Row(
            "c",
            f"peak RSS, {many:,} less {few:,} items of {size:,} bytes, -c {MEMORY_CONCURRENCY}",
            statistics.median(many_peaks) - statistics.median(few_peaks),
            "MB",
            Target("<=", 30.0),
            min(grown),
            max(grown),
            {"few_peak_mb": few_peaks, "many_peak_mb": many_peaks},
        )
        large.unlink()


def starts(bench: Bench) -> Iterator[Row]:
    """(d) Whether the command line feels instant: the median, in units of importing click."""
    home = bench.folder / "home-of-a-few"
    source = write_items(bench.folder / "few.jsonl", 20, SMALL_BYTES)
    for number in range(STARTED_BATCHES):
        bench.time(batchq_start(source, home, f"batch-{number}", "noop", 5))
    commands: dict[str, Command] = {
        'python -c "import click"': [sys.executable, "-c", "import click"],
        "batchq --help": batchq("--help"),
        f"batchq status, {STARTED_BATCHES} batches": batchq("status", "--home", str(home)),
    }
    for command in commands.values():
        bench.time(command)
    times = alternate(bench.starts, *[lambda command=command: bench.time(command) for command in commands.values()])
    unit, medians = times[0], [statistics.median(column) for column in times]
    for name, column, median in list(zip(commands, times, medians, strict=True))[1:]:
        ratios = [b / a for a, b in zip(unit, column, strict=True)]
        bench.say(f"  {name}: {median * 1000:.0f} ms, click {medians[0] * 1000:.0f} ms")
        yield Row(
            "d",
            f'{name}: in units of python -c "import click"',
            median / medians[0],
            "x",
            Target("<", 2.0),
            min(ratios),
            max(ratios),
            {"click_seconds": unit, "batchq_seconds": column},
        )


def library(bench: Bench) -> Iterator[Row]:
    """(e) The library in memory: against one by one, and against semaphore and gather."""
    for concurrency, target in ((5, 4.9), (10, 9.7)):
        items = bench.items(40 * concurrency)
        alone, together = alternate(
            bench.runs,
            lambda items=items: bench.library("sequential", items, 1, "wait")["seconds"],
            lambda items=items, c=concurrency: bench.library("parallel", items, c, "wait")["seconds"],
        )
        what = f"{WAIT_SECONDS * 1000:.0f} ms handler, PARALLEL at {concurrency} against SEQUENTIAL, {items:,} items"
        yield ratio("e", what, alone, together, Target(">=", target))
    items = bench.items(1_000_000)
    hand: list[dict[str, float]] = []
    ours: list[dict[str, float]] = []
    for _ in range(bench.runs):
        hand.append(bench.library("gather", items, 100, "noop"))
        ours.append(bench.library("parallel", items, 100, "noop"))
    what = f"{items:,} no-op items, PARALLEL at 100, in memory, against semaphore and gather"
    yield ratio("e", what + ": items/s", _column(hand, "seconds"), _column(ours, "seconds"), Target(">=", 1.5))
    yield ratio("e", what + ": peak memory", _column(ours, "peak_mb"), _column(hand, "peak_mb"), Target("<", 1.0))
    seconds = _column(ours, "report_seconds")
    what = f"a report of {items:,} results, made and written as JSON"
    yield Row("e", what, min(seconds), "s", Target("<", 2.0), min(seconds), max(seconds), {"seconds": seconds})


def promises(bench: Bench) -> Iterator[Row]:
    """(f) What the original promised: successes, recovered failures, ideas a minute on the queue."""
    items = bench.items(2000)
    stable = bench.library("parallel", items, 10, "noop")
    yield _share("f", "successes of a stable function", stable["success"] / items, Target(">=", 95.0))
    shaky = bench.library("parallel", items, 10, "shaky")
    failed_once = shaky["recovered"] + items - shaky["success"]
    share = shaky["recovered"] / failed_once if failed_once else 1.0
    yield _share("f", "transient failures (30% of the calls) that were recovered", share, Target(">=", 80.0))
    rates = [60 * items / bench.library("queue", items, 10, "noop")["seconds"] for _ in range(bench.runs)]
    what = f"QUEUE mode, {items:,} ideas at 10, the start of processes included: ideas a minute"
    yield Row("f", what, max(rates), "/min", Target(">=", 100.0), min(rates), max(rates), {"rates": rates})


CASES: Final[dict[str, Callable[[Bench], Iterator[Row]]]] = {
    "a": throughput,
    "b": waiting,
    "c": memory,
    "d": starts,
    "e": library,
    "f": promises,
    "g": outputs,
}


def _share(case: str, what: str, share: float, target: Target) -> Row:
    return Row(case, what, 100 * share, "%", target, 100 * share, 100 * share, {})


def _column(found: list[dict[str, float]], name: str) -> list[float]:
    return [each[name] for each in found]
