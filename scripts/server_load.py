"""What watchers and status calls cost a batch: its rate without them and with them, in turns, in one run.

A batch of 50 ms waits with 100 slots runs on a server of its own.  Phases of a few seconds follow each other: nobody
looks (off); the same load is on a server that does nothing (dummy: what the load generator itself takes away, for it
shares the machine); the load is on the server (on).  The rates are read from the batch's file, not from the server.

    scripts/server-load --seconds 30 --rounds 1      what is promised: exits 1 where that is not so
    scripts/server-load                              shorter phases, several of each
    scripts/server-load --seconds 3 --rounds 1 --watchers 20 --rate 50

A call that is answered late, or never, and a watcher that hears nothing are errors.  The generator runs at nice 5.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

TOP = Path(__file__).parent.parent
sys.path.insert(0, str(TOP))

from batchq.store.home import Home  # noqa: E402
from batchq.store.reading import reading  # noqa: E402

HANDLER = "import asyncio\n\nasync def wait(item):\n    await asyncio.sleep(0.05)\n"
KINDS = ("off", "dummy", "on")
SETTLE_SECONDS = 1.0
"""Before a phase is measured."""
WARM_SECONDS = 2.0
"""In which the batch gets up to its rate."""
TARGET = 0.95
MOST_GROWTH = 10 << 20
"""Bytes by which the server's memory may grow while it is watched: what is kept for each watcher is there by then."""


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watchers", type=int, default=200, help="clients that watch [200]")
    parser.add_argument("--rate", type=float, default=500, help="status calls a second [500]")
    parser.add_argument("--slots", type=int, default=100, help="items at a time [100]")
    parser.add_argument("--seconds", type=float, default=10, help="length of a phase [10]")
    parser.add_argument("--rounds", type=int, default=3, help="phases of each kind [3]")
    parser.add_argument("--json", action="store_true", help="one object")
    return parser.parse_args()


class Server:
    """A server with one batch, on a home of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "open").mkdir()
        (folder / "load_handler.py").write_text(HANDLER)
        self.home = folder / "home"
        command = [sys.executable, "-m", "batchq", "serve", "--port", "0", "--json", "--home", str(self.home)]
        command += ["--allow", "load_handler:*", "--root", "open"]
        self.popen = subprocess.Popen(
            command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert self.popen.stdout is not None
        self.url = json.loads(self.popen.stdout.readline())["url"]
        self.token = (self.home / ".server" / "token").read_text().strip()
        self.process = psutil.Process(self.popen.pid)

    def start_batch(self, items: int, slots: int) -> None:
        """Make a batch of so many items."""
        (self.folder / "open" / "n.jsonl").write_text("".join(f'{{"n": {number}}}\n' for number in range(items)))
        asked = {"func": "load_handler:wait", "path": "n.jsonl", "batch_id": "load", "concurrency": slots}
        headers = {"Authorization": f"Bearer {self.token}"}
        httpx.post(
            f"{self.url}/api/v1/batches", json=asked, headers=headers, timeout=60, trust_env=False
        ).raise_for_status()
        while self.done() < 2 * slots:
            time.sleep(0.1)

    def done(self) -> int:
        """Outcomes so far, from the file."""
        with reading(Home.at(str(self.home)).find("load").database) as reader:
            return reader.tally().done

    def seconds_of_batch(self) -> float:
        """CPU time of the batch's processes."""
        return sum(seconds_of(process) for process in self.process.children(recursive=True))

    def end(self) -> None:
        """Stop it, and the batch."""
        children = self.process.children(recursive=True)
        self.popen.terminate()
        self.popen.wait(30)
        for process in children:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(children, 10)


def seconds_of(process: psutil.Process) -> float:
    """CPU time of a process."""
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def environment() -> dict[str, str]:
    """For processes of this project."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(TOP), os.environ.get("PYTHONPATH")]))}


def generator(*words: object) -> subprocess.Popen[str]:
    """A process of `load.generate`."""
    command = [sys.executable, "-m", "scripts.load.generate", *map(str, words)]
    return subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@contextmanager
def dummy(size: int) -> Iterator[tuple[str, psutil.Process]]:
    """A server that does nothing: its address, and its process."""
    process = generator("dummy", size)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), psutil.Process(process.pid)
    finally:
        process.communicate()


def phase(kind: str, server: Server, url: str, asked: argparse.Namespace) -> dict[str, Any]:
    """One phase: rates, CPU times, and what came of the load."""
    load = None
    if kind != "off":
        load = generator(url, server.token, "load", asked.watchers, asked.rate)
        assert load.stdout is not None
        load.stdout.readline()
    time.sleep(SETTLE_SECONDS)
    rss = server.process.memory_info().rss
    before = time.monotonic(), server.done(), seconds_of(server.process), server.seconds_of_batch()
    time.sleep(asked.seconds)
    after = time.monotonic(), server.done(), seconds_of(server.process), server.seconds_of_batch()
    seconds, done, own, batch = (late - early for early, late in zip(before, after, strict=True))
    told = {
        "kind": kind,
        "items_per_second": round(done / seconds, 1),
        "server_cpu": round(own / seconds, 3),
        "batch_cpu": round(batch / seconds, 3),
        "server_rss_first": rss,
        "server_rss": server.process.memory_info().rss,
    }
    if load is not None:
        counts = json.loads(load.communicate()[0])
        counts["generator_cpu"] = round(counts.pop("cpu_seconds") / (seconds + SETTLE_SECONDS), 3)
        told |= counts
    return told


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """All phases, and what follows from them."""
    seconds = asked.rounds * len(KINDS) * (asked.seconds + SETTLE_SECONDS + 1) + 20
    with tempfile.TemporaryDirectory(prefix="batchq-load-") as folder:
        server = Server(Path(folder))
        try:
            server.start_batch(int(seconds * asked.slots / 0.05), asked.slots)
            phase("off", server, "", argparse.Namespace(**{**vars(asked), "seconds": WARM_SECONDS}))
            phases = []
            with dummy(3000) as (nothing, _):
                for _ in range(asked.rounds):
                    for kind in KINDS:
                        phases.append(phase(kind, server, nothing if kind == "dummy" else server.url, asked))
                        print(" ".join(f"{key}={value}" for key, value in phases[-1].items()), file=sys.stderr)
        finally:
            server.end()
    rates = {kind: middle(phases, kind, "items_per_second") for kind in KINDS}
    return {
        "watchers": asked.watchers,
        "rate": asked.rate,
        "slots": asked.slots,
        "ratio": round(rates["on"] / rates["off"], 4),
        "ratio_dummy": round(rates["dummy"] / rates["off"], 4),
        "ratio_to_dummy": round(rates["on"] / rates["dummy"], 4),
        "errors": sum(each.get("errors", 0) for each in phases),
        "calls": sum(each.get("calls", 0) for each in phases if each["kind"] == "on"),
        "calls_due": sum(each.get("calls_due", 0) for each in phases if each["kind"] == "on"),
        "events": sum(each.get("events", 0) for each in phases if each["kind"] == "on"),
        "p99_ms": max(each["p99_ms"] for each in phases if each["kind"] == "on"),
        "server_rss_first": next(each["server_rss_first"] for each in phases if each["kind"] == "on"),
        "server_rss_last": phases[-1]["server_rss"],
        "cpu": {
            kind: {
                name: middle(phases, kind, name)
                for name in ("server_cpu", "batch_cpu", "generator_cpu")
                if name in next(each for each in phases if each["kind"] == kind)
            }
            for kind in KINDS
        },
        "phases": phases,
    }


def middle(phases: list[dict[str, Any]], kind: str, name: str) -> float:
    """The median of all phases of a kind: what else the machine does disturbs one or the other."""
    return round(statistics.median(each[name] for each in phases if each["kind"] == kind), 3)


def text(found: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{found['watchers']} watchers and {found['rate']:g} calls/s, {found['slots']} slots"]
    lines.append(f"rate of the batch with them: {found['ratio']:.1%} of that without")
    lines.append(f"with the load on a server that does nothing: {found['ratio_dummy']:.1%}")
    lines.append(
        f"{found['calls']:,} of {found['calls_due']:,} calls, {found['events']:,} events, {found['errors']} errors"
    )
    lines.append(f"p99 of a call {found['p99_ms']} ms")
    lines.append(f"memory of the server {found['server_rss_first'] >> 20} MB, {found['server_rss_last'] >> 20} MB")
    for kind, cpu in found["cpu"].items():
        lines.append(f"cores, {kind}: " + ", ".join(f"{name[:-4]} {value:.2f}" for name, value in cpu.items()))
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure and tell; 1 where there were errors or the batch became too slow."""
    asked = arguments()
    found = measure(asked)
    sys.stdout.write(json.dumps(found) + "\n" if asked.json else text(found))
    grown = found["server_rss_last"] - found["server_rss_first"]
    return 0 if found["errors"] == 0 and found["ratio"] >= TARGET and grown <= MOST_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
