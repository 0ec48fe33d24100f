"""JSON values of an input, and what an item takes from them."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

JSON_SPACE: Final = " \t\r\n"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
LENIENT: Final = json.JSONDecoder(parse_constant=str, parse_int=str)
"""Finds the end of a value that `DECODER` refuses for something else than its grammar."""


def json_text(value: Any) -> str:
    """`value` as strict JSON text that can be stored; raises ValueError where a number is too large for that."""
    text = _encode(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half a surrogate pair has no UTF-8; escaped it is still JSON
            return json.dumps(value, allow_nan=False)
    return text


_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def told(error: Exception) -> tuple[int | None, str]:
    """Column and reason of a value that cannot be parsed."""
    if isinstance(error, json.JSONDecodeError):
        return error.colno, f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
    if isinstance(error, RecursionError):
        return None, f"not readable: it is nested too deeply, and Python reads some {sys.getrecursionlimit():,} levels"
    return None, f"not readable: {error}"


def item_id_of(value: Any) -> str | int | None:
    """The id of a record: its ``id``, ``idea_id`` or ``custom_id``."""
    if type(value) is not dict:
        return None
    found = value.get("id")
    if found is None:
        found = value.get("idea_id")
        if found is None:
            found = value.get("custom_id")
    return item_id_in(found)


def item_id_in(found: Any) -> str | int | None:
    """The id that a value of a field makes, as it can be stored; None where it makes none."""
    if type(found) is str:
        return found.encode("utf-8", "backslashreplace").decode() if not found.isascii() else found or None
    if type(found) is int:
        return found if -(2**63) <= found < 2**63 else str(found)
    return None if found is None or isinstance(found, (dict, list)) else str(found)
