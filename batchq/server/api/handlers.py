"""Which functions may be named: those in the source of modules that the owner's patterns name, none of which is run."""

from __future__ import annotations

import ast
import asyncio
import glob
import os
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from batchq.server.api.answers import json_response, state_of
from batchq.server.security.allowed import is_allowed

MOST_FILES: Final = 2000
"""A pattern such as ``*`` is looked for in so many files of the server's folder at most."""
DEEPEST: Final = 6
LARGEST: Final = 2 * 1024 * 1024
"""Bytes of a source that is read."""
PASSED_OVER: Final = frozenset({"node_modules", "site-packages", "venv", "__pycache__"})
MAGIC: Final = frozenset("*?[")


class Found(NamedTuple):
    """A function in a source.

    Attributes:
        name: of the function.
        is_async: it is declared with ``async def``.
        summary: first line of its docstring.
    """

    name: str
    is_async: bool
    summary: str | None


async def list_handlers(request: Request) -> Response:
    """GET /api/v1/handlers: what may be named as func."""
    patterns = state_of(request).settings.allow
    found = await asyncio.to_thread(handlers, patterns, Path.cwd())
    return json_response({"handlers": found, "patterns": list(patterns)})


def handlers(patterns: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """The functions that patterns allow, by their names.

    Args:
        patterns: of TARGETs.
        folder: the server's, from which modules and files are looked for.

    Returns:
        Each with its ``target``, the first ``pattern`` that allows it, whether it is ``async`` (None where its source
        was not found) and a ``summary``.
    """
    known: dict[str, dict[str, Any]] = {}
    for pattern in patterns:
        for place, path in _places(pattern, folder):
            for each in _functions(path):
                target = f"{place}:{each.name}"
                if is_allowed(target, [pattern]):
                    values = {"target": target, "pattern": pattern, "async": each.is_async, "summary": each.summary}
                    known.setdefault(target, values)
        if not MAGIC & set(pattern):  # the owner knows that it is there, whatever makes it
            known.setdefault(pattern, {"target": pattern, "pattern": pattern, "async": None, "summary": None})
    return [known[target] for target in sorted(known)]


def _places(pattern: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """What a pattern may name as the part before the colon, each with its file."""
    place = pattern.rpartition(":")[0] or pattern
    if not MAGIC & set(place):
        path = folder / place if place.endswith(".py") else _module(place, folder)
        if path is not None:
            yield place, path
        return
    if os.path.isabs(place):
        for name in sorted(glob.glob(place, recursive=True))[:MOST_FILES]:
            if name.endswith(".py"):
                yield name, Path(name)
        return
    for path in _sources(folder):
        relative = path.relative_to(folder)
        yield str(relative), path
        parts = relative.with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _sources(folder: Path) -> Iterator[Path]:
    found = 0
    for root, folders, files in os.walk(folder):
        depth = len(Path(root).relative_to(folder).parts)
        below = depth < DEEPEST
        folders[:] = sorted(each for each in folders if below and each[0] != "." and each not in PASSED_OVER)
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(root, name)
                found += 1
                if found >= MOST_FILES:
                    return


def _module(name: str, folder: Path) -> Path | None:
    """The source of a module; unlike `importlib.util.find_spec` it runs no package that the module is in."""
    where: list[str] | None = [str(folder), *sys.path]
    origin = None
    for part in name.split("."):
        try:
            spec = PathFinder.find_spec(part, where)
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        origin = spec.origin
        where = None if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
        if where is None:
            where = []
    return Path(origin) if origin is not None and origin.endswith(".py") else None


def _functions(path: Path) -> Sequence[Found]:
    try:
        found = path.stat()
        return _read(path, found.st_mtime_ns, found.st_size) if found.st_size <= LARGEST else ()
    except OSError:
        return ()


@lru_cache(maxsize=MOST_FILES)
def _read(path: Path, mtime_ns: int, size: int) -> tuple[Found, ...]:
    """The functions of a source that take an item; the other arguments tell when it has changed."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple(
        Found(each.name, isinstance(each, ast.AsyncFunctionDef), _summary(each))
        for each in tree.body
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) and each.name[0] != "_" and _takes_item(each)
    )


def _takes_item(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    takes = function.args
    places = len(takes.posonlyargs) + len(takes.args)
    needed = places - len(takes.defaults)
    needs_names = any(default is None for default in takes.kw_defaults)
    return (places > 0 or takes.vararg is not None) and needed <= 2 and not needs_names


def _summary(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
    text = ast.get_docstring(function)
    return text.strip().splitlines()[0] if text and text.strip() else None
