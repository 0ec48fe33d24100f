"""A folder for the batches of each test, where its handlers find their ledger and their gate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from durable import Library, processes_left


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """Batches of a test's own; no process of theirs may outlive it."""
    library = Library(tmp_path)
    monkeypatch.setenv("LEDGER", str(library.ledger))
    monkeypatch.setenv("GATE", str(tmp_path / "gate"))
    yield library
    assert not processes_left()
