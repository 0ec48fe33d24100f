"""Which failed items are to run again."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from batchq.app.items import place_of
from batchq.errors import ConfigError
from batchq.store.rows import ResultRow


def chosen(error: str | None, items: Collection[str], count: int) -> Callable[[ResultRow], bool]:
    """What tells whether a failed item is to run again.

    Args:
        error: a regular expression that the error, written as ``type: text``, has to contain; None for any.
        items: ids, or positions in the input as ``#12``; empty for all.
        count: items of the batch; ``#12`` is an id where there is no twelfth item.

    Raises:
        ConfigError: `error` is no regular expression.

    Example:
        >>> is_chosen = chosen("^KeyError", ["#2"], 3)
    """
    try:
        pattern = re.compile(error or "")
    except re.error as wrong:
        raise ConfigError("error", error, f"a regular expression ({wrong})") from wrong
    ids = {str(item) for item in items}
    places = {place: name for name in ids if (place := place_of(name, "#")) is not None and 1 <= place <= count}
    ids -= set(places.values())

    def is_chosen(row: ResultRow) -> bool:
        named = not items or row.seq in places or str(row.item_id) in ids
        return named and pattern.search(f"{row.error_type}: {row.error}") is not None

    return is_chosen
