"""What a test of the store opens is closed at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from batchq.store.batch import BatchStore
from batchq.store.connection import Connection, open_writer


@pytest.fixture
def closed_later() -> Iterator[ExitStack]:
    """Closes what is entered into it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def opened(closed_later: ExitStack) -> Callable[[Path], Connection]:
    """Opens a connection that may write."""
    return lambda path: closed_later.enter_context(closing(open_writer(path)))


@pytest.fixture
def supervised(closed_later: ExitStack) -> Callable[[Path], BatchStore]:
    """Opens a batch's file as its supervisor does."""
    return lambda path: closed_later.enter_context(closing(BatchStore(path)))
