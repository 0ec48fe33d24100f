"""The description of the API: whole, in step with the code, and kept by a real server whatever it is asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, fields

import pytest
from served import Served
from starlette.routing import BaseRoute, Mount, Route

from batchq.app.limits import Changes
from batchq.app.request import StartRequest
from batchq.server.api.creation import OWNERS, SAID_OTHERWISE
from batchq.server.api.openapi import document, operations
from batchq.server.http import routes

pytestmark = pytest.mark.slow

EXAMPLES = 1
"""Right calls, and as many wrong ones, of each operation; `scripts/fuzz-api` makes as many as one likes."""


def answered(found: Iterable[BaseRoute], above: str = "") -> set[tuple[str, str]]:
    calls: set[tuple[str, str]] = set()
    for route in found:
        if isinstance(route, Mount):
            calls |= answered(route.routes, above + route.path)
        elif isinstance(route, Route):
            path = (above + route.path).replace(":path}", "}")
            calls |= {(method, path) for method in route.methods or () if method != "HEAD"}
    return calls


def test_every_call_is_described_and_nothing_else_is() -> None:
    assert answered(routes()) == set(operations(document()))


def test_every_option_of_start_can_be_given_or_is_the_owners() -> None:
    schemas = document()["components"]["schemas"]
    described = {**schemas["InputOptions"]["properties"], **schemas["RunOptions"]["properties"]}
    options = {each.name: each for each in fields(StartRequest) if each.name not in SAID_OTHERWISE | set(OWNERS)}
    assert set(described) == set(options)
    for name, schema in described.items():
        default = options[name].default
        assert default is not MISSING
        shown = schema.get("default", [])
        assert (tuple(shown) if isinstance(shown, list) else shown) == default, name


def test_every_limit_can_be_changed() -> None:
    described = document()["components"]["schemas"]["Changes"]["properties"]
    assert set(described) == {*(each.name for each in fields(Changes)), "priority"}


def test_answers_of_a_server_are_as_described_and_none_is_its_fault(server: Served) -> None:
    from fuzzed import Fuzzer  # schemathesis takes a second to load

    fuzzer = Fuzzer(server, "pipe:title", first=1)
    ids = [server.create("pipe:title", [1, 2]), server.create("pipe:fails", [{"n": 1}])]
    for operation in fuzzer.operations:
        fuzzer.run(operation, EXAMPLES, ids)
    assert fuzzer.answers[200] > 10 and fuzzer.answers[422] > 2, fuzzer.answers
    assert not [status for status in fuzzer.answers if status >= 500]
