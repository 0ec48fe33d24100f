"""Cases of growth: memory, disk and speed as the input grows."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from benchmarks.measure import LARGE_BYTES, SMALL_BYTES, Bench
from benchmarks.rows import Finding, Target, alternate, pairs, spread
from benchmarks.starts import status_of

SETTINGS: Final = ("-c", "100")
STORED: Final = """
SELECT (SELECT sum(length(CAST(payload AS BLOB))) FROM items) + (SELECT sum(length(CAST(result AS BLOB))) FROM outcomes)
"""


def memory(bench: Bench) -> Iterator[Finding]:
    """Whether memory grows with the input: the peak of all processes together."""
    for full, size in ((1_000_000, SMALL_BYTES), (100_000, LARGE_BYTES)):
        many, few = bench.items(full), bench.items(full // 10)
        large, small = bench.input("many", many, size), bench.input("few", few, size)
        peaks = alternate(
            bench.runs,
            lambda small=small, few=few: bench.watch_batch(small, few, *SETTINGS)[1],  # type: ignore[misc]
            lambda large=large, many=many: bench.watch_batch(large, many, *SETTINGS)[1],  # type: ignore[misc]
        )
        what = f"peak memory, {many:,} less {few:,} items of {size:,} bytes"
        yield _grown(f"memory/{size}", what, peaks, Target("<=", 30.0))
        large.unlink()


def disk(bench: Bench) -> Iterator[Finding]:
    """What a batch takes on disk once it has ended, against the bytes of its payloads and results."""
    for full, size, handler, target in (
        (200_000, SMALL_BYTES, "noop", Target("<=", 1.6)),
        (5_000, LARGE_BYTES, "echo", None),
    ):
        count = bench.items(full)
        home = bench.folder / "home-on-disk"
        source = bench.input("disk", count, size)
        bench.time_batch(source, count, handler, *SETTINGS, home=home)
        folder = home / "bench"
        with closing(sqlite3.connect(f"file:{folder / 'batch.db'}?mode=ro", uri=True)) as connection:
            stored = connection.execute(STORED).fetchone()[0]
        taken = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        what = f"bytes on disk / of payloads and results, {count:,} items of {size:,} bytes"
        yield pairs(f"disk/{size}", what, [taken], [stored], target)
        shutil.rmtree(home)


def long_run(bench: Bench) -> Iterator[Finding]:
    """Ten million items against 100,000: items/s, and the peak memory of all processes; needs 8 GB in $TMPDIR."""
    many, few = bench.items(10_000_000), bench.items(100_000)
    sources = {count: bench.input(f"long-{count}", count, SMALL_BYTES) for count in (many, few)}
    found: dict[int, list[tuple[float, float]]] = {many: [], few: []}

    def watch(count: int) -> float:
        found[count].append(bench.watch_batch(sources[count], count, *SETTINGS))
        return found[count][-1][0]

    few_seconds, many_seconds = alternate(bench.runs, lambda: watch(few), lambda: watch(many))
    many_rates, few_rates = [many / s for s in many_seconds], [few / s for s in few_seconds]
    what = f"items/s at {many:,} / at {few:,} items"
    yield pairs("long_run/rate", what, many_rates, few_rates, Target(">=", 0.9))
    peaks = [[peak for _, peak in found[count]] for count in (few, many)]
    what = f"peak memory of all processes, {many:,} less {few:,} items"
    yield _grown("long_run/memory", what, peaks, Target("<", 50.0))
    for source in sources.values():
        source.unlink()


def long_status(bench: Bench) -> Iterator[Finding]:
    """`batchq status` of a running batch of 10,000,000 items against one of 1,000."""
    yield from status_of(bench, "long_status", 10_000_000)


def _grown(key: str, what: str, peaks: list[list[float]], target: Target) -> Finding:
    grown = [b - a for a, b in zip(*peaks, strict=True)]
    return spread(key, what, grown, "MB", target, {"few_peak_mb": peaks[0], "many_peak_mb": peaks[1]})
