"""What was found, as a table, as Markdown and as JSON."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import batchq
from benchmarks.peers.environment import Environment
from benchmarks.peers.roster import PEERS
from benchmarks.peers.services import find_program
from benchmarks.rows import Finding, Missing, Rate, Row

SCHEMA: Final = 2
OWN: Final = ("click", "tqdm", "persist-queue")
DASK: Final = "distributed"
WHOLE: Final = 100.0
"""From here on a number is shown without its fraction."""

Line = Sequence[str]


@dataclass(frozen=True)
class Conditions:
    """Under which a run was made.

    Attributes:
        scale, runs: as asked for.
        versions: of everything that was measured.
        machine: what it ran on.
    """

    scale: float
    runs: int
    versions: dict[str, str]
    machine: dict[str, Any]

    def __str__(self) -> str:
        python, sqlite = self.versions["Python"], self.versions["SQLite"]
        cores = f"{self.machine['cores']} cores ({self.machine['processor']})"
        runs = f"median of {self.runs} runs" if self.runs > 1 else "one run"
        text = f"batchq {self.versions['batchq']}, Python {python}, SQLite {sqlite}, {cores}; {runs}"
        if self.scale != 1:
            text += f"\nNOT THE FULL BENCH: numbers of items x {self.scale:g}; verdicts are no more than a hint"
        return text


def conditions(scale: float, runs: int, peers: Environment | None) -> Conditions:
    """As they are now."""
    versions = {"batchq": batchq.__version__, "Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
    versions |= {name: version(name) for name in OWN}
    with contextlib.suppress(PackageNotFoundError):
        versions[DASK] = version(DASK)
    if peers is not None:
        packages = {peer.package for peer in PEERS if peer.package}
        versions |= {name: peers.versions[name] for name in sorted(packages) if name in peers.versions}
        for program in sorted({peer.program for peer in PEERS if peer.program}):
            if place := find_program(program):
                said = subprocess.run([place, "--version"], capture_output=True, text=True).stdout
                number = re.search(r"\d[\d.]+", said)
                versions[program] = number[0] if number else "?"
    return Conditions(
        scale,
        runs,
        versions,
        {
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "processor": _processor(),
            "load": list(os.getloadavg()),
        },
    )


def text(found: Sequence[Finding], made: Conditions) -> str:
    """For a terminal."""
    parts = [str(made)]
    for heading, lines in _tables(found):
        widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
        parts.append("\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in (heading, *lines)))
    return "\n\n".join([*parts, _versions(made)])


def markdown(found: Sequence[Finding], made: Conditions) -> str:
    """For the README."""
    parts = []
    for heading, lines in _tables(found):
        rule = ["---"] * len(heading)
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in (heading, rule, *lines)))
    return "\n\n".join([*parts, f"{made}.", f"{_versions(made)}."]) + "\n"


def as_json(found: Sequence[Finding], made: Conditions) -> dict[str, Any]:
    """For programs and for `--compare`: the tables and the single values behind them."""
    return {
        "schema": SCHEMA,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **asdict(made),
        "rows": [asdict(each) | {"verdict": each.verdict} for each in found if isinstance(each, Row)],
        "rates": [asdict(each) | {"median": each.median} for each in found if isinstance(each, Rate)],
        "missing": [asdict(each) for each in found if isinstance(each, Missing)],
    }


def _tables(found: Sequence[Finding]) -> list[tuple[Line, list[Line]]]:
    rates = [each for each in found if isinstance(each, Rate)]
    rows = [each for each in found if isinstance(each, Row)]
    missing = [each for each in found if isinstance(each, Missing)]
    tables: list[tuple[Line, list[Line]]] = [
        (("work", "by", "items", "items/s", "spread"), [_rate_line(rate) for rate in rates]),
        (("case", "what", "measured", "target", "verdict", "spread"), [_row_line(row) for row in rows]),
        (("not measured", "why"), list(dict.fromkeys((each.name, each.reason) for each in missing))),
    ]
    return [(heading, lines) for heading, lines in tables if lines]


def _versions(made: Conditions) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in made.versions.items())
    return f"{versions}; {made.machine['system']}"


def _rate_line(rate: Rate) -> Line:
    low, high = f"{min(rate.runs):,.0f}", f"{max(rate.runs):,.0f}"
    return rate.workload, rate.name, f"{rate.items:,}", f"{rate.median:,.0f}", f"{low} to {high}"


def _row_line(row: Row) -> Line:
    target = f"{row.target.sign} {_number(row.target.value, row.unit)}" if row.target else "-"
    spread = f"{_number(row.low, row.unit)} to {_number(row.high, row.unit)}"
    return row.case, row.what, _number(row.measured, row.unit), target, row.verdict, spread


def _number(value: float, unit: str) -> str:
    shown = f"{value:,.0f}" if abs(value) >= WHOLE else f"{value:.2f}" if unit == "x" else f"{value:.1f}"
    return f"{shown} {unit}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
