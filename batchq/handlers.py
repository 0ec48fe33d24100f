"""From a TARGET to something that can be called with an item: handlers, their context, the --setup resource."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import pickle
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from batchq.errors import SetupFailed, TargetError
from batchq.loading import FORMS, is_loading, load_target, marked_as_loading, put_on_path

log = logging.getLogger(__name__)

PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
"""A function by value is byte code, which another minor version cannot run."""
CALL: Final = "Pass the function itself: `handler`, not `handler(item)`."


@dataclass(frozen=True)
class Handler:
    """The user's function, with what was found out about it.

    Attributes:
        function: called with the item, or the item and a `Context`.
        is_async: it is a coroutine function, and runs in the worker's event loop; others run in threads.
        wants_context: it takes a second argument.
        name: for messages.
        stays: it runs in the worker's event loop, to which its resource belongs, even where it never seems to await.
    """

    function: Callable[..., Any]
    is_async: bool
    wants_context: bool
    name: str
    stays: bool = False

    @classmethod
    def of(cls, function: Callable[..., Any], name: str | None = None, stays: bool = False) -> Handler:
        """Look at `function`, any callable; `stays` as in the attributes.

        Raises:
            TargetError: it cannot be called with an item.

        Example:
            >>> Handler.of(lambda item, ctx: None).wants_context
            True
        """
        label = name or getattr(function, "__qualname__", None) or repr(function)
        if not callable(function):
            raise TargetError(label, f"it is {_a_kind(function)}, not a function", CALL)
        return cls(function, is_coroutine_function(function), _wants_context(function, label), label, stays)


class Exported(NamedTuple):
    """A function in a form that reaches a worker, and survives the program.

    Attributes:
        target: TARGET, or the name of a function that is stored by value.
        folder: the folder that has to be on ``sys.path`` to find it.
        pickled: the function, and all later ones, by value; None where TARGETs find them.
        stages: of the functions that come after it, their TARGETs, or names.
    """

    target: str
    folder: Path
    pickled: bytes | None
    stages: tuple[str, ...] = ()


class Row(NamedTuple):
    """Functions that are stored by value, one after the other.

    Attributes:
        folders: those that have to be on ``sys.path`` before they can be loaded.
        functions: all of them, pickled.
    """

    folders: tuple[str, ...]
    functions: bytes


def export(function: Callable[..., Any], *later: Callable[..., Any]) -> Exported:
    """Make functions reach a worker: by their names where a fresh process can import all of them, else by value.

    Args:
        function: the handler.
        later: those of the stages after it.

    Raises:
        TargetError: it uses something that belongs to this process, such as a lock or a connection; or the batch
            begins while a handler's module is imported.

    Example:
        >>> import json; export(json.dumps).target
        'json:dumps'
    """
    each = (function, *later)
    names = [getattr(one, "__qualname__", None) or type(one).__qualname__ for one in each]
    if is_loading():
        # Workers that begin a batch, whose workers begin a batch, would fill the machine with processes.
        raise TargetError(names[0], "importing its module begins a batch; put that under `if __name__ == '__main__':`")
    modules = [sys.modules.get(getattr(one, "__module__", None) or "") for one in each]
    roots = [_import_root(module) for module in modules]
    targets = [
        f"{module.__name__}:{name}"
        for one, name, module, root in zip(each, names, modules, roots, strict=True)
        if module is not None and root is not None and _found_by_name(module, name) is one
    ]
    if len(targets) == len(each) and len(set(roots)) == 1 and roots[0] is not None:
        return Exported(targets[0], roots[0], None, tuple(targets[1:]))
    # What a fresh process cannot import has to travel along.
    travel = {module.__name__: module for module, root in zip(modules, roots, strict=True) if module and root is None}
    pickled = _pickle(each if later else function, names[0], travel.values())
    if later:
        pickled = pickle.dumps(Row(tuple({str(root): None for root in roots if root is not None}), pickled))
    return Exported(names[0], _program_folder(), pickled, tuple(names[1:]))


def unpickle(pickled: bytes, names: Sequence[str], folder: Path, version: str | None) -> list[Handler]:
    """The handlers that `export` stored by value; run it on what is sealed only.

    Args:
        pickled: as in `Exported`.
        names: of each, for messages.
        folder: as in `Exported`.
        version: of the Python that stored it.

    Raises:
        TargetError: this Python is another one, or something that the function uses is not there.
    """
    if version != PYTHON:
        raise TargetError(names[0], f"Python {version} has stored it, and this is {PYTHON}", "Resume with that Python.")
    put_on_path(folder)
    try:
        with marked_as_loading():
            found = pickle.loads(pickled)
            functions = [found]
            if isinstance(found, Row):
                for place in found.folders:
                    put_on_path(Path(place))
                functions = pickle.loads(found.functions)
            return [Handler.of(function, name) for function, name in zip(functions, names, strict=False)]
    except TargetError:
        raise
    except (Exception, SystemExit) as error:  # whatever importing the user's modules raises
        raise TargetError(names[0], f"it cannot be loaded: {type(error).__name__}: {error}") from error


def load_handler(target: str, folder: Path) -> Handler:
    """The handler that a TARGET names; raises `TargetError` when it cannot be called with an item."""
    found = load_target(target, folder)
    if not callable(found):
        raise TargetError(target, f"it is {_a_kind(found)}, not a function", FORMS)
    return Handler.of(found, target)


@contextlib.asynccontextmanager
async def entered(factory: Callable[[], Any] | None) -> AsyncIterator[Any]:
    """Enter what `factory` makes, an async or plain context manager or a generator function's, and yield its value.

    Raises:
        SetupFailed: it is none of these, or entering it raised.
    """
    if factory is None:
        yield None
        return
    stack = contextlib.AsyncExitStack()
    try:
        value = await _enter(stack, factory)
    except BaseException as error:  # whatever a user's code raises, SystemExit included
        raise SetupFailed(f"--setup failed: {type(error).__name__}: {error}") from error
    try:
        yield value
    finally:
        try:
            await stack.aclose()
        except BaseException as error:  # what is recorded is recorded: leaving the resource decides nothing
            log.warning("leaving the --setup resource failed: %s: %s", type(error).__name__, error)


async def _enter(stack: contextlib.AsyncExitStack, factory: Callable[[], Any]) -> Any:
    made = factory()
    if inspect.isawaitable(made):
        made = await made
    if isinstance(made, AsyncIterator) and not hasattr(made, "__aenter__"):
        made = contextlib.asynccontextmanager(lambda: made)()
    elif isinstance(made, Iterator) and not hasattr(made, "__enter__"):
        made = contextlib.contextmanager(lambda: made)()
    if hasattr(made, "__aenter__"):
        return await stack.enter_async_context(made)
    if hasattr(made, "__enter__"):
        return stack.enter_context(made)
    raise TypeError(f"it returned a {type(made).__name__}, not a context manager")


def _program_folder() -> Path:
    """The folder from which the program's own imports are found: the script's, or that of a notebook."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None or getattr(main, "__spec__", None) is not None:
        return Path.cwd()
    return Path(file).resolve().parent


def _import_root(module: ModuleType | None) -> Path | None:
    """The folder from which a fresh process can import `module` by its name; None where none is known."""
    if module is None or module.__name__ == "__main__" or _is_being_imported(module.__name__):
        return None
    file = getattr(module, "__file__", None)
    if file is None:
        return Path.cwd() if module.__name__ in sys.builtin_module_names else None
    path = Path(file)
    parts = module.__name__.split(".")
    place = path.parent.parts if path.stem == "__init__" else (*path.parent.parts, path.name.partition(".")[0])
    if list(place[-len(parts) :]) != parts:
        return None
    return Path(*place[: -len(parts)])


def _is_being_imported(name: str) -> bool:
    """Whether a module or a package around it begins the batch while it is imported, which others must not repeat."""
    while name:
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if getattr(spec, "_initializing", False):
            return True
        name = name.rpartition(".")[0]
    return False


def _found_by_name(module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _pickle(functions: Any, name: str, travel: Iterable[ModuleType]) -> bytes:
    import cloudpickle

    by_value = [module for module in travel if module.__name__ != "__main__" and module.__name__ in sys.modules]
    for module in by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        pickled: bytes = cloudpickle.dumps(functions)
    except Exception as error:
        raise TargetError(
            name,
            f"it cannot be sent to a worker process: {error}",
            "It uses something that belongs to this process: make that inside the function, or use PARALLEL mode.",
        ) from error
    finally:
        for module in by_value:
            cloudpickle.unregister_pickle_by_value(module)
    return pickled


def _a_kind(value: Any) -> str:
    kind = type(value).__name__
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether calling `function` makes a coroutine; looks through `functools.partial` and callable objects.

    Example:
        >>> is_coroutine_function(print)
        False
    """
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(function, "__call__", None)  # noqa: B004  # a callable object may have an async __call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _wants_context(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False  # Builtins without a signature take the item.
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in positional if p.default is p.empty]
    keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if not positional and not takes_any:
        raise TargetError(name, "it takes no argument", "A handler takes the item, or the item and a context.")
    if len(needed) > 2 or keywords:
        extra = ", ".join([p.name for p in needed[2:]] + keywords)
        reason = f"it needs more arguments than an item and a context: {extra}"
        raise TargetError(name, reason, "Give them defaults, or bind them with functools.partial.")
    # A second parameter with a default may mean anything, unless it says that it is ours.
    return len(needed) == 2 or any(p.name == "ctx" or "Context" in str(p.annotation) for p in positional[1:2])
