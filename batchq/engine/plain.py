"""The documented forms in which values are stored that JSON does not have.

The libraries of these values are never imported here: who returns one has done that.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal


def plain(value: Any) -> Any:
    """`value`, of a type that json does not know, in the terms of types that it knows, or that this function knows.

    Raises:
        TypeError: its type has no such form.
        Exception: whatever taking it apart raises.

    Example:
        >>> plain(dt.date(2024, 2, 29)), plain({3, 1})
        ('2024-02-29', [1, 3])
    """
    import decimal
    import uuid

    if isinstance(value, enum.Enum):  # first: it may be a Decimal or a date as well
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value) if value.is_finite() else _not_finite(value)
    if isinstance(value, (uuid.UUID, pathlib.PurePath)):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=lambda member: (type(member).__name__, str(member)))
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        return _scalar(value)
    if hasattr(type(value), "model_dump"):  # pydantic's own serializers and settings hold
        return value.model_dump(mode="json")
    fields = fields_of(value)
    if fields is None:
        raise TypeError(f"{type(value).__name__} has no JSON form")
    return fields


def fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of a pydantic or attrs object by name, as they are; None of anything else.

    Example:
        >>> fields_of("text") is None
        True
    """
    if hasattr(type(value), "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in value.__attrs_attrs__}
    if hasattr(type(value), "model_dump") or hasattr(type(value), "__fields_set__"):  # pydantic 2, and 1
        return dict(value)
    return None


def _not_finite(value: Decimal) -> float:
    return math.nan if value.is_nan() else float(value)


def _scalar(value: Any) -> Any:
    """A numpy scalar, or an array of no dimensions."""
    kind = value.dtype.kind
    if kind == "f":
        return float(value)  # a long double is its own `item`
    if kind in "biuU":
        return value.item()
    if kind == "M":
        # As text, since `item` of nanoseconds is a bare number, and of a missing time None.
        text = str(value)
        return math.nan if text == "NaT" else text
    raise TypeError(f"numpy's {value.dtype} has no JSON form")
