"""How a batch on a server moves, until it moves no more."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from batchq.app.watching import Look
from batchq.remote.client import Client
from batchq.remote.events import follow

LEAST_SECONDS: Final = 1.0
"""The end of a batch is seen that soon, however long the interval is."""

T = TypeVar("T")


def statuses(client: Client, path: str) -> Iterator[dict[str, Any]]:
    """How a batch stands, now and at each change: without end, unless the server or the batch is gone.

    Raises:
        BatchNotFound: the batch was deleted.
        ServerUnreachable: the server has not answered for about a minute.
    """
    for event in follow(client, f"{path}/events"):
        if event is None:
            yield client.get(path, patient=True)
        elif event.name == "status":
            yield json.loads(event.data)


def goes_on(told: Mapping[str, Any]) -> bool:
    """Whether somebody runs a batch, or the server is about to."""
    return told["holder"] is not None or bool(told.get("wanted"))


def is_left(look: Look) -> bool:
    """Whether no process runs a batch any more."""
    return look.status.holder is None


def looks(
    look: Callable[[], T],
    is_last: Callable[[T], bool],
    interval: float,
    sleep: Callable[[float], None],
    may_be_over: Callable[[], bool] = lambda: True,
) -> Iterator[T]:
    """What `look` shows, each `interval` seconds, and once more when it is the last.

    Args:
        look: asks the server.
        is_last: whether there is nothing more to see.
        interval: seconds.
        sleep: waits so many seconds.
        may_be_over: asks whether it is worth a look before the time; for where a look is large.
    """
    while True:
        shown = look()
        yield shown
        if is_last(shown):
            return
        until = time.monotonic() + interval
        while (left := until - time.monotonic()) > 0:
            sleep(min(left, LEAST_SECONDS))
            if left > LEAST_SECONDS and may_be_over() and is_last(look()):
                break
