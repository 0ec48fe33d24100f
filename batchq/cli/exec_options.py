"""The options of `start` that run a command for each item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

EXEC_OPTIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    click.option(
        "--exec",
        metavar="COMMAND",
        help="Instead of a function: run this command for each item, 'convert {path} {id}.png', without a shell; each "
        "field stays within its argument. It has the item as JSON on standard input; what it writes is the result.",
    ),
    click.option(
        "--shell",
        is_flag=True,
        help="With --exec: the command is for /bin/sh, with pipes and variables. Fields are handed to it apart from "
        "its text, and need no quotes.",
    ),
    click.option(
        "--stdout",
        type=click.Choice(["auto", "json", "text"]),
        help="With --exec: take what it writes for JSON if it is, else for text (auto); for JSON, or it fails; or for "
        "text.  [default: auto]",
    ),
    click.option(
        "--max-output",
        metavar="SIZE",
        help="With --exec: fail an item whose command writes more on standard output.  [default: 16M]",
    ),
    click.option(
        "--no-retry-exit",
        multiple=True,
        metavar="CODES",
        help="With --exec: an exit code after which an item is not tried again, or a range: 64-78; may be repeated. "
        "126 and 127 always are.",
    ),
)
EXEC_NAMES: Final = ("exec", "shell", "stdout", "max_output", "no_retry_exit")
"""Their names, that of the kind first."""
