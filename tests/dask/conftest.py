"""A real Dask cluster for all tests here: a scheduler and two workers as processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from waiting import wait_until


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the scheduler."""
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    with ExitStack() as stack:
        _begin(stack, folder, "scheduler", "--host", "127.0.0.1", "--port", "0", *common)
        wait_until(lambda: file.exists() and file.stat().st_size)
        _begin(stack, folder, "worker", "--nworkers", "2", "--nthreads", "1", "--memory-limit", "0", *common)
        # A batch takes as many workers as are there when it begins.
        wait_until(lambda: (folder / "worker.log").read_text().count("Registered to") == 2)
        yield str(json.loads(file.read_text())["address"])


def _begin(stack: ExitStack, folder: Path, what: str, *options: str) -> None:
    said = stack.enter_context((folder / f"{what}.log").open("w"))
    process = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{what}", *options], cwd=folder, stdout=said, stderr=said
    )

    def end() -> None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)
