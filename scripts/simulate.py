"""Where the one writer of a batch is at its limit: a thousand workers of a hundred slots, simulated, on the real store.

The workers are one process in which items only take their time; their outcomes and claims go through pickled parcels,
and here through a `Recorder` for each worker into a real file, as those of a supervisor with workers on other machines
do.  The load grows step by step; where what is recorded no longer follows it, the writer is at its limit.

    scripts/simulate                                   some minutes, on two cores that have nothing else to do
    scripts/simulate --json data/simulation.json --chart data/simulation.svg
    scripts/simulate --workers 20 --slots 10 --loads 500,1000 --sizes 20 --seconds 0.3
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, TypeVar

TOP: Final = Path(__file__).parent.parent
sys.path[:0] = [str(TOP), str(TOP / "scripts")]

from benchmarks.report import conditions  # noqa: E402
from simulation.curves import draw  # noqa: E402
from simulation.plan import Crowd, Curve  # noqa: E402
from simulation.writer import Writer  # noqa: E402

from batchq.spec import BatchSpec  # noqa: E402

Number = TypeVar("Number", int, float)
LOADS: Final = (1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 80_000)
SIZES: Final = (20, 1_000, 10_000)
MOST: Final = 40_000
"""Outcomes a second for which there are items enough: beyond any limit that was measured."""
HEADER: Final = f"{'offered/s':>10} {'recorded/s':>10} {'commits/s':>10} {'p50':>8} {'p99':>8} {'CPU':>6} {'log':>8}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print and write; 1 where a file is broken afterwards."""
    options = _options(arguments)
    curves, broken = _earlier(options), []
    for size in options.sizes:
        crowd = Crowd(options.workers, options.slots, size, options.max_uncommitted)
        print(f"{crowd.name}\n{HEADER}", flush=True)
        with tempfile.TemporaryDirectory(prefix="batchq-simulated-") as folder:
            curve, wrong = simulate(Path(folder), crowd, options)
        curves.append(curve)
        broken += wrong
        print(f"{'limit':>10} {curve.limit:>10,.0f}\n", flush=True)
    told = {
        "schema": 1,
        "conditions": asdict(conditions(1, 1, None)),
        "seconds": options.seconds,
        "curves": [curve.to_dict() for curve in curves],
    }
    if options.json:
        Path(options.json).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    if options.chart:
        Path(options.chart).write_text(draw(curves), encoding="utf-8")
    for each in broken:
        print(f"broken: {each}", file=sys.stderr)
    return 1 if broken else 0


def simulate(folder: Path, crowd: Crowd, options: argparse.Namespace) -> tuple[Curve, list[str]]:
    """One crowd under growing load; what is broken in the file afterwards, in words."""
    settle = options.seconds / 2
    items = crowd.in_flight * 2 + int(sum(min(MOST, load) for load in options.loads) * (options.seconds + settle) * 1.2)
    writer = Writer(folder, crowd, items, options.loads[0])
    steps = []
    with writer.running():
        for load in options.loads:
            step = writer.step(load, settle, options.seconds)
            steps.append(step)
            waits = [f"{wait:8.3f}" if wait is not None else f"{'-':>8}" for wait in (step.p50, step.p99)]
            print(
                f"{step.offered:>10,.0f} {step.recorded:>10,.0f} {step.commits:>10,.0f} {' '.join(waits)} "
                f"{step.cpu:>6.2f} {step.wal / 2**20:>5.0f} MB",
                flush=True,
            )
    return Curve(crowd, steps), writer.close()


def _earlier(options: argparse.Namespace) -> list[Curve]:
    path = Path(options.json or "")
    if not options.append or not path.is_file():
        return []
    return [Curve.of(told) for told in json.loads(path.read_text(encoding="utf-8"))["curves"]]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    def number(text: str) -> int:
        return _above_0(int(text.replace("_", "")))

    def numbers(text: str) -> list[int]:
        return [number(each) for each in text.split(",")]

    def seconds(text: str) -> float:
        return _above_0(float(text))

    def new_file(text: str) -> str:
        if not Path(text).parent.is_dir():  # told now, not after minutes of measuring
            raise argparse.ArgumentTypeError(f"there is no folder {Path(text).parent}")
        return text

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=number, default=1000, help="simulated workers [1000]")
    parser.add_argument("--slots", type=number, default=100, help="of each [100]")
    parser.add_argument("--sizes", type=numbers, default=list(SIZES), metavar="BYTES,…", help="of results")
    parser.add_argument("--loads", type=numbers, default=list(LOADS), metavar="N,…", help="outcomes a second")
    parser.add_argument("--seconds", type=seconds, default=4.0, help="of a step, after half of it to settle [4]")
    held = BatchSpec.max_uncommitted
    parser.add_argument(
        "--max-uncommitted", type=number, default=held, metavar="N", help=f"outcomes in memory [{held}]"
    )
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write what was measured")
    parser.add_argument("--append", action="store_true", help="keep what stands in that file, and draw it too")
    parser.add_argument("--chart", type=new_file, metavar="FILE", help="draw it, as SVG")
    return parser.parse_args(arguments)


def _above_0(value: Number) -> Number:
    if not value > 0:
        raise ValueError(value)
    return value


if __name__ == "__main__":
    sys.exit(main())
