"""Whole processes, measured from outside: their time, and the memory of all that they start."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

SCRIPTS: Final = Path(__file__).resolve().parent.parent
SAMPLE_SECONDS: Final = 0.05
MB: Final = 1_000_000
WORKERS: Final = 2

Command = Sequence[str]


class BenchError(Exception):
    """A run did not do what was to be measured, so that its time would mean nothing."""


@dataclass
class Bench:
    """How this bench runs.

    Attributes:
        folder: for all files, and the working directory of every run, so that no configuration is found.
        scale: factor on all numbers of items.
        runs: of each side; the best, or the median, counts.
        starts: of each command whose start is timed.
        say: told what happens.
    """

    folder: Path
    scale: float = 1.0
    runs: int = 3
    starts: int = 15
    say: Callable[[str], None] = lambda _: None
    env: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("BATCHQ_")}
        path = os.pathsep.join(filter(None, [str(SCRIPTS), str(SCRIPTS.parent), kept.get("PYTHONPATH")]))
        self.env.update(kept, PYTHONPATH=path, XDG_CONFIG_HOME=str(self.folder))

    def items(self, full: int) -> int:
        """A number of items at this scale."""
        return max(1, round(full * self.scale))

    def time(self, command: Command) -> float:
        """Seconds of wall time from start to exit."""
        return self._finish(self._start(command), command)[0]

    def time_batch(self, source: Path, count: int, handler: str, concurrency: int) -> float:
        """Seconds of a whole `batchq start`, from input file to outcomes on disk."""
        with self._batch(source, handler, concurrency) as command:
            seconds, out = self._finish(self._start(command), command)
        _check_batch(out, count)
        self.say(f"  batchq, {count:,} items, -c {concurrency}: {seconds:.2f} s")
        return seconds

    def peak_of_batch(self, source: Path, count: int, concurrency: int) -> float:
        """Peak of the summed RSS of a `batchq start` and all processes below it, in MB."""
        with self._batch(source, "noop", concurrency) as command:
            peak, out = self._finish_watched(command)
        _check_batch(out, count)
        self.say(f"  batchq, {count:,} items in {source.stat().st_size / MB:,.0f} MB: peak {peak:.1f} MB")
        return peak

    def peak(self, command: Command) -> float:
        """Peak of the summed RSS of a command and all processes below it, in MB."""
        return self._finish_watched(command)[0]

    def library(self, mode: str, items: int, concurrency: int, handler: str) -> dict[str, float]:
        """What `benchmarks.library` measured; checks that no item was lost."""
        command = [sys.executable, "-m", "benchmarks.library", mode, str(items), str(concurrency), handler]
        with tempfile.TemporaryDirectory(dir=self.folder) as home:
            self.env["BATCHQ_HOME"] = home
            out = self._finish(self._start(command), command)[1]
        found: dict[str, float] = json.loads(out)
        if handler != "shaky" and found["success"] != items:
            raise BenchError(f"{mode}: {found['success']:,.0f} of {items:,} items succeeded")
        self.say(f"  {mode}, {items:,} items, concurrency {concurrency}, {handler}: {found['seconds']:.2f} s")
        return found

    @contextlib.contextmanager
    def _batch(self, source: Path, handler: str, concurrency: int) -> Iterator[Command]:
        home = self.folder / "home"
        # What an earlier run left for the disk to write is not this one's to wait for.
        os.sync()
        try:
            yield batchq_start(source, home, "bench", handler, concurrency)
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def _start(self, command: Command) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        self._began = time.perf_counter()
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=self.folder, env=self.env)

    def _finish_watched(self, command: Command) -> tuple[float, str]:
        process = self._start(command)
        peak = _Peak(process.pid)
        try:
            out = self._finish(process, command)[1]
        finally:
            peak.stop()
        return peak.bytes / MB, out

    def _finish(self, process: subprocess.Popen[str], command: Command) -> tuple[float, str]:
        try:
            out, err = process.communicate()
            seconds = time.perf_counter() - self._began
        finally:
            process.kill()
        if process.returncode:
            raise BenchError(f"{' '.join(command)} exited with {process.returncode}: {(err or out).strip()[-2000:]}")
        return seconds, out


class _Peak:
    """Samples the RSS of a process and all its descendants, the multiprocessing resource tracker included."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._root = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            total = 0
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in [self._root, *self._root.children(recursive=True)]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        total += process.memory_info().rss
            self.bytes = max(self.bytes, total)


def batchq(*arguments: str) -> Command:
    """The installed command of this interpreter's environment, or else `python -m batchq`."""
    script = Path(sys.executable).parent / "batchq"
    return [str(script), *arguments] if script.exists() else [sys.executable, "-m", "batchq", *arguments]


def batchq_start(source: Path, home: Path, batch_id: str, handler: str, concurrency: int) -> Command:
    """A whole batch with one of the handlers of this package."""
    target = f"{Path(__file__).with_name('handlers.py')}:{handler}"
    settings = [
        "-c",
        str(concurrency),
        "-w",
        str(WORKERS),
        "--home",
        str(home),
        "--id",
        batch_id,
        "--json",
        "-q",
    ]
    return batchq("start", str(source), "--func", target, *settings)


def by_hand(source: Path, target: Path, concurrency: int) -> Command:
    """The same work as `batchq start` with the no-op handler, in the pattern written by hand."""
    return [sys.executable, "-m", "benchmarks.by_hand", str(source), str(target), str(concurrency)]


def write_items(path: Path, count: int, size: int) -> Path:
    """A JSONL file of `count` records of about `size` bytes each."""
    words = "one idea that is long enough to stand for what people really send through a pipeline "
    frame = len(
        '{"id": "item-00000001", "text": "", "genre": "how-to", "metadata": {"source": "bench", "priority": 3}}\n'
    )
    text = (words * (size // len(words) + 1))[: size - frame]
    with path.open("w", encoding="utf-8") as out:
        for number in range(1, count + 1):
            out.write(
                f'{{"id": "item-{number:08}", "text": "{text}", "genre": "how-to", '
                '"metadata": {"source": "bench", "priority": 3}}\n'
            )
    return path


def _check_batch(out: str, count: int) -> None:
    """Exit 0 says that every item succeeded; this that there were as many as in the input."""
    summary: dict[str, Any] = json.loads(out)
    total = summary["total_items"]
    if total != count:
        raise BenchError(f"the batch had {total:,} items, not {count:,}: {out.strip()[-2000:]}")
