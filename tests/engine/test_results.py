"""What is stored of a handler's result: the documented form of each type, and the path to what has none."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import threading
import uuid
from collections import namedtuple
from typing import Any

import attrs
import numpy as np
import pydantic
import pytest
from pydantic import v1 as pydantic_1

from batchq import BatchConfig
from batchq.engine.results import storing, to_json
from batchq.errors import ConfigError, UnserializableResult

AN_ID = uuid.UUID(int=7)
A_DAY = dt.date(2024, 2, 29)


class Colour(enum.Enum):
    RED = "red"
    BORN = A_DAY


class Price(decimal.Decimal, enum.Enum):
    LOW = "1.50"


class Level(enum.IntEnum):
    HIGH = 3


Point = namedtuple("Point", "x y")  # noqa: PYI024 - what users return


@dataclasses.dataclass
class Client:
    name: str
    lock: Any = None


@attrs.define
class Order:
    number: int
    day: dt.date


class Title(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    text: str
    price: decimal.Decimal = decimal.Decimal("1.10")
    share: float = 0.5
    lock: Any = None


class Names(pydantic.RootModel[list[str]]):
    pass


class OldTitle(pydantic_1.BaseModel):
    text: str
    day: dt.date


FORMS = {
    "dataclass": (Client("a"), {"name": "a", "lock": None}),
    "attrs": (Order(1, A_DAY), {"number": 1, "day": "2024-02-29"}),
    "pydantic": (Title(text="t"), {"text": "t", "price": "1.10", "share": 0.5, "lock": None}),
    "pydantic root": (Names(["a", "b"]), ["a", "b"]),
    "pydantic 1": (OldTitle(text="t", day=A_DAY), {"text": "t", "day": "2024-02-29"}),
    "datetime": (dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.timezone.utc), "2024-02-29T12:30:00+00:00"),
    "date": (A_DAY, "2024-02-29"),
    "time": (dt.time(12, 30), "12:30:00"),
    "Decimal": (decimal.Decimal("1.10"), "1.10"),
    "UUID": (AN_ID, str(AN_ID)),
    "Enum": (Colour.RED, "red"),
    "Enum of a date": (Colour.BORN, "2024-02-29"),
    "Enum that is a Decimal": (Price.LOW, "1.50"),
    "IntEnum": (Level.HIGH, 3),
    "Path": (pathlib.PurePosixPath("a/b"), "a/b"),
    "tuple": ((1, (2, 3)), [1, [2, 3]]),
    "named tuple": (Point(1, 2), [1, 2]),
    "set": ({3, 1, 2}, [1, 2, 3]),
    "frozenset of dates": (frozenset([A_DAY]), ["2024-02-29"]),
    "numpy integer": (np.int64(5), 5),
    "numpy float": (np.float32(0.5), 0.5),
    "numpy long double": (np.longdouble(0.25), 0.25),
    "numpy bool": (np.bool_(True), True),
    "numpy text": (np.str_("a"), "a"),
    "numpy array of no dimensions": (np.array(5), 5),
    "numpy time": (np.datetime64("2024-02-29T12:30:00.000000001"), "2024-02-29T12:30:00.000000001"),
    "all together": (
        {"who": [Client("a", {Colour.RED})], "when": (A_DAY,)},
        {"who": [{"name": "a", "lock": ["red"]}], "when": ["2024-02-29"]},
    ),
}


@pytest.mark.parametrize("kind", FORMS)
def test_type_that_json_lacks_is_stored_in_its_documented_form(kind: str) -> None:
    result, form = FORMS[kind]
    assert json.loads(to_json(result)) == form
    assert json.loads(to_json({"deep": [result]})) == {"deep": [form]}


REFUSED = {
    "lock": (threading.Lock(), "", "lock"),
    "bytes": (b"\xff\x00", "", "bytes"),
    "function": (lambda: 0, "", "function"),
    "lock in a dataclass": (Client("a", threading.Lock()), ".lock", "lock"),
    "lock in a pydantic object": (Title(text="t", lock=threading.Lock()), ".lock", "lock"),
    "lock in an attrs object": (Order(threading.Lock(), A_DAY), ".number", "lock"),  # type: ignore[arg-type]
    "numpy array": (np.array([1, 2]), "", "ndarray"),
    "numpy duration": (np.timedelta64(5, "ns"), "", "timedelta64"),
    "complex": (1j, "", "complex"),
    "key of a tuple": ({(1, 2): 3}, " key (1, 2)", "tuple"),
    "integer beyond Python's limit of digits": (10**5000, "", "int"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_anything_else_is_refused_with_the_path_and_the_type(kind: str) -> None:
    result, path, type_name = REFUSED[kind]
    for store in (storing(), storing(nan_as_null=True)):
        with pytest.raises(UnserializableResult) as refused:
            store({"client": [1, result]})
        assert (refused.value.path, refused.value.type_name) == (f"$.client[1]{path}", type_name)


NOT_FINITE = {
    "nan": math.nan,
    "infinity": math.inf,
    "overflow": -1e308 * 10,
    "Decimal nan": decimal.Decimal("nan"),
    "Decimal signalling nan": decimal.Decimal("snan"),
    "Decimal infinity": decimal.Decimal("-inf"),
    "numpy nan": np.float64("nan"),
    "numpy half": np.float16("inf"),
    "numpy long double": np.longdouble("nan"),
    "numpy no time": np.datetime64("NaT", "ns"),
}


@pytest.mark.parametrize("kind", NOT_FINITE)
@pytest.mark.parametrize(
    "holder", [lambda v: {"share": v}, lambda v: Client("share", (v,)), lambda v: Order(1, {"share": v})]
)
def test_number_that_json_lacks_is_refused_with_the_path_or_stored_as_null(kind: str, holder: Any) -> None:
    result = [1.5, holder(NOT_FINITE[kind])]
    with pytest.raises(UnserializableResult, match=r"\$\[1\]\.(share|lock|day\.share)"):
        to_json(result)
    text = storing(nan_as_null=True)(result)
    stored = json.loads(text, parse_constant=pytest.fail)
    assert stored[0] == 1.5
    assert [value for value in stored[1].values() if value in (None, [None], {"share": None})]


def test_number_in_a_pydantic_object_too() -> None:
    result = {"title": Title(text="t", share=math.inf)}
    with pytest.raises(UnserializableResult, match=r"\$\.title\.share"):
        to_json(result)
    assert json.loads(storing(nan_as_null=True)(result))["title"]["share"] is None


def test_null_takes_no_other_numbers_place_and_says_nothing_of_keys() -> None:
    store = storing(nan_as_null=True)
    assert store({"v": -0.0, "w": [math.nan, 1]}) == '{"v": -0.0, "w": [null, 1]}'
    with pytest.raises(UnserializableResult, match=r"\$ key nan"):
        store({math.nan: 1})


def test_result_that_contains_itself_is_refused_at_once_though_it_holds_nan() -> None:
    result: dict[str, Any] = {"v": math.nan}
    result["a"] = result["b"] = result
    with pytest.raises(UnserializableResult):
        storing(nan_as_null=True)(result)


def test_another_answer_to_nan_is_refused() -> None:
    with pytest.raises(ConfigError, match="nan must be 'fail' or 'null', not 'zero'"):
        BatchConfig(nan="zero")


def test_nan_as_null_is_empty_only_where_everything_is() -> None:
    assert storing(fail_empty=True, nan_as_null=True)([math.nan]) == "[null]"
