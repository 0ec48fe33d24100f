"""What a caller has sent, checked against the description of the call: what is wrong is named, with what it should be.

The rules are those of `openapi.document`, applied by the jsonschema library, so that what is described and what is
accepted cannot come apart; only its messages, written for the authors of schemas, are said anew here.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from starlette.requests import Request

from batchq.server.api.openapi import Json, operation
from batchq.server.problems import Problem

NAMES: Final = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
FREE: Final = frozenset({"items"})
"""Fields that hold what the user's function gets: any JSON will do."""
BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}
SHOWN: Final = 60
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?")
_NOT_TEXT: Final = re.compile("[\0\ud800-\udfff]")


def query_of(request: Request, name: str) -> dict[str, Any]:
    """The parameters of a call's query, each of its type; a list is a tuple.

    Args:
        request: the call.
        name: its ``operationId``.

    Raises:
        Problem: 422 where one is not known, is there twice, or has no such value; names it.

    Example:
        asked = query_of(request, "list_batches")
        limit = asked.get("limit", 50)
    """
    return query(request.query_params.multi_items(), name)


def query(given: Collection[tuple[str, str]], name: str) -> dict[str, Any]:
    """The same of pairs of names and texts.

    Example:
        >>> query([("limit", "5"), ("state", "failed"), ("state", "paused")], "list_batches")
        {'limit': 5, 'state': ('failed', 'paused')}
    """
    known = _parameters(name)
    found: dict[str, Any] = {}
    for key, text in given:
        if key not in known:
            raise _unknown([key], known)
        schema = known[key]["schema"]
        if schema.get("type") == "array":
            found.setdefault(key, []).append(_converted(key, text, schema["items"]))
        elif key in found:
            raise Problem(422, f"{key} is there twice")
        else:
            found[key] = _converted(key, text, schema)
    missing = [key for key, each in known.items() if each.get("required") and key not in found]
    if missing:
        raise Problem(422, f"{missing[0]} is missing")
    for key, value in found.items():
        _check(value, known[key]["schema"], key)
    return _with_tuples(found)


def body(value: Json, name: str) -> dict[str, Any]:
    """The fields of a call's body; one that is null is as one that is not there, and a list is a tuple.

    Args:
        value: the JSON object.
        name: the ``operationId`` of the call.

    Raises:
        Problem: 422, as `query_of`.

    Example:
        >>> body({"rate": ["600/m"], "deadline": None}, "change")
        {'rate': ('600/m',)}
    """
    schema = operation(name)["requestBody"]["content"]["application/json"]["schema"]
    _check(value, schema, "")
    return _with_tuples({key: each for key, each in value.items() if each is not None})


@cache
def _parameters(name: str) -> dict[str, Json]:
    return {each["name"]: each for each in operation(name).get("parameters", ()) if each["in"] == "query"}


def _converted(key: str, text: str, schema: Json) -> Any:
    kind = schema.get("type", "string")
    if kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "number" and _NUMBER.fullmatch(text):
        return float(text)
    if kind == "boolean" and text in BOOLEANS:
        return BOOLEANS[text]
    if kind != "string":
        raise _wrong(key, text, schema)
    return text


def _check(value: Any, schema: Json, field: str) -> None:
    error = next(Draft202012Validator(schema).iter_errors(value), None)  # of a long list the first one says enough
    if error is not None:
        raise _said(error, field)
    for place, text in _texts(value, field):
        if _NOT_TEXT.search(text):
            raise Problem(422, f"{place or 'the body'} has a character in it that no text can have")


def _texts(value: Any, field: str) -> Iterable[tuple[str, str]]:
    """Every text in a value, which has but a few levels once it fits its schema."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, field)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key not in FREE:
                yield from _texts(each, key)


def _said(error: ValidationError, field: str) -> Problem:
    place = ".".join([*([field] if field else []), *(str(each) for each in error.absolute_path)])
    schema: Json = error.schema  # type: ignore[assignment]
    value: Any = error.instance
    if error.validator == "additionalProperties":
        known = schema["properties"]
        return _unknown([key for key in value if key not in known], known)
    if error.validator == "required":
        return Problem(422, f"{next(key for key in schema['required'] if key not in value)} is missing")
    if error.validator == "oneOf":
        return Problem(422, "say either " + " or ".join(each["required"][0] for each in schema["oneOf"]))
    return _wrong(place or "the body", value, schema)


def _unknown(keys: Collection[str], known: Collection[str]) -> Problem:
    key = min(keys)
    near = difflib.get_close_matches(key[:100], known, 1)
    hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}." if known else "It takes none."
    return Problem(422, f"{repr(key)[:SHOWN]} is not known here", hint)


def _wrong(place: str, value: Any, schema: Json) -> Problem:
    return Problem(422, f"{place} must be {words(schema)}, not {_shown(value)}")


def words(schema: Json) -> str:
    """What a value should be.

    Example:
        >>> words({"type": ["integer", "null"], "minimum": 1})
        'a whole number from 1'
        >>> words({"enum": ["normal", "full"]})
        "'normal' or 'full'"
    """
    if "enum" in schema:
        return " or ".join(repr(each) for each in schema["enum"] if each is not None)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else [kind for kind in kinds if kind != "null"]
    said = " or ".join(NAMES[kind] for kind in kinds)
    if "pattern" in schema:
        return str(schema.get("description", f"{said} of another form"))
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None:
        said += f" from {least:,}" + (f" to {most:,}" if most is not None else "")
    if kinds == ["array"]:
        return said + _count(schema.get("minItems", 0), schema.get("maxItems"), "entries")
    return said + _count(schema.get("minLength", 0), schema.get("maxLength"), "characters")


def _count(least: int, most: int | None, what: str) -> str:
    if most is None:
        return f" of {least:,} {what} or more" if least else ""
    return f" of {least:,} to {most:,} {what}"


def _shown(value: Any) -> str:
    """A value for a message: a short one as JSON."""
    if isinstance(value, (dict, list)):
        return f"{NAMES['object' if isinstance(value, dict) else 'array']} of {len(value):,}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 100:
        return "a number of so many digits"
    text = json.dumps(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + '…"'


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(each) if isinstance(each, list) and key not in FREE else each for key, each in values.items()}
