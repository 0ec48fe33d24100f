"""An error of batchq in the words of a caller of the API; also how it crosses from a child to the server."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Final, TypedDict

from batchq.app.request import StartRequest
from batchq.errors import BatchqError

FIELDS: Final = frozenset(each.name for each in fields(StartRequest))


class Told(TypedDict):
    """An error, as JSON.

    Attributes:
        error: name of its class.
        detail: what is wrong.
        hint: what to do next; may be empty.
    """

    error: str
    detail: str
    hint: str


def told(error: BatchqError) -> Told:
    """An error for a caller, to whom an option is a field.

    Example:
        >>> from batchq.errors import ConfigError
        >>> told(ConfigError("--retry-delay", -1, "a number from 0"))["detail"]
        'retry_delay must be a number from 0, not -1'
    """
    return {"error": type(error).__name__, "detail": as_fields(str(error)), "hint": as_fields(error.hint)}


def as_fields(text: str) -> str:
    """A message in which the options of the command are fields of the API.

    Example:
        >>> as_fields("larger than 64M (--max-item-size raises that limit)")
        'larger than 64M (max_item_size raises that limit)'
    """
    if "batchq " in text:  # that is about the command
        return text

    def field(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        return name if name in FIELDS else found[0]

    return re.sub(r"--([a-z]+(?:-[a-z]+)*)", field, text)
