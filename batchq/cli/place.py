"""Where the batches are that a command is about: the options --home and --server, and their variables."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from batchq.errors import UsageError

PLACES: Final = ("home", "server", "token_file")
"""Names of the options that say it."""

F = TypeVar("F", bound=Callable[..., Any])
Take = Callable[[click.Context, click.Parameter, Any], None]


class Place:
    """What the options and the environment say of where the batches are.

    An option beats every variable, so that --home is about this machine whatever $BATCHQ_SERVER says.
    """

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._named: set[str] = set()

    def take(self, name: str, value: str, named: bool) -> None:
        """Take note of an option (`named`), or of its variable."""
        self._values[name] = value
        if named:
            self._named.add(name)

    def value(self, name: str) -> str | None:
        """What an option or its variable says; None where neither is there."""
        return self._values.get(name)

    def is_named(self, name: str) -> bool:
        """Whether an option says it."""
        return name in self._named

    @property
    def server(self) -> str | None:
        """The URL of the server, if there is one.

        Raises:
            UsageError: both a server and a home are named.
        """
        if {"home", "server"} <= self._named:
            raise UsageError("--home and --server exclude each other", "The batches of a server are in its own home.")
        return None if "home" in self._named else self._values.get("server")

    @property
    def token_file(self) -> str | None:
        """Where the server's token is, if that was said."""
        return self._values.get("token_file")

    @property
    def words(self) -> str:
        """The options that a recommended command needs, with a space in front; empty where it needs none."""
        needed = ("home",) if "home" in self._named else PLACES[1:]
        named = [name for name in needed if name in self._named]
        return "".join(f" --{name.replace('_', '-')} {shlex.quote(self._values[name])}" for name in named)


def server_options(command: F, take: Take) -> F:
    """--server and --token-file, of which `take` takes note."""
    for option in (
        click.option(
            "--token-file",
            metavar="FILE",
            expose_value=False,
            callback=take,
            envvar="BATCHQ_TOKEN_FILE",
            show_envvar=True,
            help="Where the token for --server is.  [default: $BATCHQ_TOKEN, or that of a server on your own home]",
        ),
        click.option(
            "--server",
            metavar="URL",
            expose_value=False,
            callback=take,
            envvar="BATCHQ_SERVER",
            show_envvar=True,
            help="Ask the `batchq serve` at this address, instead of a home on this machine.",
        ),
    ):
        command = option(command)
    return command
