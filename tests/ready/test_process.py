"""Commands as processes: what they leave running has an end where the system tells less of them, too."""

from __future__ import annotations

import asyncio
import os

import psutil
import pytest
from waiting import wait_until

from batchq.ready.process import Process, Processes


def test_what_a_failed_command_has_left_is_ended_where_its_end_can_only_be_reaped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("waitid", "pidfd_open"):  # which macOS does not have
        monkeypatch.delattr(os, name, raising=False)

    async def run() -> Process:
        command = [b"sh", b"-c", b"sleep 300 & echo $!; exit 3"]
        return await Processes().run(command, b"", dict(os.environ), 100, lambda _: None)

    process = asyncio.run(run())
    left = int(process.stdout)
    assert process.code == 3
    wait_until(lambda: not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE)
