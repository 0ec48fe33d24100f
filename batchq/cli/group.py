"""The group of all verbs: what holds for each of them."""

from __future__ import annotations

from typing import Final

import click

from batchq.cli.completion import complete_by_name
from batchq.cli.settings import load

ASK_ONLY: Final = frozenset({"-h", "--help", "--version"})
"""Whoever asks for these gets an answer whatever is wrong with a file of settings."""


class Verbs(click.Group):
    """Lists its commands in the order in which one needs them, and knows the nearest to a mistyped one."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, of which the shell can complete the ids of batches, files and folders."""
        complete_by_name(cmd)
        super().add_command(cmd, name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The same, with the files of settings read before."""
        if not ASK_ONLY.intersection(args):
            load(self, ctx)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were added."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, or an error that names the nearest one."""
        name = args[0]
        # While a shell completes, a word that is no command is nothing to complain of.
        if name not in self.commands and not name.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(name, self.commands, 1)
            raise click.UsageError(f"no command {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""), ctx)
        return super().resolve_command(ctx, args)
