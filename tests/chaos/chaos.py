"""Seeded chaos: batches under kills, signals, pauses, rivals, hanging and crashing items, and what must hold after.

    scripts/chaos --runs 5000 [--seed N] [--jobs 2] [--full-disk] [--json]
    scripts/chaos --seed 17 --runs 1        replays one schedule

A schedule is made from an integer seed (`chaos_plan`), performed with the real command in real processes
(`chaos_run`), watched from outside (`chaos_witness`), and judged by the promise (`chaos_verdict`).  `--runs` counts
from `--seed` on.  A line is printed after each group of schedules, with totals.  Exits with 1 where anything is against
the promise, and keeps the folders of those schedules.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from chaos_plan import make_plan
from chaos_run import Run, Stuck, small_disk
from chaos_verdict import Verdict, judge

GROUP: Final = 50
"""Schedules between two lines."""
DISK_MB: Final = 40


@dataclass
class Result:
    """What came of one schedule."""

    seed: int
    plan: str
    seconds: float
    faults: Counter[str]
    verdict: Verdict
    folder: str | None = None

    def failure(self) -> str:
        """For whoever has to find out why: what is broken, and how to see it again."""
        return "\n".join(
            [
                f"schedule {self.seed} is against the promise: {self.plan}",
                *(f"  {line}" for line in self.verdict.broken),
                f"  everything is kept in {self.folder}",
                f"  again: scripts/chaos --seed {self.seed} --runs 1",
            ]
        )


@dataclass
class Totals:
    """Counts over many schedules."""

    schedules: int = 0
    broken: int = 0
    lost: int = 0
    twice: int = 0
    again: int = 0
    beyond: int = 0
    crashed: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        """One more."""
        verdict = result.verdict
        self.schedules += 1
        self.broken += bool(verdict.broken)
        self.faults += result.faults
        for name in ("lost", "twice", "again", "beyond", "crashed"):
            setattr(self, name, getattr(self, name) + getattr(verdict, name))

    def line(self) -> str:
        """For people."""
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        return (
            f"{self.schedules} schedules, {self.broken} broken; {self.faults.total()} faults ({faults}); "
            f"outcomes lost {self.lost}, recorded twice {self.twice}; items run again {self.again}, "
            f"outside the promise {self.beyond}; {self.crashed} WorkerCrashed by kills from outside"
        )

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**vars(self), "faults": dict(self.faults)}


def schedule(seed: int, full_disk: bool = False, faults: int | None = None) -> Result:
    """Perform schedule number `seed` in a folder of its own, which is kept where it is against the promise.

    Args:
        seed: what it is made from.
        full_disk: with faults that need a small disk.
        faults: only so many of its faults, the first ones; None for all.
    """
    plan = make_plan(seed, full_disk)
    plan = replace(plan, faults=plan.faults[:faults])
    folder = Path(tempfile.mkdtemp(prefix=f"batchq-chaos-{seed}-"))
    began = time.monotonic()
    home = folder / "home"
    with small_disk(home, DISK_MB) if full_disk else contextlib.nullcontext(False):
        run = Run(plan, folder)
        try:
            run.perform()
            verdict = judge(run)
        except Stuck as error:
            verdict = Verdict(wrong=[*run.wrong, str(error)])
        if full_disk and verdict.broken:
            shutil.copytree(home, folder / "home-was")
    result = Result(seed, plan.describe(), time.monotonic() - began, run.done, verdict)
    if verdict.broken:
        result.folder = str(folder)
    else:
        shutil.rmtree(folder)
    return result


def _results(options: argparse.Namespace) -> Iterator[Result]:
    seeds = range(options.seed, options.seed + options.runs)
    with ProcessPoolExecutor(options.jobs) as pool:
        yield from pool.map(schedule, seeds, [options.full_disk] * len(seeds))


def main(arguments: Sequence[str] | None = None) -> int:
    """Perform many schedules; 1 where one is against the promise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=60, help="schedules")
    parser.add_argument("--seed", type=int, default=1, help="of the first one")
    parser.add_argument("--jobs", type=int, default=2, help="schedules side by side")
    parser.add_argument("--full-disk", action="store_true", help="with disks that run full (needs root)")
    parser.add_argument("--json", action="store_true", help="print the totals as one JSON object")
    options = parser.parse_args(arguments)
    os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="batchq-chaos-config-")
    # A program started in the background inherits that Ctrl-C is ignored, and would hand that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    totals = Totals()
    began = time.monotonic()
    for result in _results(options):
        totals.add(result)
        if result.verdict.broken:
            print(result.failure(), file=sys.stderr, flush=True)
        if not options.json and totals.schedules % GROUP == 0 and totals.schedules != options.runs:
            print(f"{time.monotonic() - began:6.0f} s  {totals.line()}", flush=True)
    print(json.dumps(totals.as_json()) if options.json else f"{time.monotonic() - began:6.0f} s  {totals.line()}")
    shutil.rmtree(os.environ["XDG_CONFIG_HOME"])
    return 1 if totals.broken else 0


if __name__ == "__main__":
    sys.exit(main())
