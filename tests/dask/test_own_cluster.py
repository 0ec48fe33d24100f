"""The Dask cluster that is started for one batch, on this machine."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from batchq.engine.dask import cluster


def test_cluster_of_a_batch_listens_on_this_machine_alone() -> None:
    async def listeners() -> set[str]:
        there = cluster.Cluster(None, 0, 1.0, print)
        await there.open()
        found = {each.laddr.ip for each in psutil.Process().net_connections("tcp") if each.status == psutil.CONN_LISTEN}
        await there.close()
        return found

    assert asyncio.run(listeners()) == {"127.0.0.1"}


def test_workers_that_are_replaced_again_and_again_come_back_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # By its own rule Dask gives a worker up that is away at a certain moment; each one that is replaced is away now.
    monkeypatch.setenv("DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT", "0ms")
    Path("in.txt").write_text("a\nb\nc\n")
    Path("f.py").write_text("def f(item):\n    return item\n")
    options = ("--engine", "dask", "-w", "1", "--max-tasks-per-worker", "1", "--json")
    command = [sys.executable, "-m", "batchq", "--home", "H", "start", "in.txt", "--func", "f.py:f", *options]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert (report["success_count"], report["worker_count"]) == (3, 3)
