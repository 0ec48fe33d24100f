"""What every peer shares: the work, and how its workers are run beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final

from benchmarks.handlers import WAIT_SECONDS

FOLDER: Final = "PEER_FOLDER"
"""The variable that names a folder for what the peer keeps; its workers read it too."""
ADDRESS: Final = "PEER_ADDRESS"
"""The variable that holds the address of its server."""
POLL_SECONDS: Final = 0.01
MOST_SECONDS: Final = 600.0
END_SECONDS: Final = 20.0

Items = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes:
        items: the input, read already.
        handler: ``noop`` or ``wait``.
        slots: workers that compute (no-op), or items that wait at the same time.
    """

    items: Items
    handler: str
    slots: int


@dataclass(frozen=True)
class Done:
    """What came of it.

    Attributes:
        seconds: from the first item handed over to the last outcome kept, the workers up before.
        results: each that was kept, read back after the clock had stopped.
    """

    seconds: float
    results: Sequence[Any]


def noop(item: dict[str, Any]) -> Any:
    """As `benchmarks.handlers.noop`."""
    return item["id"]


def wait(item: dict[str, Any]) -> Any:
    """As `benchmarks.handlers.wait`."""
    time.sleep(WAIT_SECONDS)
    return item["id"]


HANDLERS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {"noop": noop, "wait": wait}
WARM_UP: Final = {"id": "warm-up"}
"""An item whose outcome shows that the workers are up."""


def folder() -> str:
    """Where the peer keeps what it keeps in files."""
    return os.environ[FOLDER]


def address() -> str:
    """Of its server."""
    return os.environ[ADDRESS]


class Crew:
    """The worker processes of a peer."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]], log: IO[str]) -> None:
        self._processes = processes
        self._log = log

    def wait_for(self, count: Callable[[], int], wanted: int) -> None:
        """Look until there are as many outcomes as that; raises RuntimeError with what the workers said if never."""
        deadline = time.monotonic() + MOST_SECONDS
        while (found := count()) < wanted:
            died = any(process.poll() is not None for process in self._processes)
            if died or time.monotonic() > deadline:
                self._log.seek(0)
                raise RuntimeError(f"{found} of {wanted} outcomes; its workers said: {self._log.read()[-2000:]}")
            time.sleep(POLL_SECONDS)

    def end(self) -> None:
        """End them, whatever they do."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def workers(*arguments: str, processes: int = 1) -> Iterator[Crew]:
    """Run ``python -m ARGUMENTS`` as long as the block, in as many processes."""
    command = [sys.executable, "-m", *arguments]
    with open(os.path.join(folder(), "workers.log"), "w+", encoding="utf-8") as log:
        crew = Crew([subprocess.Popen(command, stdout=log, stderr=log) for _ in range(processes)], log)
        try:
            yield crew
        finally:
            crew.end()


@contextmanager
def clock() -> Iterator[Callable[[], float]]:
    """The seconds that the block took, by calling what it yields."""
    began = time.perf_counter()
    ended: list[float] = []
    yield lambda: ended[0] - began
    ended.append(time.perf_counter())
