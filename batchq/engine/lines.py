"""Takes out of what is logged the values that may not be shown (``--redact``)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from batchq.model import Item
from batchq.redaction import Redaction, Values, without

ENDED: Final = 100
"""Items whose values are remembered beyond their end, for tasks and threads that a handler has left running."""


class LineCleaner:
    """Called with a text, it answers with the text without the values that the items at hand have in certain fields.

    Of all items at hand, and of those that ended last, because what a handler has left running speaks on behalf of
    none.  Each payload is taken apart once.  Safe to call from any thread.

    Args:
        redaction: the fields.
        at_hand: the items.

    Example:
        >>> item = Item(1, "a1", '{"key": "s3cret"}', 1, 0)
        >>> LineCleaner(Redaction(["key"]), lambda: [item])("using s3cret")
        'using [redacted]'
    """

    def __init__(self, redaction: Redaction, at_hand: Callable[[], Sequence[Item]]) -> None:
        self._redaction = redaction
        self._at_hand = at_hand
        self._known: dict[tuple[int, ...], Values] = {}
        self._ended: deque[Values] = deque(maxlen=ENDED)

    def ended(self, item: Item) -> None:
        """An item is no longer at hand."""
        self._ended.append(self._known.get(_key(item)) or self._redaction.values(*item.payloads))

    def __call__(self, text: str) -> str:
        known = self._known
        now: dict[tuple[int, ...], Values] = {}
        for item in self._at_hand():
            key = _key(item)
            now[key] = known.get(key) or self._redaction.values(*item.payloads)
        self._known = now
        return without(text, [*now.values(), *self._ended])


def _key(item: Item) -> tuple[int, ...]:
    return item.seq, item.run, item.stage
