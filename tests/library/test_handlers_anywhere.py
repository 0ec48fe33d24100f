"""Functions from wherever programs have them reach the worker processes: scripts, closures, notebooks, modules."""

from __future__ import annotations

import functools
import importlib.util
import os
import signal
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ledger
import pytest
import troubles
from durable import Elsewhere, Library, ideas
from in_memory import results

import batchq
from batchq.errors import TargetError

pytestmark = pytest.mark.slow

COUNT = 12
SQUARES = [n * n for n in range(1, COUNT + 1)]


class Scaler:
    """Has methods of every kind, and can itself be called."""

    factor = 2

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def method(self, item: dict[str, Any]) -> int:
        return int(item["n"]) * self.factor

    async def async_method(self, item: dict[str, Any]) -> int:
        return int(item["n"]) * self.factor

    @classmethod
    def class_method(cls, item: dict[str, Any]) -> int:
        return int(item["n"]) * cls.factor

    def __call__(self, item: dict[str, Any]) -> int:
        return int(item["n"]) * self.factor


class AsyncScaler(Scaler):
    """Is called and awaited."""

    async def __call__(self, item: dict[str, Any]) -> int:  # type: ignore[override]
        return int(item["n"]) * self.factor


async def async_scaled(item: dict[str, Any], *, factor: int) -> int:
    """For `functools.partial`."""
    return int(item["n"]) * factor


def closure(factor: int) -> Callable[[dict[str, Any]], int]:
    """A function that knows a variable of another one, and a module of this one."""

    def inner(item: dict[str, Any]) -> int:
        assert os.getpid() != parent
        return int(item["n"]) * factor

    parent = os.getpid()
    return inner


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator."""

    @functools.wraps(function)
    def inner(*arguments: Any) -> Any:
        return function(*arguments) * 2

    return inner


@wrapped
def decorated(item: dict[str, Any]) -> int:
    """Has the name of what it wraps."""
    return int(item["n"])


EVERY_KIND: dict[str, Callable[..., Any]] = {
    "closure": closure(2),
    "lambda": lambda item: item["n"] * 2,
    "lambda-with-context": lambda item, ctx: item["n"] * 2 * (ctx.item_id == f"i{item['n']}"),
    "lambda-of-a-coroutine": lambda item: async_scaled(item, factor=2),
    "async-method": Scaler(2).async_method,
    "class-method": Scaler.class_method,
    "callable-object": Scaler(2),
    "async-callable-object": AsyncScaler(2),
    "async-partial": functools.partial(async_scaled, factor=2),
    "partial-of-a-method": functools.partial(Scaler.method, Scaler(2)),
    "decorated": decorated,
}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_of_function_reaches_the_workers(kind: str, library: Library) -> None:
    assert results(library.process(ideas(COUNT), EVERY_KIND[kind], workers=1)) == [2 * n for n in range(1, COUNT + 1)]


def test_builtin_and_library_functions_reach_the_workers(library: Library) -> None:
    assert results(library.process(["a", "b"], str.upper, "methods")) == ["A", "B"]
    assert results(library.process([4, 9], int.__neg__, "slots")) == [-4, -9]
    assert results(library.process(["[1]"], __import__("json").loads, "library")) == [[1]]


def test_handlers_of_two_threads_do_not_disturb_each_other(library: Library) -> None:
    runs = [
        Elsewhere(
            lambda factor=factor: batchq.run(
                ideas(30), closure(factor), batch_id=f"b{factor}", home=library.home, enable_progress_tracking=False
            )
        )
        for factor in (2, 3)
    ]
    for factor, each in zip((2, 3), runs, strict=True):
        assert results(each.result()) == [factor * n for n in range(1, 31)]


def test_function_of_a_module_that_only_the_program_can_import_travels_along(library: Library) -> None:
    """A module that was made in memory, as plug-ins and notebooks' cells are."""
    module = types.ModuleType("made_in_memory")
    exec(
        "FACTOR = 2\ndef helper(n):\n    return n * FACTOR\ndef handler(item):\n    return helper(item['n'])",
        vars(module),
    )
    sys.modules["made_in_memory"] = module
    try:
        assert results(library.process(ideas(3), module.handler)) == [2, 4, 6]
    finally:
        del sys.modules["made_in_memory"]
    assert results(library.handle().report()) == [2, 4, 6]


@pytest.mark.parametrize("registered", [True, False])
def test_function_of_a_plugin_that_was_loaded_by_its_path_travels_along(registered: bool, library: Library) -> None:
    path = library.folder / "plug-in.py"
    path.write_text(
        "FACTOR = 2\ndef helper(n):\n    return n * FACTOR\ndef handler(item):\n    return helper(item['n'])\n"
    )
    spec = importlib.util.spec_from_file_location("plugin_by_path", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if registered:
        sys.modules["plugin_by_path"] = module
    try:
        spec.loader.exec_module(module)
        assert results(library.process(ideas(3), module.handler)) == [2, 4, 6]
    finally:
        sys.modules.pop("plugin_by_path", None)


@pytest.mark.parametrize(
    ("thing", "word"),
    [(threading.Lock(), "lock"), ((n for n in [1]), "generator")],
    ids=["lock", "generator"],
)
def test_closure_over_what_belongs_to_this_process_is_refused_with_a_hint_and_nothing_is_stored(
    thing: Any, word: str, library: Library
) -> None:
    def handler(item: Any) -> Any:
        return thing

    with pytest.raises(TargetError, match=f"cannot be sent to a worker process: .*{word}") as caught:
        library.process(ideas(3), handler)
    assert "inside the function" in caught.value.hint and "PARALLEL" in caught.value.hint
    assert not library.home.exists()
    assert library.process(ideas(3), troubles.square).success_count == 3


def test_worker_that_dies_is_replaced_and_its_neighbours_never_know(library: Library) -> None:
    def dies_once(item: dict[str, Any]) -> int:
        ledger.note("start", item)
        if item["n"] == 5 and ledger.read(Path(os.environ["LEDGER"])).count(("start", 5)) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return int(item["n"])

    report = library.process(ideas(40), dies_once, max_concurrent=4)
    assert (report.success_count, report.failure_count) == (40, 0)
    assert report.interruptions >= 1
    assert library.broken_invariants() == []
