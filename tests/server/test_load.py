"""Watchers and calls beside a running batch: a small version of scripts/server-load, which may make no error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "scripts" / "server_load.py"
MUCH = 60 * 1024 * 1024


def test_watched_server_makes_no_error_and_keeps_its_memory() -> None:
    asked = "--seconds 1 --rounds 1 --watchers 20 --rate 50 --slots 20 --json"
    done = subprocess.run([sys.executable, SCRIPT, *asked.split()], capture_output=True, text=True, timeout=300)
    found = json.loads(done.stdout)
    assert found["errors"] == 0, done.stderr
    assert found["calls"] >= 50
    assert found["events"] >= 20
    assert found["server_rss_last"] - found["server_rss_first"] < MUCH
