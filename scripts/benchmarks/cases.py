"""The cases by the names that `--only` takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from benchmarks.cluster import cluster
from benchmarks.commands import commands
from benchmarks.cores import cpu
from benchmarks.in_memory import library, promises
from benchmarks.machinery import large, rate, retry
from benchmarks.measure import Bench
from benchmarks.outputs import results
from benchmarks.rows import Finding
from benchmarks.sizes import disk, long_run, long_status, memory
from benchmarks.slots import wait, wait_long, wait_peers
from benchmarks.starts import small, starts, status

Case = Callable[[Bench], Iterator[Finding]]


def _by_name(*cases: Case) -> dict[str, Case]:
    return {case.__name__: case for case in cases}


CASES: Final = _by_name(
    rate,
    wait,
    wait_long,
    wait_peers,
    cpu,
    commands,
    cluster,
    large,
    retry,
    small,
    starts,
    status,
    disk,
    memory,
    results,
    library,
    promises,
)
LONG: Final = _by_name(long_run, long_status)
"""Those of ten million items, with `--long` only."""
EVERY: Final = CASES | LONG
