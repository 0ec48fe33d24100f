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

from benchmarks.peers.environment import Environment

SCRIPTS: Final = Path(__file__).resolve().parent.parent
SAMPLE_SECONDS: Final = 0.05
MB: Final = 1_000_000
WORKERS: Final = 2
SMALL_BYTES: Final = 200
LARGE_BYTES: Final = 10_000

Command = Sequence[str]


class BenchError(Exception):
    """A run did not do what was to be measured, so that its time would mean nothing."""


@dataclass
class Bench:
    """How this bench runs.

    Attributes:
        folder: for all files, and the working directory of every run, so that no configuration is found.
        scale: factor on all numbers of items.
        runs: of each side; their median counts.
        starts: of each command whose start is timed.
        say: told what happens.
        peers: where the peers can be run; None: they are left out.
    """

    folder: Path
    scale: float = 1.0
    runs: int = 5
    starts: int = 15
    say: Callable[[str], None] = lambda _: None
    peers: Environment | None = None
    env: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        # Without compiled files every start would compile the project anew.
        unlike = ("BATCHQ_", "PYTHONDONTWRITEBYTECODE")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(unlike)}
        path = os.pathsep.join(filter(None, [str(SCRIPTS), str(SCRIPTS.parent), kept.get("PYTHONPATH")]))
        self.env.update(kept, PYTHONPATH=path, XDG_CONFIG_HOME=str(self.folder))

    def items(self, full: int) -> int:
        """A number of items at this scale."""
        return max(1, round(full * self.scale))

    def input(self, name: str, count: int, size: int) -> Path:
        """A file of that many items of `size` bytes."""
        return write_items(self.folder / f"{name}.jsonl", count, size)

    def time(self, command: Command) -> float:
        """Seconds of wall time from start to exit."""
        return self._finish(self._start(command), command)[0]

    def time_together(self, commands: Sequence[Command]) -> float:
        """Seconds until the last of several processes that start at once has ended."""
        began = time.perf_counter()
        started = [(self._start(command), command) for command in commands]
        for process, command in started:
            self._finish(process, command)
        return time.perf_counter() - began

    def time_batch(self, source: Path, count: int, handler: str, *settings: str, home: Path | None = None) -> float:
        """Seconds of a whole `batchq start`, from input file to outcomes on disk; keeps it only in a given `home`."""
        with self._batch(source, handler, settings, home) as command:
            seconds, out = self._finish(self._start(command), command)
        _check_batch(out, count)
        self.say(f"  batchq, {count:,} items, {handler}, {' '.join(settings)}: {seconds:.2f} s")
        return seconds

    def time_by_hand(self, source: Path, concurrency: int, handler: str, *more: str) -> float:
        """The same work in the pattern written by hand."""
        written = str(self.folder / "by_hand.jsonl")
        command = [sys.executable, "-m", "benchmarks.by_hand", str(source), written, str(concurrency), handler, *more]
        seconds = self.time(command)
        self.say(f"  by hand, {source.stem}, {handler}, concurrency {concurrency}: {seconds:.2f} s")
        return seconds

    def watch_batch(self, source: Path, count: int, *settings: str) -> tuple[float, float]:
        """Seconds of a `batchq start`, and the peak of the summed RSS of all its processes in MB."""
        with self._batch(source, "noop", settings, None) as command:
            seconds, peak, out = self._finish_watched(command)
        _check_batch(out, count)
        size = source.stat().st_size / MB
        self.say(f"  batchq, {count:,} items in {size:,.0f} MB: {seconds:.2f} s, peak {peak:.1f} MB")
        return seconds, peak

    def peak(self, command: Command) -> float:
        """Peak of the summed RSS of a command and all processes below it, in MB."""
        return self._finish_watched(command)[1]

    def output(self, command: Command) -> str:
        """What a command prints."""
        return self._finish(self._start(command), command)[1]

    def ask(self, module: str, *arguments: str, python: str = sys.executable) -> dict[str, Any]:
        """What a module of this package, run in a process of its own, prints as JSON."""
        command = [python, "-m", f"benchmarks.{module}", *arguments]
        found: dict[str, Any] = json.loads(self.output(command))
        return found

    def library(self, mode: str, items: int, concurrency: int, handler: str) -> dict[str, float]:
        """What `benchmarks.library` measured; checks that no item was lost."""
        with tempfile.TemporaryDirectory(dir=self.folder) as home:
            self.env["BATCHQ_HOME"] = home
            found: dict[str, float] = self.ask("library", mode, str(items), str(concurrency), handler)
        if handler != "shaky" and found["success"] != items:
            raise BenchError(f"{mode}: {found['success']:,.0f} of {items:,} items succeeded")
        self.say(f"  {mode}, {items:,} items, concurrency {concurrency}, {handler}: {found['seconds']:.2f} s")
        return found

    @contextlib.contextmanager
    def running(self, source: Path, home: Path, *settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """A batch that runs as long as the block, with the handler `hold`."""
        with subprocess.Popen(
            batchq_start(source, home, "bench", "hold", *settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env=self.env,
        ) as process:
            tree: list[psutil.Process] = []
            try:
                yield process
                tree = psutil.Process(process.pid).children(recursive=True)
            finally:
                # Not asked to stop: it would wait for handlers that never end.
                process.kill()
                for child in tree:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
                psutil.wait_procs(tree)

    @contextlib.contextmanager
    def _batch(self, source: Path, handler: str, settings: Sequence[str], kept: Path | None) -> Iterator[Command]:
        home = kept or self.folder / "home"
        # What an earlier run left for the disk to write is not this one's to wait for.
        os.sync()
        try:
            yield batchq_start(source, home, "bench", handler, *settings)
        finally:
            if kept is None:
                shutil.rmtree(home, ignore_errors=True)

    def _start(self, command: Command) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        self._began = time.perf_counter()
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=self.folder, env=self.env)

    def _finish_watched(self, command: Command) -> tuple[float, float, str]:
        process = self._start(command)
        peak = _Peak(process.pid)
        try:
            seconds, out = self._finish(process, command)
        finally:
            peak.stop()
        return seconds, peak.bytes / MB, out

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


def batchq_start(source: Path, home: Path, batch_id: str, handler: str, *settings: str) -> Command:
    """A whole batch with one of the handlers of this package; on `WORKERS` workers, unless the settings say else."""
    target = f"{Path(__file__).with_name('handlers.py')}:{handler}"
    names = ["--home", str(home), "--id", batch_id, "--json", "-q"]
    return batchq("start", str(source), "--func", target, "-w", str(WORKERS), *names, *settings)


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
