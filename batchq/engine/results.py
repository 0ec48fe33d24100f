"""What an outcome keeps of a handler's result: in a file strict JSON text, in memory the result itself.

Beside what JSON has, these are stored in a documented form: dataclasses, pydantic and attrs objects (as objects),
datetime, date, time, Decimal, UUID and paths (as strings), an Enum (as its value), tuples and sets (as arrays),
numpy scalars (as numbers).  Everything else, NaN and the infinities are refused, with the path to the culprit.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import types
import uuid
from collections.abc import Callable
from typing import Any, Final

from batchq.errors import EmptyResult, UnserializableResult

UNFINISHED: Final = {
    types.CoroutineType: "it was never awaited: write `await` before the call",
    types.GeneratorType: "it has not run yet: return a list of what it yields",
    types.AsyncGeneratorType: "it has not run yet: return a list of what it yields",
}
"""Results that are none, because nobody has run them, with what to do about it."""

DEEPEST: Final = 100
"""A culprit is looked for so far down: each level costs a few of the 1,000 calls that Python allows."""
_EMPTIABLE: Final = (str, bytes, list, tuple, dict, set, frozenset)


def keeping(fail_empty: bool = False) -> Callable[[Any], Any]:
    """What keeps results in memory, as they are.

    Args:
        fail_empty: an empty result fails its item.

    Example:
        >>> keeping()([1, 2])
        [1, 2]
    """
    return _full if fail_empty else keep


def storing(fail_empty: bool = False) -> Callable[[Any], str]:
    """What makes results storable, see `to_json`; `fail_empty` as in `keeping`."""
    return (lambda value: to_json(_full(value))) if fail_empty else to_json


def keep(value: Any) -> Any:
    """`value` itself; raises `UnserializableResult` for a coroutine or a generator in it, which is no result yet."""
    kind = type(value)
    if kind in UNFINISHED:
        raise _unfinished(value, "$")
    if kind is dict:
        for key, member in value.items():
            if type(member) in UNFINISHED:
                raise _unfinished(member, f"$.{key}")
    elif kind is list or kind is tuple:
        for index, member in enumerate(value):
            if type(member) in UNFINISHED:
                raise _unfinished(member, f"$[{index}]")
    return value


def _full(value: Any) -> Any:
    """`value` itself, unless it is None or an empty text, list or the like; 0 and False say something."""
    if value is None or (isinstance(value, _EMPTIABLE) and not value):
        raise EmptyResult(value)
    return keep(value)


def to_json(value: Any) -> str:
    """`value` as JSON text that any strict parser reads.

    Raises:
        UnserializableResult: JSON cannot hold it; names the path and the type of what it cannot.

    Example:
        >>> to_json({"title": "Ä", "tags": {"a"}})
        '{"title": "Ä", "tags": ["a"]}'
    """
    try:
        text = _encode(value)
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair has no UTF-8; escaped it is still JSON.
        return json.dumps(value, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError, UnserializableResult) as error:
        raise _culprit(value, "$", 0) or UnserializableResult("$", type(value).__name__, str(error)) from error
    return text


def _plain(value: Any) -> Any:
    """`value`, of a type that json does not know, in the terms of one that it knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID, pathlib.PurePath)):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=lambda member: (type(member).__name__, str(member)))
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    if hasattr(type(value), "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(type(value), "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in value.__attrs_attrs__}
    if type(value) in UNFINISHED:
        raise _unfinished(value, "$")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _unfinished(value: Any, path: str) -> UnserializableResult:
    if type(value) is types.CoroutineType:
        value.close()  # so that Python does not warn of it as well
    return UnserializableResult(path, type(value).__name__, UNFINISHED[type(value)])


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain).encode


def _culprit(value: Any, path: str, depth: int) -> UnserializableResult | None:
    """The first part of `value` that JSON cannot hold."""
    if depth > DEEPEST:
        return UnserializableResult(path, type(value).__name__, "it is nested too deeply, or contains itself")
    if value is None or isinstance(value, (str, bool, int)):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else UnserializableResult(path, "float", f"{value} is not JSON")
    if isinstance(value, (dict, list, tuple)):
        return _culprit_among(value, path, depth)
    if type(value) in UNFINISHED:
        return _unfinished(value, path)
    try:
        return _culprit(_plain(value), path, depth + 1)
    except Exception as error:  # whatever a user's type raises while it is taken apart
        return UnserializableResult(path, type(value).__name__, str(error))


def _culprit_among(
    value: dict[Any, Any] | list[Any] | tuple[Any, ...], path: str, depth: int
) -> UnserializableResult | None:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, (str, int, float, bool, type(None))):
                return UnserializableResult(f"{path} key {key!r}", type(key).__name__, "keys must be strings")
        members = [(f"{path}.{key}", member) for key, member in value.items()]
    else:
        members = [(f"{path}[{index}]", member) for index, member in enumerate(value)]
    for place, member in members:
        found = _culprit(member, place, depth + 1)
        if found:
            return found
    return None
