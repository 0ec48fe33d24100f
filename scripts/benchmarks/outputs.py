"""The case of results: how fast they are written, and whether memory grows with their number."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator

from benchmarks.measure import Bench, BenchError, Command, batchq, batchq_start, write_items
from benchmarks.rows import Row, Target, alternate, ratio

SMALL_BYTES = 200


def outputs(bench: Bench) -> Iterator[Row]:
    """(g) `results` as JSON lines against a plain loop of json.dumps over the rows, and its peak memory."""
    home = bench.folder / "home-of-results"
    many, few = bench.items(1_000_000), bench.items(100_000)
    for count in (many, few):
        source = write_items(bench.folder / "results.jsonl", count, SMALL_BYTES)
        bench.time(batchq_start(source, home, f"r{count}", "idea", 100))
        source.unlink()
    written = bench.folder / "results-out.jsonl"

    def ours(count: int) -> Command:
        return batchq("results", f"r{count}", "-o", str(written), "--home", str(home))

    database = home / f"r{many}" / "batch.db"
    loop = [sys.executable, "-m", "benchmarks.plain_loop", str(database), str(bench.folder / "plain-out.jsonl")]
    loop_times, our_times = alternate(bench.runs, lambda: bench.time(loop), lambda: bench.time(ours(many)))
    with written.open("rb") as lines:
        if (found := sum(1 for _ in lines)) != many:
            raise BenchError(f"results has {found:,} lines, not {many:,}")
    bench.say(f"  {many:,} results: plain loop {min(loop_times):.2f} s, batchq results {min(our_times):.2f} s")
    yield ratio("g", f"{many:,} results as JSON lines, against a plain loop", loop_times, our_times, Target(">=", 3.0))
    peaks = alternate(bench.runs, lambda: bench.peak(ours(few)), lambda: bench.peak(ours(many)))
    grown = [b - a for a, b in zip(*peaks, strict=True)]
    yield Row(
        "g",
        f"peak RSS of `results`, {many:,} less {few:,}",
        statistics.median(peaks[1]) - statistics.median(peaks[0]),
        "MB",
        Target("<=", 10.0),
        min(grown),
        max(grown),
        {"few_peak_mb": peaks[0], "many_peak_mb": peaks[1]},
    )
