"""The case of results: how fast they are written, and whether memory grows with their number."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks.measure import SMALL_BYTES, Bench, BenchError, Command, batchq, batchq_start
from benchmarks.rows import Finding, Target, alternate, pairs, spread


def results(bench: Bench) -> Iterator[Finding]:
    """`results` as JSON lines against a plain loop of json.dumps over the rows, and its peak memory."""
    home = bench.folder / "home-of-results"
    many, few = bench.items(1_000_000), bench.items(100_000)
    for count in (many, few):
        source = bench.input("results", count, SMALL_BYTES)
        bench.time(batchq_start(source, home, f"r{count}", "idea", "-c", "100"))
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
    what = f"{many:,} results as JSON lines: a plain loop / batchq results"
    yield pairs("results/rate", what, loop_times, our_times, Target(">=", 3.0), guard=True)
    peaks = alternate(bench.runs, lambda: bench.peak(ours(few)), lambda: bench.peak(ours(many)))
    grown = [b - a for a, b in zip(*peaks, strict=True)]
    what = f"peak memory of `results`, {many:,} less {few:,}"
    yield spread("results/memory", what, grown, "MB", Target("<=", 10.0))
