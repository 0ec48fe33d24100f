"""The case of a command for each item, against the tool that people take for that."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.measure import SMALL_BYTES, WORKERS, Bench, BenchError, batchq
from benchmarks.rows import Finding, Missing, Racer, Target, against, race

SLOTS: Final = 8
ITEMS: Final = 2000


def commands(bench: Bench) -> Iterator[Finding]:
    """`true ID` as a process for each item, 8 at a time: --exec, and GNU parallel --joblog where it is installed."""
    count = bench.items(ITEMS)
    source = bench.input("commands", count, SMALL_BYTES)
    names = bench.folder / "commands.txt"
    names.write_text("".join(f"item-{number:08}\n" for number in range(1, count + 1)), encoding="ascii")
    racers = [Racer(f"batchq --exec, {WORKERS} workers", "batchq", count, lambda: _ours(bench, source))]
    if shutil.which("parallel"):
        racers.append(Racer("GNU parallel --joblog", "peer", count, lambda: _parallel(bench, names, count)))
    else:
        yield Missing("GNU parallel", "not installed (Debian: parallel)")
    workload = f"a process of `true` each, {SLOTS} slots"
    ours, *others = rates = race(bench.runs, workload, racers)
    yield from rates
    for other in others:
        what = f"{count:,} items, {workload}, from the start of the tool: items/s / {other.name}"
        yield against("commands/parallel", what, ours, other, Target(">=", 1.0), guard=True)


def _ours(bench: Bench, source: Path) -> float:
    home = bench.folder / "home"
    how = ("-c", str(SLOTS), "-w", str(WORKERS), "--home", str(home), "--id", "bench", "--json", "-q")
    try:
        return bench.time(batchq("start", str(source), "--exec", "true {id}", *how))  # exits with 0 when all succeeded
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _parallel(bench: Bench, names: Path, count: int) -> float:
    log = bench.folder / "joblog"
    log.unlink(missing_ok=True)
    seconds = bench.time(
        ("parallel", "--will-cite", "-j", str(SLOTS), "--joblog", str(log), "-a", str(names), "true", "{}")
    )
    done = len(log.read_text(encoding="utf-8").splitlines()) - 1
    if done != count:
        raise BenchError(f"GNU parallel has logged {done:,} of {count:,} items")
    return seconds
