"""Takes out of what is logged the values that may not be shown (``--redact``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchq.model import Item
from batchq.redaction import Redaction, Values, without


class LineCleaner:
    """Called with a text, it answers with the text without the values that the items at hand have in certain fields.

    Of all items at hand, because what a handler has left running speaks on behalf of none.  Each payload is taken apart
    once, and only when something is logged while it is at hand.  Safe to call from any thread.

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
        self._known: dict[tuple[int, int], Values] = {}

    def __call__(self, text: str) -> str:
        known = self._known
        now: dict[tuple[int, int], Values] = {}
        for item in self._at_hand():
            key = (item.seq, item.run)
            now[key] = known.get(key) or self._redaction.values(item.payload)
        self._known = now
        return without(text, now.values())
