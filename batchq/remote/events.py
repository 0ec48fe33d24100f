"""What a server tells of a batch as it happens: server-sent events, taken up again where a connection broke."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from batchq.errors import BatchNotFound, ServerFailed, ServerUnreachable
from batchq.remote.client import Client

SILENCE_SECONDS: Final = 40.0
"""A server says something every 15 seconds at least."""
POLL_SECONDS: Final = 1.0
"""Where a proxy lets no events through."""


class Event(NamedTuple):
    """One event.

    Attributes:
        name: its kind.
        number: what one was told before, to go on from; empty where it has none.
        data: its text.
    """

    name: str
    number: str
    data: str


def events_of(lines: Iterator[bytes]) -> Iterator[Event]:
    """The events of a stream, each when it is whole.

    Example:
        >>> list(events_of(iter([b": hello\\n", b"event: status\\n", b"id: 7\\n", b"data: {}\\n", b"\\n"])))
        [Event(name='status', number='7', data='{}')]
    """
    name, number = "message", ""
    data: list[str] = []
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if not line:
            if data:
                yield Event(name, number, "\n".join(data))
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "id":
            number = value
        elif field == "data":
            data.append(value)


def follow(
    client: Client, path: str, sleep: Callable[[float], None] = time.sleep, **query: Any
) -> Iterator[Event | None]:
    """Every event of a batch; None where there may have been some that nobody was told of, and one has to ask.

    Args:
        client: of the server.
        path: of the events.
        sleep: waits so many seconds.
        query: parameters of the events.

    Raises:
        BatchNotFound: the batch was deleted.
        ServerUnreachable: the server has not answered for about a minute.
    """
    last, heard = "", True
    while True:
        if not heard:
            sleep(POLL_SECONDS)
        heard = False
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        try:
            for event in events_of(client.lines(path, headers, SILENCE_SECONDS, **query)):
                heard = True
                last = event.number or last
                if event.name == "deleted":
                    raise _deleted(event)
                yield event
        except (ServerUnreachable, ServerFailed):
            pass  # who asks then is told what is wrong
        yield None


def _deleted(event: Event) -> BatchNotFound:
    batch_id = str(json.loads(event.data)["batch_id"])
    return BatchNotFound(batch_id, "that home: it was deleted")
