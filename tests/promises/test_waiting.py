"""A batch that only waits costs next to nothing."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from command import Bench, ended, kill, members
from waiting import wait_until

pytestmark = pytest.mark.slow

WINDOW_SECONDS = 5.0
SHARE = 0.01
"""Of one core, for all processes together; asserted with tenfold allowance."""


def cpu_seconds(session: int) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in members(session))


def test_batch_whose_items_all_wait_for_their_next_attempt_is_asleep(tmp_path: Path) -> None:
    (tmp_path / "down.py").write_text("def call(item):\n    raise ConnectionError('down')\n")
    bench = Bench(tmp_path)
    bench.write_input(50)
    wait = ("--retry-delay", "600", "--retry-max-delay", "600")
    process = bench.begin("start", "input.jsonl", "--func", "down.py:call", "--id", "b1", "-q", *wait)
    try:
        wait_until(lambda: bench.database.exists())
        wait_until(lambda: json.loads(bench.run("status", "b1", "--json").stdout)["attempts"] == 50)
        before, since = cpu_seconds(process.pid), time.monotonic()
        wait_until(lambda: time.monotonic() > since + WINDOW_SECONDS)
        used = cpu_seconds(process.pid) - before
        assert process.poll() is None
        assert used / (time.monotonic() - since) < 10 * SHARE
        process.send_signal(signal.SIGINT)
        assert ended(process) == -signal.SIGINT, "and it does not wait for their attempts when it is to stop"
    finally:
        kill(members(process.pid))
        process.communicate()
