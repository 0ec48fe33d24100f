"""Handlers of ideas ``{"n": …}`` that go wrong, each in its own way, and some that take their time."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from ledger import held, note

from batchq import Context, Permanent

BAD = 3
"""The item that goes wrong where one of many does."""


def square(item: dict[str, Any]) -> int:
    """Goes right, and notes it."""
    note("start", item)
    return int(item["n"]) ** 2


def pad(item: dict[str, Any]) -> str:
    """Gives much back."""
    return str(item["pad"])


async def scrambled(item: dict[str, Any]) -> int:
    """Ends in another order than it began."""
    await asyncio.sleep(item["n"] * 7 % 5 / 500)
    return int(item["n"])


def fails(item: dict[str, Any]) -> None:
    """Never succeeds."""
    raise ValueError(f"item {item['n']} is refused")


def refuses(item: dict[str, Any]) -> None:
    """Says that trying again is of no use."""
    note("start", item)
    raise Permanent("the prompt breaks the rules")


def succeeds_at_last(item: dict[str, Any], ctx: Context) -> int:
    """Succeeds at the third attempt, item 3 never."""
    note("start", item)
    if ctx.attempt < 3 or item["n"] == BAD:
        raise ConnectionError("reset by peer")
    return ctx.attempt


def fails_until_mended(item: dict[str, Any]) -> int:
    """Every third item fails, in two ways, until the file that ``GATE`` names exists."""
    note("start", item)
    n = int(item["n"])
    if n % 3 == 0 and not os.path.exists(os.environ["GATE"]):
        raise (ConnectionError("reset by peer") if n % 2 else TimeoutError(f"no answer for {n}"))
    return n


async def third_fails_until_mended(item: dict[str, Any]) -> int:
    """Likewise; the items behind the twentieth that do not fail end when it exists."""
    if item["n"] % 3 == 0 and not os.path.exists(os.environ["GATE"]):
        raise Permanent("not yet")
    return await held_from_21(item)


def empty(item: dict[str, Any]) -> Any:
    """Swallows an outage; 0 and False say something."""
    return [None, "", [], {}, 0, False, "text"][item["n"] - 1]


async def first_opens_the_gate(item: dict[str, Any]) -> int:
    """Item 1 ends at once, the others when the file that ``GATE`` names exists."""
    while item["n"] > 1 and not os.path.exists(os.environ["GATE"]):
        await asyncio.sleep(0.01)
    return int(item["n"])


async def held_from_21(item: dict[str, Any]) -> int:
    """Items 1 to 20 end at once, the others when the file that ``GATE`` names exists."""
    return await held(item) if item["n"] > 20 else square(item)


class OnlyHere:
    """Can be pickled, and not made again."""

    def __reduce__(self) -> Any:
        return _not_here, ()

    def method(self, item: dict[str, Any]) -> None:
        """Never runs."""


def _not_here() -> Any:
    raise RuntimeError("not here")


async def never_ends(item: dict[str, Any]) -> None:
    """An API that does not answer."""
    await asyncio.sleep(3600)


class Unpicklable(Exception):
    """An exception that can be neither pickled nor made again from its arguments."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"status {status}")
        self.lock = threading.Lock()
        self.body = body


class Speechless(Exception):
    """An exception whose text raises."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


async def title(item: dict[str, Any]) -> str:
    """What somebody forgot to await."""
    return "a title"


def unstorable(item: dict[str, Any]) -> Any:
    """A result with something deep inside that JSON cannot hold."""
    return {"title": "tea", "client": {"locks": [threading.Lock()]}}


def not_a_number(item: dict[str, Any]) -> Any:
    """A result that is no JSON."""
    return {"scores": [0.5, float("nan")]}


def generator(item: dict[str, Any]) -> Iterator[int]:
    """A handler that yields has not run at all when it returns."""
    yield item["n"]


async def async_generator(item: dict[str, Any]) -> AsyncIterator[int]:
    """Likewise."""
    yield item["n"]


async def forgets_to_await(item: dict[str, Any]) -> Any:
    """A result that holds a coroutine."""
    return {"title": title(item)}


def unpicklable(item: dict[str, Any]) -> None:
    """Fails with what cannot cross a process."""
    raise Unpicklable(500, "oh")


def speechless(item: dict[str, Any]) -> None:
    """Fails without a word."""
    raise Speechless


def leaves(item: dict[str, Any]) -> None:
    """Wants to end the process."""
    sys.exit("enough")


def presses_ctrl_c(item: dict[str, Any]) -> None:
    """Likewise."""
    raise KeyboardInterrupt


def wrongly_written(item: dict[str, Any]) -> Any:
    """Uses a name that does not exist."""
    return undefined  # noqa: F821


def says_nothing(item: dict[str, Any]) -> None:
    """An exception without a text."""
    raise TimeoutError


def nested_too_deeply(item: dict[str, Any]) -> Any:
    """A result that contains itself."""
    result: list[Any] = []
    result.append(result)
    return result


def changes_its_idea(item: dict[str, Any]) -> Any:
    """Fails after it has spoiled what it was given."""
    item["tags"].append("spoiled")
    if not os.path.exists(os.environ["GATE"]):
        with open(os.environ["GATE"], "w"):
            raise ConnectionError("reset by peer")
    assert item["tags"] == ["tea", "spoiled"]
    return item["tags"]


async def cancels_itself(item: dict[str, Any]) -> None:
    """Ends like somebody whose task was cancelled."""
    raise asyncio.CancelledError


def as_it_says(item: dict[str, Any]) -> Any:
    """Does as the handler of the name in the item says."""
    note("start", item)
    return globals()[item["how"]](item) if item["how"] else item["n"]
