"""Structured output: answers that have to fit a JSON schema, and what a model is told whose answer does not."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from batchq.errors import UsageError
from batchq.inputs.values import DECODER

INSTALL: Final = "pip install 'batchq[llm]'"
COMPLAINT_CHARS: Final = 500
"""Of what is wrong: the validator quotes the value, however large."""
NAME: Final = "answer"
_BY_NAME: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
"""Keywords that hold schemas by names of the user's, which are no keywords."""
_VALUES: Final = frozenset({"const", "enum", "default", "examples"})
"""Keywords that hold values, which are no schemas whatever they look like."""
_FENCED: Final = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL | re.IGNORECASE)


class Schema:
    """A JSON schema.

    Args:
        schema: it.
        name: of the option or the file, for errors.

    Raises:
        UsageError: it is no JSON schema, or the library that checks it is not installed.

    Example:
        >>> Schema({"type": "object", "required": ["title"]}).read('{"titel": 1}')
        (None, "$: 'title' is a required property")
    """

    def __init__(self, schema: Any, name: str = "--schema") -> None:
        if importlib.util.find_spec("jsonschema") is None:
            raise UsageError(f"{name} needs a library that is not installed", f"Install it: {INSTALL}")
        from jsonschema.exceptions import SchemaError, best_match
        from jsonschema.validators import Draft202012Validator, validator_for

        if not isinstance(schema, dict):
            raise UsageError(f"{name}: this is no JSON schema: it must be an object")
        if (elsewhere := _reference_elsewhere(schema)) is not None:
            raise UsageError(f"{name}: {elsewhere!r} is not in this schema", "Put it under $defs.")
        kind = validator_for(schema, Draft202012Validator)
        try:
            kind.check_schema(schema)
        except SchemaError as error:
            raise UsageError(f"{name}: this is no JSON schema: {_place(error)}: {error.message}") from None
        if (nowhere := _reference_to_nowhere(schema)) is not None:
            raise UsageError(f"{name}: {nowhere!r} is not in this schema", "Put it under $defs.")
        self._validator = kind(schema)
        try:
            best_match(self._validator.iter_errors({}))
        except RecursionError:
            raise UsageError(f"{name}: this is no JSON schema: a $ref of it leads back to itself") from None
        title = str(schema.get("title", NAME))
        self.response_format = {
            "type": "json_schema",
            "json_schema": {
                "name": re.sub(r"[^A-Za-z0-9_-]+", "_", title)[:64] or NAME,
                "schema": schema,
                "strict": can_be_strict(schema),
            },
        }
        """What a request says of it."""

    def read(self, text: str) -> tuple[Any, str | None]:
        """The value of an answer, and what is wrong with it; None for nothing."""
        fenced = _FENCED.fullmatch(text)
        try:
            value = DECODER.decode(fenced[1] if fenced else text)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            return None, f"it is not JSON: {reason}"
        from jsonschema.exceptions import best_match

        try:
            misfit = best_match(self._validator.iter_errors(value))
        except RecursionError:
            return None, "it is nested too deeply"
        if misfit is None:
            return value, None
        return None, f"{_place(misfit)}: {misfit.message}"[:COMPLAINT_CHARS]


def can_be_strict(schema: Any) -> bool:
    """Whether a provider can hold the model to it: each object names all it has, requires that, and allows no more.

    Example:
        >>> can_be_strict({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False})
        True
        >>> can_be_strict({"type": "object", "properties": {"a": {}}})
        False
    """
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        names = set(schema.get("properties", {}))
        if schema.get("additionalProperties") is not False or names != set(schema.get("required", ())):
            return False
    return all(map(can_be_strict, _within(schema)))


def _within(schema: Mapping[str, Any]) -> list[Any]:
    """The schemas that one has in it, directly."""
    found: list[Any] = []
    for keyword, value in schema.items():
        if keyword in _BY_NAME and isinstance(value, Mapping):
            found += value.values()
        elif keyword not in _VALUES:
            found += value if isinstance(value, list) else [value]
    return found


def _reference_elsewhere(schema: Any) -> str | None:
    """A reference that leads out of the schema: nobody looks that up."""
    if not isinstance(schema, Mapping):
        return None
    reference = schema.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#"):
        return reference
    return next(filter(None, map(_reference_elsewhere, _within(schema))), None)


def _reference_to_nowhere(schema: Mapping[str, Any]) -> str | None:
    """A reference to what the schema does not have: each answer would be paid, and none could be checked."""
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    resolver = Registry().resolver_with_root(Resource.from_contents(schema, DRAFT202012))
    left: list[Any] = [schema]
    while left:
        here = left.pop()
        if isinstance(here, Mapping) and (here is schema or "$id" not in here):  # else it means another root
            if isinstance(reference := here.get("$ref"), str):
                try:
                    resolver.lookup(reference)
                except Unresolvable:
                    return reference
            left.extend(_within(here))
    return None


def _place(error: Any) -> str:
    place: str = error.json_path
    return place
