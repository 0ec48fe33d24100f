"""Cases of short commands: whether the command line feels instant."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.handlers import STAMP
from benchmarks.measure import SMALL_BYTES, Bench, BenchError, Command, batchq, batchq_start
from benchmarks.rows import Finding, Target, alternate, pairs

IMPORTS: Final = (sys.executable, "-c", "import click, tqdm")
UNIT: Final = 'python -c "import click, tqdm"'
SMALL_ITEMS: Final = 10
STARTED_BATCHES: Final = 3
FILL_SECONDS: Final = 1800.0


def small(bench: Bench) -> Iterator[Finding]:
    """A batch of 10 no-op items: the time to the first item, and of the whole command."""
    source = bench.input("ten", SMALL_ITEMS, SMALL_BYTES)
    mark = bench.folder / "first-item"
    bench.env[STAMP] = str(mark)
    firsts: list[float] = []

    def ours() -> float:
        mark.unlink(missing_ok=True)
        began = time.time()
        seconds = bench.time_batch(source, SMALL_ITEMS, "stamp", "-c", "5")
        firsts.append(float(mark.read_text(encoding="ascii")) - began)
        return seconds

    bench.time(IMPORTS)
    ours()
    firsts.clear()
    unit, whole = alternate(bench.starts, lambda: bench.time(IMPORTS), ours)
    what = f"a batch of {SMALL_ITEMS} no-op items, "
    yield pairs("small/first", f"{what}to the first item / {UNIT}", firsts, unit)
    yield pairs("small/whole", f"{what}the whole command / {UNIT}", whole, unit, Target("<=", 4.0), guard=True)


def status(bench: Bench) -> Iterator[Finding]:
    """`batchq status` of a running batch of 1,000,000 items against one of 1,000 (with --long: of 10,000,000)."""
    yield from status_of(bench, "status", 1_000_000)


def status_of(bench: Bench, case: str, full: int) -> Iterator[Finding]:
    """The same of that many items."""
    counts = bench.items(full), 1000
    homes = [bench.folder / f"home-{name}" for name in ("many", "few")]
    sources = [bench.input(f"status-{count}", count, SMALL_BYTES) for count in counts]
    with bench.running(sources[0], homes[0]) as with_many, bench.running(sources[1], homes[1]) as with_few:
        for process, home, count in zip((with_many, with_few), homes, counts, strict=True):
            _wait_until_filled(bench, process, home, count)
        shows: list[Command] = [batchq("status", "bench", "--home", str(home)) for home in homes]
        many, few = alternate(bench.starts, *[lambda show=show: bench.time(show) for show in shows])
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)
    what = f"`batchq status` of a running batch of {counts[0]:,} items / of {counts[1]:,}"
    yield pairs(f"{case}/running", what, many, few, Target("<=", 1.2))


def starts(bench: Bench) -> Iterator[Finding]:
    """Commands that only look, in units of importing click."""
    home = bench.folder / "home-of-a-few"
    source = bench.input("few", 20, SMALL_BYTES)
    for number in range(STARTED_BATCHES):
        bench.time(batchq_start(source, home, f"batch-{number}", "noop"))
    click: Command = (sys.executable, "-c", "import click")
    commands: dict[str, Command] = {
        "help": batchq("--help"),
        "status": batchq("status", "--home", str(home)),
    }
    for command in commands.values():
        bench.time(command)
    columns = [click, *commands.values()]
    unit, *times = alternate(bench.starts, *[lambda command=command: bench.time(command) for command in columns])
    for name, column, what in zip(commands, times, ("--help", f"status, {STARTED_BATCHES} batches"), strict=True):
        said = f'batchq {what} / python -c "import click"'
        yield pairs(f"starts/{name}", said, column, unit, Target("<", 2.0), guard=True)


def _wait_until_filled(bench: Bench, process: subprocess.Popen[bytes], home: Path, count: int) -> None:
    deadline = time.monotonic() + FILL_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            found = json.loads(bench.output(batchq("status", "bench", "--home", str(home), "--json")))
        except BenchError:  # not there yet
            found = {}
        if found.get("total_items") == count:
            return
        time.sleep(0.2)
    raise BenchError(f"a batch of {count:,} items was not filled, or did not run on (exit code {process.poll()})")
