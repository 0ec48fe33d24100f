"""The log of a batch on a server, by pages: the last lines, and those that still come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from batchq.errors import StoreError
from batchq.remote.client import Client
from batchq.remote.following import goes_on

POLL_SECONDS: Final = 0.5
MOST_LINES: Final = 5000
"""That a server hands out at a time."""
MANY_LINES: Final = 1000
"""After so many at once there are more already; fewer are all that there were."""


def read_log(client: Client, path: str, last: int | None) -> Iterator[str]:
    """The lines of the log as it stands, with their ends.

    Args:
        client: of the server.
        path: of the batch.
        last: only so many, from its end; None for all.
    """
    return _read(client, f"{path}/log", _first(client, f"{path}/log", last), last)


def follow_log(client: Client, path: str, last: int | None, sleep: Callable[[float], None]) -> Iterator[str]:
    """The same, and then each line as soon as it is whole, until nobody runs the batch, nor is to."""
    return _follow(client, path, _first(client, f"{path}/log", last), sleep)


def _first(client: Client, path: str, last: int | None) -> dict[str, Any]:
    if last is None or last > MOST_LINES:
        return client.get(path, after=0)
    return client.get(path, lines=last)


def _read(client: Client, path: str, page: dict[str, Any], last: int | None) -> Iterator[str]:
    if last is not None and last > MOST_LINES:
        from collections import deque

        yield from deque(_read(client, path, page, None), last)
        return
    while True:
        yield from _lines(page, with_rest=True)
        if last is not None or not page["whole"] or not page["lines"]:
            return
        page = client.get(path, after=page["next"])


def _follow(client: Client, path: str, page: dict[str, Any], sleep: Callable[[float], None]) -> Iterator[str]:
    while True:
        yield from _lines(page, with_rest=False)
        if len(page["lines"]) < MANY_LINES or not page["whole"]:
            if not _goes_on(client, path):
                break
            sleep(POLL_SECONDS)
        page = client.get(f"{path}/log", patient=True, after=page["next"])
    while True:  # what was said before it ended
        page = client.get(f"{path}/log", patient=True, after=page["next"])
        yield from _lines(page, with_rest=True)
        if not page["lines"] or not page["whole"]:
            return


def _goes_on(client: Client, path: str) -> bool:
    try:
        return goes_on(client.get(path, patient=True))
    except StoreError:
        return False  # nobody runs a batch whose file is lost


def _lines(page: dict[str, Any], with_rest: bool) -> Iterator[str]:
    *lines, last = page["lines"] or [None]
    yield from (f"{line}\n" for line in lines)
    if last is not None and page["whole"]:
        yield f"{last}\n"
    elif last is not None and with_rest:
        yield last
