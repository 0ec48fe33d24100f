"""From a TARGET to the object that it names: its file or module is found, imported, and looked into.

Imports of the user's modules raise whatever they raise: here it becomes a `TargetError`, with its place.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from batchq.errors import TargetError

FORMS: Final = "Write it as package.module:function or path/file.py:function."
_loading: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar("batchq_loading", default=False)
"""Whether a user's module is being loaded."""


def split_target(target: str, cwd: Path) -> tuple[str, Path]:
    """A TARGET as it is stored, and the folder that has to be on ``sys.path`` to find it.

    A file becomes an absolute path; a module is looked for from the working directory.

    Raises:
        TargetError: it has neither of the two forms, or there is no such file.
    """
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise TargetError(target, "it names no function", FORMS)
    if place.endswith(".py") or "/" in place:
        path = (cwd / place).resolve()
        if not path.is_file():
            near = _near(path.name, _python_files(path.parent))
            hint = f"Did you mean {Path(place).with_name(near[0])}:{name}?" if near else FORMS
            raise TargetError(target, f"there is no file {place}", hint)
        return f"{path}:{name}", path.parent
    return target, cwd


def load_target(target: str, folder: Path) -> Any:
    """The object that a TARGET names, as `split_target` gave it.

    Raises:
        TargetError: no such module or name, or importing it failed.
    """
    place, _, name = target.rpartition(":")
    put_on_path(folder)
    with marked_as_loading():
        module = _load_file(target, Path(place)) if place.endswith(".py") else _load_module(target, place)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            near = _near(part, [key for key in dir(found) if not key.startswith("_")])
            hint = f"Did you mean {place}:{near[0]}?" if near else f"See what {place} defines."
            raise TargetError(target, f"{place} has no {part!r}", hint)
        found = getattr(found, part)
    return found


def is_loading() -> bool:
    """Whether this runs while a user's module is imported."""
    return _loading.get()


def put_on_path(folder: Path) -> None:
    """Let what is in `folder` be imported."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@contextlib.contextmanager
def marked_as_loading() -> Iterator[None]:
    """Let `is_loading` be true within the block."""
    token = _loading.set(True)
    try:
        yield
    finally:
        _loading.reset(token)


def _load_module(target: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise TargetError(target, f"importing {name} failed: {error}", "Install what it needs.") from error
        near = _near(name, _modules_here())
        hint = f"Did you mean {near[0]}?" if near else "It is looked for from the working directory. " + FORMS
        raise TargetError(target, f"there is no module {name!r}", hint) from error
    except (Exception, SystemExit) as error:
        raise _import_failed(target, name, error) from error


def _load_file(target: str, path: Path) -> ModuleType:
    # Under its own name, so that what it pickles can be found again by the same import.
    name = path.stem
    known = sys.modules.get(name)
    if known is not None:
        if getattr(known, "__file__", None) == str(path):
            return known
        name = f"batchq_target_{name}"  # never in the place of somebody else's module
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(target, f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a module may leave by sys.exit("no API key")
        del sys.modules[name]
        raise _import_failed(target, path.name, error) from error
    return module


def _import_failed(target: str, name: str, error: BaseException) -> TargetError:
    said = f"importing {name} failed: {type(error).__name__}: {error}"
    way_there = (__file__, importlib.__file__, "<frozen ")
    frames = traceback.extract_tb(error.__traceback__)
    own = next((frame for frame in frames if not frame.filename.startswith(way_there)), None)
    if own is not None and not isinstance(error, SyntaxError):  # which says it itself
        said += f" ({Path(own.filename).name}, line {own.lineno})"
    return TargetError(target, said)


def _near(name: str, names: list[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, names, 1)


def _python_files(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*.py")] if folder.is_dir() else []


def _modules_here() -> list[str]:
    return [path.stem for folder in sys.path[:2] for path in Path(folder or ".").glob("*.py")]
