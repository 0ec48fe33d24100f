"""Every example in a docstring runs, every public name has one, and `help(batchq)` reads like a page."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import inspect
import pkgutil
import pydoc
from pathlib import Path

import pytest

import batchq


def modules() -> list[str]:
    names = [found.name for found in pkgutil.walk_packages(batchq.__path__, "batchq.")]
    return [name for name in names if not name.endswith("__main__")]


def public() -> list[str]:
    return [name for name in dir(batchq) if not name.startswith("__")]


@pytest.mark.parametrize("name", modules())
def test_each_example_of_the_module_gives_what_it_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHQ_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    known = {**vars(module), "batchq": batchq, "asyncio": asyncio}
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
    runner = doctest.DocTestRunner(optionflags=flags)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name, extraglobs=known):
        said: list[str] = []
        runner.run(test, out=said.append)
        assert runner.failures == 0, "".join(said)


@pytest.mark.parametrize("name", public())
def test_each_public_name_is_explained_with_an_example(name: str) -> None:
    thing = getattr(batchq, name)
    text = inspect.getdoc(thing) or ""
    assert len(text.splitlines()) > 2, "explained in a line"
    examples = doctest.DocTestParser().get_examples(text)
    assert examples, "no example that a machine can check"
    if inspect.isclass(thing):
        methods = [m for n, m in vars(thing).items() if not n.startswith("_") and inspect.isfunction(m)]
        assert not [m.__name__ for m in methods if not inspect.getdoc(m)]


def test_help_shows_the_page_and_every_public_name() -> None:
    page = pydoc.plain(pydoc.render_doc(batchq))
    assert "run a function over many items" in page
    assert not [name for name in public() if name not in page]
    assert "process_batch(" in page, "classes are shown with their methods"
