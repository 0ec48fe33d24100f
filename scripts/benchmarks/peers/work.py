"""What every peer shares: the work, and how its workers are run beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

FOLDER: Final = "PEER_FOLDER"
"""The variable that names a folder for what the peer keeps; its workers read it too."""
ADDRESS: Final = "PEER_ADDRESS"
"""The variable that holds the address of its server."""
WAIT_SECONDS: Final = 0.05
POLL_SECONDS: Final = 0.01
MOST_SECONDS: Final = 600.0

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


@contextmanager
def workers(*arguments: str, processes: int = 1) -> Iterator[None]:
    """Run ``python -m ARGUMENTS`` as long as the block, in as many processes."""
    command = [sys.executable, "-m", *arguments]
    log = os.path.join(folder(), "workers.log")
    with open(log, "w+", encoding="utf-8") as out:
        started = [subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) for _ in range(processes)]
        try:
            yield
        except TimeoutError as error:
            out.seek(0)
            raise RuntimeError(f"{error}; its workers said: {out.read()[-2000:]}") from error
        finally:
            for process in started:
                process.terminate()
            for process in started:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@contextmanager
def clock() -> Iterator[Callable[[], float]]:
    """The seconds that the block took, by calling what it yields."""
    began = time.perf_counter()
    ended: list[float] = []
    yield lambda: ended[0] - began
    ended.append(time.perf_counter())


def wait_for(count: Callable[[], int], wanted: int) -> None:
    """Look until there are as many outcomes as that."""
    deadline = time.monotonic() + MOST_SECONDS
    while (found := count()) < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found} of {wanted} outcomes after {MOST_SECONDS:g} s")
        time.sleep(POLL_SECONDS)
