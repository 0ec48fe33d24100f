"""What hiding fields (``--redact``) means for the input: no item is called by what may not be shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from batchq.inputs.fields import look_up
from batchq.inputs.values import item_id_of
from batchq.model import Record
from batchq.redaction import REDACTED, Redaction


class Hiding:
    """Looks through the records of one input.

    Args:
        fields: names and paths of what may not be shown.
        id_field: the field that ids are taken from; None for the usual ones.
    """

    def __init__(self, fields: Iterable[str], id_field: str | None = None) -> None:
        self._id_field = id_field
        self._redaction = Redaction(fields)
        self.unseen = set(self._redaction.fields)
        """Those of the fields that no record has had: mistyped, most likely."""

    def nameless(self, records: Iterator[Record | None]) -> Iterator[Record | None]:
        """The records; one whose id may not be shown is called by its place instead.

        Example:
            >>> record = Record('{"id": "ann@example.org"}', "ann@example.org", 1, 25, 2)
            >>> [each.item_id for each in Hiding(["id"]).nameless(iter([record]))]
            [None]
        """
        for record in records:
            if record is None:
                yield None
            elif record.error is not None:
                yield record._replace(item_id=None)  # nobody knows which part of it that is
            else:
                yield record._replace(item_id=None) if self._hides_id(record) else record

    def _hides_id(self, record: Record) -> bool:
        value = json.loads(record.payload)
        self.unseen -= self._redaction.found_in(value)
        if record.item_id is None:
            return False
        if self._id_field is None:
            return item_id_of(self._redaction.hide(value)) == REDACTED
        # The item may have been left without that field.
        alone: Any = record.item_id
        for name in reversed(self._id_field.split(".")):
            alone = [None] * int(name) + [alone] if name.isdecimal() and len(name) < 4 else {name: alone}
        return bool(look_up(self._redaction.hide(alone), self._id_field) != record.item_id)
