"""The description of the API, put together from the parts in ``api/``: what is not in it is not answered.

A part is a piece of an OpenAPI 3.1 document.  Four words in it, which the document does not have, save repetition:

    x-properties-of   of a schema: the properties of these schemas, too
    x-parameters-of   of a call: each of their properties as a parameter of the query
    x-problems        of a call: statuses with a problem as their answer; of the document: what each of them means
    x-always          of the document: those of every call that needs a token
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

PARTS: Final = Path(__file__).with_name("descriptions")
METHODS: Final = frozenset({"get", "put", "post", "delete", "patch"})

Json = dict[str, Any]


async def get_openapi(_: Request) -> Response:
    """GET /api/v1/openapi.json."""
    return Response(json.dumps(document(), indent=1), media_type="application/json")


@cache
def document() -> Json:
    """The whole document; do not change it.

    Example:
        >>> document()["openapi"]
        '3.1.0'
    """
    whole: Json = {}
    for part in sorted(PARTS.glob("*.json")):
        _merge(whole, json.loads(part.read_text(encoding="utf-8")))
    schemas, meanings, always = whole["components"]["schemas"], whole.pop("x-problems"), whole.pop("x-always")
    whole["components"]["responses"] |= {
        code: {
            "description": meaning,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for code, meaning in meanings.items()
    }
    for schema in schemas.values():
        for name in schema.pop("x-properties-of", ()):
            schema["properties"] |= schemas[name]["properties"]
    for operation in operations(whole).values():
        problems = operation.pop("x-problems", [])
        for code in {*problems, *(always if operation.get("security") != [] else ())}:
            operation["responses"][code] = {"$ref": f"#/components/responses/{code}"}
        operation["responses"] = dict(sorted(operation["responses"].items()))
        for name in operation.pop("x-parameters-of", ()):
            operation["parameters"] += [_parameter(*each) for each in schemas[name]["properties"].items()]
    return whole


def operations(described: Json) -> dict[tuple[str, str], Json]:
    """Each call of a document, by its method and its path."""
    return {
        (method.upper(), path): operation
        for path, item in described["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


@cache
def operation(name: str) -> Json:
    """The call of that ``operationId``, with everything that it refers to put in place."""
    described = document()
    found = next(each for each in operations(described).values() if each["operationId"] == name)
    resolved: Json = _resolved(found, described)
    return resolved


def _merge(whole: Json, part: Mapping[str, Any]) -> None:
    for key, value in part.items():
        if isinstance(value, dict) and isinstance(whole.get(key), dict):
            _merge(whole[key], value)
        else:
            assert key not in whole, f"{key} is described twice"
            whole[key] = value


def _parameter(name: str, schema: Json) -> Json:
    """A property as a parameter; one that is null is left out there."""
    schema = dict(schema)
    description = schema.pop("description")
    if isinstance(schema.get("type"), list):
        schema["type"] = next(each for each in schema["type"] if each != "null")
    if "enum" in schema:
        schema["enum"] = [each for each in schema["enum"] if each is not None]
    if schema.get("default", "") is None:
        del schema["default"]
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _resolved(value: Any, described: Json) -> Any:
    if isinstance(value, list):
        return [_resolved(each, described) for each in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        found: Any = described
        for key in value["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        value = {**found, **{key: each for key, each in value.items() if key != "$ref"}}
    return {key: _resolved(each, described) for key, each in value.items()}
