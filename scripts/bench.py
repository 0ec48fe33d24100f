"""Measures how fast and how large batchq is; `scripts/bench` runs it in the project's environment.

Every figure is a ratio of what was measured within one run of this script, warm, its sides taken in turns: the median
of the pairs, with the lowest and the highest.  The floor is SQLite inserting the bytes of the batch and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import chart, compare, report
from benchmarks.cases import CASES, EVERY, LONG
from benchmarks.measure import Bench, BenchError
from benchmarks.peers.environment import prepare
from benchmarks.rows import Finding, Missing, Rate

RUNS: Final = 5
QUICK_SCALE: Final = 0.1
STARTS: Final = 15
QUICK_STARTS: Final = 5
EPILOG: Final = f"""cases:
{chr(10).join(f"  {name:<12} {(case.__doc__ or '').splitlines()[0]}" for name, case in EVERY.items())}

The full run takes about an hour and 4 GB in $TMPDIR, --quick a few minutes; --peers half an hour more, --long an hour
more and 8 GB.  Redis, PostgreSQL and GNU parallel are measured where they are installed.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write; 1 where something could not be measured, or got slower, 2 for a wrong option."""
    options = _options(arguments)
    try:
        before = compare.read(options.compare, options.scale) if options.compare else {}
    except compare.CannotCompare as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    found: list[Finding] = []
    failed: list[Missing] = []
    peers = prepare(_say) if options.peers else None
    with tempfile.TemporaryDirectory(prefix="batchq-bench-") as folder:
        starts = STARTS if options.scale == 1 else QUICK_STARTS
        bench = Bench(Path(folder).resolve(), options.scale, options.runs, starts, _say, peers)
        for name in options.only:
            case = EVERY[name]
            _say(f"{name}: {(case.__doc__ or '').splitlines()[0]}")
            try:
                found.extend(case(bench))
            except BenchError as error:
                _say(f"bench: {name} could not be measured: {error}")
                failed.append(Missing(f"case {name}", str(error).splitlines()[-1]))
    found += failed
    made = report.conditions(options.scale, options.runs, peers)
    print(report.text(found, made))
    if options.json:
        _write(options.json, json.dumps(report.as_json(found, made), indent=2) + "\n")
    if options.markdown:
        _write(options.markdown, report.markdown(found, made))
    if options.chart and (rates := [each for each in found if isinstance(each, Rate)]):
        _write(options.chart, _chart(rates))
    if options.compare:
        said, well = compare.verdict(compare.changes(found, before), options.compare)
        print("\n".join(["", said, *filter(None, [compare.left_out(found, before, options.only)])]))
        return 0 if well and not failed else 1
    return 1 if failed else 0


def _chart(rates: Sequence[Rate]) -> str:
    """Of the first workload: the no-op rate, where that is among the cases."""
    drawn = [rate for rate in rates if rate.workload == rates[0].workload]
    return chart.draw(drawn, f"Items per second ({drawn[0].workload}), logarithmic")


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    _say(f"written: {path}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=(__doc__ or "").splitlines()[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", type=_cases, metavar="CASE,…", help="these cases only")
    parser.add_argument("--peers", action="store_true", help="other tools too; installs them in an environment apart")
    parser.add_argument("--long", action="store_true", help="the cases of ten million items too")
    parser.add_argument("--quick", action="store_true", help=f"short for --scale {QUICK_SCALE} --runs 1")
    parser.add_argument("--runs", type=_count, metavar="N", help=f"runs of each side ({RUNS}; 1 with --quick)")
    parser.add_argument("--scale", type=_scale, metavar="X", help="factor on the numbers of items (1)")
    parser.add_argument("--json", type=_place, metavar="FILE", help="write the tables and the single values there")
    parser.add_argument("--markdown", type=_place, metavar="FILE", help="write the tables there")
    parser.add_argument("--chart", type=_place, metavar="FILE.svg", help="draw the items/s of the first case there")
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="FILE",
        help="exit 1 where a figure is more than 15%% slower than in this file, which --json wrote; "
        "a release keeps its own as data/bench.json",
    )
    options = parser.parse_args(arguments)
    options.scale = options.scale or (QUICK_SCALE if options.quick else 1.0)
    options.runs = options.runs or (1 if options.quick else RUNS)
    options.only = options.only or [*CASES, *(LONG if options.long else ())]
    return options


def _cases(text: str) -> list[str]:
    wanted = [part.strip() for part in text.split(",")]
    if not set(wanted) <= set(EVERY):
        raise argparse.ArgumentTypeError(f"choose from {','.join(EVERY)}")
    return wanted


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number from 1")
    return int(text)


def _scale(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (number := float(text)) <= 1:
            return number
    raise argparse.ArgumentTypeError("a number above 0, and at most 1")


def _place(text: str) -> Path:
    """A file to write; told before an hour is spent on what should stand in it."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path} cannot be written: no such folder, or a folder itself")
    return path


if __name__ == "__main__":
    sys.exit(main())
