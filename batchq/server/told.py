"""An error of batchq in the words of a caller of the API; also how it crosses from a child to the server."""

from __future__ import annotations

from typing import TypedDict

from batchq.app.wording import as_calls, as_fields
from batchq.errors import BatchqError


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
    """An error for a caller, to whom an option is a field, and a command is a call.

    Example:
        >>> from batchq.errors import ConfigError
        >>> told(ConfigError("--retry-delay", -1, "a number from 0"))["detail"]
        'retry_delay must be a number from 0, not -1'
    """
    return {"error": type(error).__name__, "detail": as_fields(str(error)), "hint": as_calls(error.hint)}
