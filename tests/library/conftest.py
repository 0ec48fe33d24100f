"""A folder for the batches of each test, where its handlers find their ledger and their gate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from command import kill
from durable import Library, processes_left


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """Batches of a test's own; no process of theirs may outlive it."""
    before = processes_left()  # a server of other tests, say, whose turn comes again
    library = Library(tmp_path)
    monkeypatch.setenv("LEDGER", str(library.ledger))
    monkeypatch.setenv("GATE", str(tmp_path / "gate"))
    yield library
    begun = [process for process in processes_left() if process not in before]
    _, left = psutil.wait_procs(begun, timeout=60)  # one may just be at its end
    what = [process.cmdline() for process in left if process.is_running()]
    kill(left)  # so that one test does not fail the next
    assert not left, what
