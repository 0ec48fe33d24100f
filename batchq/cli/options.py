"""How the options of `start` and `set` are made, which stand in modules of their own by what they are about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def option(name: str, *short: str, **settings: Any) -> Callable[[Any], Any]:
    """An option of `start` that the environment may set too: --chunk-size by BATCHQ_CHUNK_SIZE."""
    variable = "BATCHQ_" + name.lstrip("-").replace("-", "_").upper()
    return click.option(name, *short, envvar=variable, show_envvar=True, **settings)


def with_options(command: F, options: Sequence[Callable[[Any], Any]]) -> F:
    """A command with these options, which its help shows in this order."""
    for decorate in reversed(options):
        command = decorate(command)
    return command
