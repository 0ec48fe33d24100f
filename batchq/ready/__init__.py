"""Ready-made work: handlers that batchq brings along, made from options rather than from a function of the user's.

    options ─▶ check(options) ─▶ BatchSpec.work (JSON, sealed) ─▶ make(work), in each worker ─▶ Work

Each kind has a module of its own in this room with these two functions.  A kind is imported when a batch wants it, and
its libraries with it, which an extra may bring.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol, cast

from batchq.context import Context
from batchq.handlers import Handler

KINDS: Final[Mapping[str, str]] = {
    "exec": "batchq.ready.command",
    "http": "batchq.ready.http",
    "llm": "batchq.ready.llm",
    "llm-batch": "batchq.ready.batch_file",
}
"""By the option that asks for it, the module of each kind."""
PAID: Final = frozenset({"llm", "llm-batch"})
"""Kinds whose calls cost money, each: what one has answered is recorded before the next begins in its place."""


def _nothing() -> None:
    pass


class Work(NamedTuple):
    """What a batch runs.

    Attributes:
        handler: is called with each item.
        setup: makes the context manager that each worker enters once; None for none.
        preview: what the handler is about to do with an item, in words without secrets, for `batchq try`; None where
            there is nothing to show.
        abandon: from any thread, ends at once what the handler has begun outside of its process, which is about to end.
        stages: are called after it, each with what the one before has returned.
        stages_setup: as `setup`, of these; None where they share that of the first.
    """

    handler: Handler
    setup: Callable[[], Any] | None = None
    preview: Callable[[Any, Context], str] | None = None
    abandon: Callable[[], None] = _nothing
    stages: tuple[Handler, ...] = ()
    stages_setup: Callable[[], Any] | None = None

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """Those of all handlers, in their order."""
        return (self.handler.function, *(stage.function for stage in self.stages))


class Stage(NamedTuple):
    """A function that items go through after the first one.

    Attributes:
        handler: the function.
        resource: what it finds as ``ctx.resource``.
    """

    handler: Handler
    resource: Any


class Kind(Protocol):
    """What the module of a kind has."""

    def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What is stored of `options`, which JSON can hold: no secret, and nothing that only this process knows.

        Its ``title`` is shown where of another batch the TARGET is.

        Raises:
            UsageError: an option cannot be used, or the extra that brings its library is not installed.
        """

    def make(self, work: Mapping[str, Any]) -> Work:
        """The handler of what `check` returned."""


def kind(name: str) -> Kind:
    """The module of one of `KINDS`."""
    return cast(Kind, importlib.import_module(KINDS[name]))
