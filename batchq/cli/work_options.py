"""The options of `start` that ask for ready-made work instead of a function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from batchq.cli.http_options import HTTP_NAMES, HTTP_OPTIONS
from batchq.cli.options import F, with_options

NAMES: Final[Mapping[str, tuple[str, ...]]] = {"http": HTTP_NAMES}
"""By kind, which is an option too, the options that go with it; several kinds may have the same one."""


def start_work(command: F) -> F:
    """What runs over the items where that is no function."""
    return with_options(command, [*HTTP_OPTIONS])


def gather_work(options: dict[str, Any]) -> None:
    """Put the options of ready-made work into one, ``work``, as `StartRequest` has it.

    Raises:
        click.UsageError: two kinds of work are asked for, or an option of a kind stands without it.
    """
    given = {name: options.pop(name) for name in dict.fromkeys(name for names in NAMES.values() for name in names)}
    given = {name: value for name, value in given.items() if value not in (None, (), False)}
    asked = [kind for kind in NAMES if kind in given]
    if options.get("func") is not None:
        asked.insert(0, "func")
    if len(asked) > 1:
        raise click.UsageError(f"{_flag(asked[0])} and {_flag(asked[1])} exclude each other")
    mine = NAMES.get(asked[0], ()) if asked else ()
    for name in given:
        if name not in mine:
            kinds = " or ".join(_flag(kind) for kind, names in NAMES.items() if name in names)
            raise click.UsageError(f"{_flag(name)} is of use with {kinds} only")
    options["work"] = {"kind": asked[0], **given} if mine else None


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
