"""What an outcome keeps of a handler's result: in a file strict JSON text, in memory the result itself.

Beside what JSON has, these are stored in a documented form: dataclasses and attrs objects (as objects), pydantic ones
(as their ``model_dump(mode="json")`` makes them), datetime, date, time, Decimal, UUID and paths (as strings), an Enum
(as its value), tuples and sets (as arrays), numpy scalars (as numbers, times as strings).  Everything else, NaN and the
infinities are refused, with the path to the culprit; or the latter are stored as null, where the user says so.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable
from typing import Any, Final

from batchq.engine.plain import fields_of, plain
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


def storing(fail_empty: bool = False, nan_as_null: bool = False) -> Callable[[Any], str]:
    """What makes results storable, see `to_json`.

    Args:
        fail_empty: as in `keeping`.
        nan_as_null: NaN and the infinities are stored as null.

    Example:
        >>> storing(nan_as_null=True)({"share": float("nan")})
        '{"share": null}'
    """
    encode = to_json_without_nan if nan_as_null else to_json
    return (lambda value: encode(_full(value))) if fail_empty else encode


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
        return json.dumps(value, allow_nan=False, default=_default)
    except (TypeError, ValueError, RecursionError, UnserializableResult) as error:
        raise _culprit(value, "$", 0) or UnserializableResult("$", type(value).__name__, str(error)) from error
    return text


def to_json_without_nan(value: Any) -> str:
    """As `to_json`, with null in the place of NaN and the infinities."""
    try:
        return to_json(value)
    except UnserializableResult as refused:
        try:
            finite = _without_nan(value, 0)
        except RecursionError:  # it may contain itself, which would take for ever to copy
            raise refused from None
        return to_json(finite)


def _without_nan(value: Any, depth: int) -> Any:
    """`value` with None for each number that JSON does not have; what is no plain data otherwise stays as it is."""
    if depth > DEEPEST:
        raise RecursionError
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(member, depth + 1) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(member, depth + 1) for member in value]
    try:
        known = plain(value)
    except Exception:  # whatever a user's type raises while it is taken apart: `to_json` tells it
        return value
    return _without_nan(known, depth + 1)


def _unfinished(value: Any, path: str) -> UnserializableResult:
    if type(value) is types.CoroutineType:
        value.close()  # so that Python does not warn of it as well
    return UnserializableResult(path, type(value).__name__, UNFINISHED[type(value)])


def _default(value: Any) -> Any:
    if type(value) in UNFINISHED:
        raise _unfinished(value, "$")
    return plain(value)


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_default).encode


def _culprit(value: Any, path: str, depth: int) -> UnserializableResult | None:
    """The first part of `value` that JSON cannot hold."""
    if depth > DEEPEST:
        return UnserializableResult(path, type(value).__name__, "it is nested too deeply, or contains itself")
    if value is None or isinstance(value, (str, bool)):
        return None
    if isinstance(value, int):
        return _too_long(value, path)
    if isinstance(value, float):
        return None if math.isfinite(value) else UnserializableResult(path, "float", f"{value} is not JSON")
    if isinstance(value, (dict, list, tuple)):
        return _culprit_among(value, path, depth)
    if type(value) in UNFINISHED:
        return _unfinished(value, path)
    try:
        return _culprit(plain(value), path, depth + 1)
    except Exception as error:  # whatever a user's type raises while it is taken apart
        fields = fields_of(value)
        inner = _culprit(fields, path, depth + 1) if fields else None
        return inner or UnserializableResult(path, type(value).__name__, str(error))


def _too_long(value: int, path: str) -> UnserializableResult | None:
    try:
        int.__repr__(value)
    except ValueError as error:  # Python's limit of digits
        return UnserializableResult(path, "int", str(error))
    return None


def _culprit_among(
    value: dict[Any, Any] | list[Any] | tuple[Any, ...], path: str, depth: int
) -> UnserializableResult | None:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, (str, int, float, bool, type(None))):
                return UnserializableResult(f"{path} key {key!r}", type(key).__name__, "keys must be strings")
            if isinstance(key, float) and not math.isfinite(key):
                return UnserializableResult(f"{path} key {key!r}", "float", f"{key} is not JSON")
        members = [(f"{path}.{key}", member) for key, member in value.items()]
    else:
        members = [(f"{path}[{index}]", member) for index, member in enumerate(value)]
    for place, member in members:
        found = _culprit(member, place, depth + 1)
        if found:
            return found
    return None
