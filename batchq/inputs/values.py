"""JSON values of an input, and what an item takes from them."""

from __future__ import annotations

import json
from typing import Any, Final

JSON_SPACE: Final = " \t\r\n"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
LENIENT: Final = json.JSONDecoder(parse_constant=str, parse_int=str)
"""Finds the end of a value that `DECODER` refuses for something else than its grammar."""


def told(error: Exception) -> tuple[int | None, str]:
    """Column and reason of a value that cannot be parsed."""
    if isinstance(error, json.JSONDecodeError):
        return error.colno, f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
    if isinstance(error, RecursionError):
        return None, "not readable: it is nested too deeply"
    return None, f"not readable: {error}"


def item_id_of(value: Any) -> str | int | None:
    if type(value) is not dict:
        return None
    found = value.get("id")
    if found is None:
        found = value.get("idea_id")
        if found is None:
            found = value.get("custom_id")
    if type(found) is str:
        return found.encode("utf-8", "backslashreplace").decode() if not found.isascii() else found or None
    if type(found) is int:
        return found if -(2**63) <= found < 2**63 else str(found)
    return None if found is None or isinstance(found, (dict, list)) else str(found)
