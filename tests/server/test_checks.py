"""What a caller sends is checked before anything is done with it, and what is wrong is named."""

from __future__ import annotations

from typing import Any

import pytest

from batchq.server.api import checks
from batchq.server.api.answers import _object
from batchq.server.problems import Problem


def refused(given: dict[str, Any]) -> str:
    with pytest.raises(Problem) as raised:
        checks.body({"func": "a:b", "items": [1], **given}, "create")
    assert raised.value.status == 422
    return f"{raised.value.detail}. {raised.value.hint}"


@pytest.mark.parametrize(
    "given, said",
    [
        ({"concurrency": "5"}, 'concurrency must be a whole number from 1 to 100,000, not "5"'),
        ({"concurrency": True}, "concurrency must be a whole number from 1 to 100,000, not true"),
        ({"concurrency": 10**400}, "concurrency must be a whole number"),
        ({"timeout": -1}, "timeout must be a number from 0"),
        ({"timeout": {"s": 1}}, "timeout must be a number from 0"),
        ({"rate": "600/m"}, "rate must be a list"),
        ({"rate": ["600/m", 7]}, "rate.1 must be a text"),
        ({"durability": "best"}, "durability must be 'normal' or 'full', not \"best\""),
        ({"batch_id": "../up"}, "batch_id must be 1 to 100 letters"),
        ({"func": "a:\0b"}, "func has a character"),
        ({"where": "a == '\ud800'"}, "where has a character"),
        ({"concurency": 5}, "'concurency' is not known here. Did you mean concurrency?"),
        ({"items": []}, "items must be a list of 1"),
        ({"items": "abc"}, "items must be a list"),
        ({"path": "a.csv"}, "say either items or path"),
        ({"func": ""}, "func must be a text of 1 to 1,000 characters"),
        ({"priority": 1.5}, "priority must be a whole number"),
    ],
)
def test_a_field_that_cannot_be_used_is_named_with_what_it_should_be(given: dict[str, Any], said: str) -> None:
    assert said in refused(given)


@pytest.mark.parametrize(
    "given, said",
    [
        ([("limit", "\u0663")], "limit must be a whole number from 1 to 500"),
        ([("limit", "1e1")], "limit must be"),
        ([("limit", " 5")], "limit must be"),
        ([("limit", "9" * 5000)], "limit must be"),
        ([("limit", "1"), ("limit", "2")], "limit is there twice"),
        ([("state", "paused"), ("state", "asleep")], "state.1 must be"),
        ([("q", "a\0")], "q has a character"),
        ([("nosuch", "1")], "'nosuch' is not known here"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(given: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(Problem) as raised:
        checks.query(given, "list_batches")
    assert raised.value.status == 422 and said in raised.value.detail


def test_parameters_of_an_upload_have_their_types() -> None:
    given = [("func", "a:b"), ("rate", "600/m"), ("rate", "tokens=5/s"), ("csv_types", "true"), ("timeout", "1.5")]
    assert checks.query([*given, ("limit", "3"), ("halt", "20%")], "upload") == {
        "func": "a:b",
        "rate": ("600/m", "tokens=5/s"),
        "csv_types": True,
        "timeout": 1.5,
        "limit": 3,
        "halt": "20%",
    }


def test_null_is_as_good_as_nothing_where_nothing_is_the_default() -> None:
    assert checks.body({"func": "a:b", "items": [None], "limit": None}, "create") == {"func": "a:b", "items": [None]}


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' * 10_000 + b"1" + b"}" * 10_000,
        b"[" * 100_000,
    ],
    ids=lambda raw: str(raw[:12]),
)
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(Problem) as raised:
        _object(raw)
    assert raised.value.status == 400
