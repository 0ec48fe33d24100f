"""Six seconds of the WAL stress; `scripts/wal-stress --minutes 60` is the whole of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_file_stays_whole_under_many_writers_a_busy_checkpointer_and_random_kills() -> None:
    command = [sys.executable, str(Path(__file__).with_name("wal_stress.py")), "--minutes", "0.1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["broken"] == []
    assert figures["checks"] >= 3 and figures["most_log_bytes"] > 0
    assert min(figures[what] for what in ("kills", "taken_over", "commits", "checkpoints")) > 0, "it was no stress"
