"""The case of a Dask cluster on this machine: what is lost of its slots, and what one Dask task an item would cost."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.handlers import WAIT_SECONDS
from benchmarks.measure import SMALL_BYTES, Bench, BenchError
from benchmarks.rows import Finding, Racer, Target, against, alternate, race, spread

WORKERS: Final = 3
SLOTS: Final = 300
"""Of each worker."""
FEW, MANY = 50_000, 200_000
TASKS: Final = 20_000
"""More, and Dask's own scheduler takes minutes."""
READY_SECONDS: Final = 60.0


def cluster(bench: Bench) -> Iterator[Finding]:
    """Three Dask workers of 300 slots: the ideal against marginal time at 50 ms, and no-ops against client.map."""
    with _cluster(bench) as address:
        how = ("-c", str(WORKERS * SLOTS), "-w", str(WORKERS), "--scheduler", address)
        yield _wait(bench, how)
        yield from _noop(bench, how, address)


def _wait(bench: Bench, how: tuple[str, ...]) -> Finding:
    few, many = bench.items(FEW), bench.items(MANY)
    sources = {count: bench.input(f"cluster-{count}", count, SMALL_BYTES) for count in (few, many)}
    ideal = (many - few) * WAIT_SECONDS / (WORKERS * SLOTS)
    less, more = alternate(
        bench.runs,
        lambda: bench.time_batch(sources[few], few, "wait", *how),
        lambda: bench.time_batch(sources[many], many, "wait", *how),
    )
    shares = [ideal / (b - a) for a, b in zip(less, more, strict=True)]
    what = (
        f"50 ms wait, {WORKERS} Dask workers of {SLOTS} slots, marginal time of {many:,} over {few:,}: ideal / batchq"
    )
    details = {"ideal_seconds": ideal, "few_seconds": less, "many_seconds": more}
    return spread("cluster/wait", what, shares, "x", Target(">=", 0.93), details, guard=True)


def _noop(bench: Bench, how: tuple[str, ...], address: str) -> Iterator[Finding]:
    count, tasks = bench.items(MANY), bench.items(TASKS)
    source = bench.input(f"cluster-{count}", count, SMALL_BYTES)

    def mapped() -> float:
        return float(bench.ask("dask_map", address, str(tasks))["seconds"])

    workload = f"no-op on {WORKERS} Dask workers"
    ours, theirs = rates = race(
        bench.runs,
        workload,
        [
            Racer("batchq, Dask engine", "batchq", count, lambda: bench.time_batch(source, count, "noop", *how)),
            Racer("client.map, in memory", "memory", tasks, mapped),
        ],
    )
    yield from rates
    yield against("cluster/map", f"{count:,} items, {workload}: items/s / client.map", ours, theirs, Target(">=", 10))


@contextlib.contextmanager
def _cluster(bench: Bench) -> Iterator[str]:
    """A scheduler and its workers, in processes of their own; the address of the first."""
    file = bench.folder / "scheduler.json"
    one = ("--scheduler-file", str(file), "--no-dashboard")
    commands = [
        ("dask_scheduler", "--host", "127.0.0.1", "--port", "0", *one),
        ("dask_worker", "--nworkers", str(WORKERS), "--nthreads", "1", "--memory-limit", "0", *one),
    ]
    with contextlib.ExitStack() as stack:
        for name, *arguments in commands:
            command = [sys.executable, "-m", f"distributed.cli.{name}", *arguments]
            quiet = subprocess.DEVNULL
            process = stack.enter_context(
                subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=bench.folder, env=bench.env)
            )
            stack.callback(process.terminate)
        yield _ready(file)


def _ready(file: Path) -> str:
    """The address, once all workers are there."""
    from distributed import Client

    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):  # it is not there yet, or not whole
            address = str(json.loads(file.read_text(encoding="utf-8"))["address"])
            with Client(address, timeout=READY_SECONDS, set_as_default=False) as client:
                client.wait_for_workers(WORKERS, timeout=READY_SECONDS)
            return address
        time.sleep(0.1)
    raise BenchError("the Dask cluster did not start")
