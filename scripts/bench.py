"""Measures how fast and how large batchq is; `scripts/bench` runs it in the project's environment.

    scripts/bench [--only a,c] [--runs N] [--quick | --scale X] [--json FILE]

Every figure is a comparison within one run of this script, warm, its sides taken in turns: throughput counts the
best of the runs, memory and starts the median.  It takes a quarter of an hour and 4 GB in $TMPDIR.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.cases import CASES
from benchmarks.measure import Bench, BenchError
from benchmarks.rows import Row

QUICK_SCALE: Final = 0.1
STARTS: Final = 15
QUICK_STARTS: Final = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write; 1 where something could not be measured."""
    options = _options(arguments)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="batchq-bench-") as folder:
        starts = STARTS if options.scale == 1 else QUICK_STARTS
        bench = Bench(Path(folder).resolve(), options.scale, options.runs, starts, _say)
        for case in options.only:
            measure = CASES[case]
            _say((measure.__doc__ or case).splitlines()[0])
            try:
                rows.extend(measure(bench))
            except BenchError as error:
                _say(f"bench: ({case}) could not be measured: {error}")
                return 1
    print(table(rows, _heading(options)))
    if options.json:
        options.json.write_text(json.dumps(as_json(rows, options), indent=2) + "\n", encoding="utf-8")
    return 0


def table(rows: Sequence[Row], heading: str) -> str:
    """For people."""
    head = ("", "what", "measured", "target", "verdict", "spread")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([heading, "", *text])


def as_json(rows: Sequence[Row], options: argparse.Namespace) -> dict[str, Any]:
    """For programs: the table and the single times behind it."""
    return {
        "schema": 1,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "load": list(os.getloadavg()),
        },
        "scale": options.scale,
        "runs": options.runs,
        "rows": [asdict(row) | {"verdict": row.verdict} for row in rows],
    }


def _cells(row: Row) -> tuple[str, ...]:
    target = f"{row.target.sign} {_number(row.target.value, row.unit)}" if row.target else "-"
    spread = f"{_number(row.low, row.unit)} to {_number(row.high, row.unit)}"
    return row.case, row.what, _number(row.measured, row.unit), target, row.verdict, spread


def _number(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}" if unit == "x" else f"{value:.1f} {unit}"


def _heading(options: argparse.Namespace) -> str:
    python, sqlite = platform.python_version(), sqlite3.sqlite_version
    text = f"batchq bench: Python {python}, SQLite {sqlite}, {os.cpu_count()} cores, {options.runs} run(s) a side"
    if options.scale != 1:
        text += f"\nNOT THE FULL BENCH: numbers of items x {options.scale:g}; verdicts are no more than a hint"
    return text


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", type=_cases, default=list(CASES), metavar="a,b,c,d,e,f,g", help="these cases only")
    parser.add_argument("--runs", type=_count, metavar="N", help="runs of each side (3; 1 with --quick)")
    parser.add_argument("--scale", type=_scale, default=1.0, metavar="X", help="factor on the numbers of items")
    parser.add_argument("--quick", action="store_true", help=f"short for --scale {QUICK_SCALE} --runs 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows and the single times there too")
    options = parser.parse_args(arguments)
    if options.quick and options.scale == 1:
        options.scale = QUICK_SCALE
    options.runs = options.runs or (1 if options.quick else 3)
    return options


def _cases(text: str) -> list[str]:
    wanted = [part.strip() for part in text.split(",")]
    if not set(wanted) <= set(CASES):
        raise argparse.ArgumentTypeError(f"choose from {','.join(CASES)}")
    return wanted


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _scale(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError("above 0, and at most 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
