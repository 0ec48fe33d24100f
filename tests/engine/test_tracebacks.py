"""Tracebacks read as Python's own do, whatever the exception."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

import pytest

from batchq.engine.tracebacks import format_error


class Silent(Exception):
    """Says nothing of itself."""

    def __str__(self) -> str:
        return ""


def plain(depth: int = 2) -> None:
    if depth:
        return plain(depth - 1)
    raise ValueError("bad", depth)


def deep() -> None:
    plain(900)


def caused() -> None:
    try:
        plain()
    except ValueError as error:
        raise ConnectionError("down") from error


def caused_twice() -> None:
    try:
        caused()
    except ConnectionError as error:
        raise RuntimeError("gave up") from error


def in_context() -> None:
    try:
        plain(1)
    except ValueError:
        {}["key"]


def suppressed() -> None:
    try:
        plain(1)
    except ValueError:
        raise KeyError("key") from None


def noted() -> None:
    error = ValueError("two\nlines")
    if hasattr(error, "add_note"):
        error.add_note("item 7")
    raise error


def circular() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    raise first


def misspelt() -> None:
    lisst  # type: ignore[name-defined]  # noqa: B018, F821


def no_attribute() -> None:
    [].appendd(1)  # type: ignore[attr-defined]


def syntax() -> None:
    compile("a b", "handler.py", "exec")


def silent() -> None:
    raise Silent(1)


def leaving() -> None:
    raise SystemExit(3)


async def waiting() -> None:
    await asyncio.sleep(0)
    caused()


def in_a_loop() -> None:
    asyncio.run(waiting())


def grouped() -> None:
    try:
        from builtins import ExceptionGroup
    except ImportError:  # Python 3.10
        plain()
    raise ExceptionGroup("two", [ValueError("one"), KeyError("other")])


@pytest.mark.parametrize(
    "fails",
    [
        *(plain, deep, caused, caused_twice, in_context, suppressed, noted, circular, misspelt, no_attribute, syntax),
        *(silent, leaving, in_a_loop, grouped),
    ],
    ids=lambda function: str(function.__name__),
)
def test_text_is_that_of_python_each_time(fails: Callable[[], None]) -> None:
    for _ in range(2):  # the second time from what was kept
        with pytest.raises(BaseException) as raised:  # noqa: PT011 - of any kind
            fails()
        error = raised.value
        for own in (error.__traceback__, error.__traceback__.tb_next if error.__traceback__ else None, None):
            assert format_error(error, own) == "".join(traceback.format_exception(type(error), error, own))
