"""What the server is at besides single calls: long answers, of which there are only so many at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from batchq.server.problems import Problem
from batchq.server.settings import ServerSettings
from batchq.server.streaming.feed import Feeds

DOWNLOADS: Final = 4
"""Each has a thread and a reader of the batch's file, and keeps a core busy where the client is fast."""
STREAMS: Final = "event streams"
RETRY_SECONDS: Final = 5


class Slots:
    """So many of something at a time.

    Args:
        most: how many.
        what: they are, in words.

    Example:
        >>> slots = Slots(1, "downloads")
        >>> slots.take()
        >>> slots.taken
        1
    """

    def __init__(self, most: int, what: str) -> None:
        self.most = most
        self.taken = 0
        self.refused = 0
        self._what = what

    def take(self) -> None:
        """Take one; raises `Problem` 503 where there is none left."""
        if self.taken >= self.most:
            self.refused += 1
            detail = f"all {self.most:,} {self._what} that this server makes at a time are taken"
            raise Problem(503, detail, "Try again a little later.", {"Retry-After": str(RETRY_SECONDS)})
        self.taken += 1

    def give_back(self) -> None:
        """Give one back."""
        self.taken -= 1


@dataclass
class Load:
    """What is going on; of the event loop alone.

    Attributes:
        downloads: results and reports that are under way.
        streams: clients that watch.
        feeds: what they watch.
        requests: calls by method, route and status.
    """

    downloads: Slots = field(default_factory=lambda: Slots(DOWNLOADS, "downloads"))
    streams: Slots = field(default_factory=lambda: Slots(500, STREAMS))
    feeds: Feeds = field(default_factory=Feeds)
    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)

    @classmethod
    def of(cls, settings: ServerSettings) -> Load:
        """What may go on at a time, as the owner has decided."""
        return cls(streams=Slots(settings.max_streams, STREAMS))
