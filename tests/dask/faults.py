"""Batches on a Dask cluster under seeded faults: is each item recorded, and once?

    supervisor ── proxy ──▶ scheduler ◀── 3 workers, each called through a proxy of its own

In each schedule some of these happen while a batch runs: a worker is killed or stands still, the way to a worker or to
the scheduler is cut for a while, the scheduler is killed and comes back, the supervisor is killed and resumed, at times
with the local engine.

    python tests/dask/faults.py --schedules 50 --seed 1
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from command import Bench
from proxy import Proxy
from waiting import wait_until

PATIENCE = 3.0
WORKERS = 3
ITEMS = 600
HANDLER = """
import asyncio, os
async def pays(item):
    descriptor = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{item['n']}\\n".encode())
    os.close(descriptor)
    await asyncio.sleep(0.2)
    return item["n"]
"""


class Cluster:
    """A scheduler and its workers, as processes, behind proxies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = _free_port()
        self._ports = [_free_port() for _ in range(WORKERS)]
        self.way = Proxy(self._port)
        self.ways = [Proxy(port) for port in self._ports]
        self._scheduler = self._begin_scheduler()
        self._nannies = [self._begin_worker(number) for number in range(WORKERS)]

    @property
    def address(self) -> str:
        """Of the scheduler, as the supervisor reaches it."""
        return f"tcp://127.0.0.1:{self.way.port}"

    def processes(self, number: int) -> list[psutil.Process]:
        """The processes of a worker, without its nanny."""
        nanny = self._nannies[number]
        if nanny.poll() is not None:
            self._nannies[number] = nanny = self._begin_worker(number)
        return [p for p in psutil.Process(nanny.pid).children() if "spawn_main" in " ".join(p.cmdline())]

    def restart_scheduler(self) -> None:
        """Kill it, and start it anew; its workers come back."""
        self._scheduler.kill()
        self._scheduler.wait()
        self._scheduler = self._begin_scheduler()
        for number, nanny in enumerate(self._nannies):  # whoever was lost with it gives up: an operator starts others
            _end(nanny)
            self._nannies[number] = self._begin_worker(number)

    def close(self) -> None:
        """End all of it."""
        for process in [*self._nannies, self._scheduler]:
            _end(process)

    def _begin_scheduler(self) -> subprocess.Popen[bytes]:
        return self._begin("scheduler", "--host", "127.0.0.1", "--port", str(self._port))

    def _begin_worker(self, number: int) -> subprocess.Popen[bytes]:
        here, ways = (f"tcp://127.0.0.1:{port}" for port in (self._ports[number], self.ways[number].port))
        usual = ("--nthreads", "1", "--memory-limit", "0", "--listen-address", here, "--contact-address", ways)
        return self._begin("worker", f"tcp://127.0.0.1:{self._port}", *usual)

    def _begin(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{what}.log").open("a") as said:
            command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *options, "--no-dashboard"]
            return subprocess.Popen(command, cwd=self._folder, stdout=said, stderr=said)


class Schedule:
    """One batch and its faults.

    Args:
        cluster: on which it runs.
        folder: for its files.
        seed: of what happens.
    """

    def __init__(self, cluster: Cluster, folder: Path, seed: int) -> None:
        self._cluster = cluster
        self._random = random.Random(seed)
        (folder / "shop.py").write_text(HANDLER)
        self.bench = Bench(folder)
        self.bench.write_input(ITEMS)
        self.happened: list[str] = []

    def run(self) -> list[str]:
        """What is wrong in the end; empty where nothing is."""
        where = ("--scheduler", self._cluster.address, "-w", str(WORKERS))
        process = self._go("start", "input.jsonl", "--func", "shop.py:pays", "--id", "b1", "-c", "12", *where)
        wait_until(lambda: (self.bench.folder / "ledger").exists() or process.poll() is not None)
        for _ in range(self._random.randint(1, 3)):
            time.sleep(self._random.uniform(0.1, 1.5))
            process = self._random.choice(self._faults())(process)
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            try:
                code = process.wait(deadline - time.monotonic())
            except subprocess.TimeoutExpired:
                break
            if code == 0:
                return self._verdict()
            process = self._go("resume", "b1")
        process.kill()
        return ["it did not end"]

    def _faults(self) -> list[Callable[[subprocess.Popen[str]], subprocess.Popen[str]]]:
        return [self._kill_worker, self._freeze, self._cut_worker, self._cut_scheduler, self._crash, self._restart]

    def _kill_worker(self, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        number = self._random.randrange(WORKERS)
        self.happened.append(f"worker {number} killed")
        _signal(self._cluster.processes(number), signal.SIGKILL)
        return process

    def _freeze(self, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        number, seconds = self._random.randrange(WORKERS), self._random.choice([1.0, 2 * PATIENCE])
        self.happened.append(f"worker {number} stands still for {seconds} s")
        frozen = self._cluster.processes(number)
        _signal(frozen, signal.SIGSTOP)
        time.sleep(seconds)
        _signal(frozen, signal.SIGCONT)
        return process

    def _cut_worker(self, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        number, seconds = self._random.randrange(WORKERS), self._random.choice([1.0, 2.5 * PATIENCE])
        self.happened.append(f"way to worker {number} cut for {seconds} s")
        self._cluster.ways[number].cut()
        time.sleep(seconds)
        self._cluster.ways[number].mend()
        return process

    def _cut_scheduler(self, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        seconds = self._random.choice([1.0, 2.5 * PATIENCE])
        self.happened.append(f"way to the scheduler cut for {seconds} s")
        self._cluster.way.cut()
        time.sleep(seconds)
        self._cluster.way.mend()
        return process

    def _crash(self, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        engine = self._random.choice([(), ("--engine", "local")])
        self.happened.append(f"supervisor killed, resumed {' '.join(engine)}")
        process.kill()
        process.wait()
        return self._go("resume", "b1", *engine)

    def _restart(self, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        self.happened.append("scheduler killed and restarted")
        self._cluster.restart_scheduler()
        return process

    def _go(self, *arguments: str) -> subprocess.Popen[str]:
        with (self.bench.folder / "said").open("a") as said:
            command = [sys.executable, "-m", "batchq", *arguments, "--home", str(self.bench.home), "--no-breaker"]
            command = command if arguments[0] == "start" else command[:-1]
            environment = self.bench.environment(BATCHQ_PATIENCE=str(PATIENCE))
            return subprocess.Popen(
                command, env=environment, cwd=self.bench.folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                text=True,
            )  # fmt: skip

    def _verdict(self) -> list[str]:
        found = self.bench.outcomes()
        wrong = list(self.bench.broken_invariants())
        wrong += [f"{n} is lost" for n in range(1, ITEMS + 1) if found.get(n, (0, None))[1] != n]
        return wrong + [f"{n} is recorded {count} times" for n, (count, _) in found.items() if count != 1]


def main() -> int:
    """Run schedules; 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--schedules", type=int, default=50, metavar="N", help="how many [default: 50]")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first; the next one has the next")
    options = parser.parse_args()
    bad = again = 0
    with tempfile.TemporaryDirectory(prefix="batchq-faults-") as top:
        cluster = Cluster(Path(top))
        try:
            for seed in range(options.seed, options.seed + options.schedules):
                folder = Path(top, f"schedule-{seed}")
                folder.mkdir()
                schedule = Schedule(cluster, folder, seed)
                began = time.monotonic()
                wrong = schedule.run()
                runs = len((folder / "ledger").read_text().splitlines())
                again += runs - ITEMS
                took = time.monotonic() - began
                print(
                    f"{seed}: {'; '.join(schedule.happened)}: {wrong[:5] or 'well'}, {took:.0f} s, {runs} runs",
                    flush=True,
                )
                if wrong:
                    bad += 1
                    print((folder / "said").read_text()[-2000:], file=sys.stderr)
                    log = folder / "home" / "b1" / "batch.log"
                    print(log.read_text()[-6000:] if log.exists() else "", file=sys.stderr)
        finally:
            cluster.close()
    print(f"{options.schedules} schedules, {bad} with something lost or recorded twice; {again} runs of items repeated")
    return 1 if bad else 0


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def _signal(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        _signal(children, signal.SIGKILL)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parent.parent.parent))
    raise SystemExit(main())
