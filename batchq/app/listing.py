"""Items of a batch by pages, as programs are told of them: what has come of each, without its payload and result."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from batchq.app.status import status_of
from batchq.app.words import iso
from batchq.errors import ConfigError
from batchq.model import CANCELLED, EXPIRED, FAILED, RUNNING, SUCCESS
from batchq.store.home import BatchFolder
from batchq.store.listing import ERROR_LENGTH, PENDING, STATUSES, ListedRow, Sought, listing

LONGEST_TEXT: Final = 1000
"""Characters of a text that is searched for."""


class Page(NamedTuple):
    """Some items, and behind which ``seq`` the next ones are; None where these are the last."""

    items: list[dict[str, Any]]
    next: int | None


def list_items(
    folder: BatchFolder,
    status: str | None = None,
    error: str | None = None,
    text: str | None = None,
    after: int = 0,
    limit: int = 100,
) -> Page:
    """The next items of a batch, in the order of the input.

    A search that takes long answers with fewer items than `limit`, also with none, and says where to go on.  In a batch
    with fields that are not to be shown (``--redact``) payloads are not searched: what one finds tells what is there.

    Args:
        folder: the batch.
        status: ``success``, ``failed`` or ``pending`` (no outcome yet, those that run included); None for all.
        error: what ``type: text`` of their error has to contain.
        text: what their id, error or payload has to contain; ``#12`` is the item at that position.
        after: leave out the items up to this ``seq``.
        limit: so many at most.

    Raises:
        ConfigError: there is no such status, or a text is too long.
        StoreError: the batch's file cannot be read.
    """
    if status is not None and status not in STATUSES:
        raise ConfigError("status", status, " or ".join(STATUSES))
    for name, asked in (("error", error), ("q", text)):
        if asked is not None and len(asked) > LONGEST_TEXT:
            raise ConfigError(name, f"{asked[:20]}…", f"{LONGEST_TEXT} characters at most")
    now = status_of(folder)
    sought = Sought(status, error or None, text or None, not now.spec.redact)
    if text and text.startswith("#") and text[1:].isascii() and text[1:].isdecimal() and len(text) < 19:
        place = int(text[1:])
        sought, after = sought._replace(text=None, until=place), max(after, place - 1)
    idle = now.state if now.state in (CANCELLED, EXPIRED) else None
    with listing(folder.database) as reader:
        rows, following = reader.page(sought, after, limit)
    return Page([_shown(row, idle, now.holder is not None) for row in rows], following)


def _shown(row: ListedRow, idle: str | None, is_held: bool) -> dict[str, Any]:
    error = row.error
    if row.success is None:
        status = idle or (RUNNING if row.is_claimed and is_held else PENDING)
    else:
        status = SUCCESS if row.success else FAILED
    return {
        "seq": row.seq,
        "id": row.item_id,
        "line": row.line,
        "status": status,
        "error_type": row.error_type,
        "error": error if error is None or len(error) <= ERROR_LENGTH else f"{error[:ERROR_LENGTH]}…",
        "attempts": row.attempts,
        "duration": row.duration_us / 1e6,
        "ended_at": None if row.ended_ms is None else iso(row.ended_ms / 1000),
    }
