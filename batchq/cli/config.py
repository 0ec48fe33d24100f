"""``batchq config``: what holds here, and which file, variable or default says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from batchq.cli.console import Console, local_options, one_line
from batchq.cli.settings import COMMON, Settings


class Held(NamedTuple):
    """A setting that holds, and where it comes from."""

    name: str
    value: Any
    origin: str


@click.command()
@click.option("--show-origin", is_flag=True, help="Say where each comes from: file and line, variable, default.")
@local_options
@click.pass_context
def config(context: click.Context, /, show_origin: bool) -> int:
    """Show the settings that hold here: of files, of the environment, and the defaults.

    A flag beats the environment (BATCHQ_CONCURRENCY, …), that beats the project's batchq.toml or [tool.batchq] of
    its pyproject.toml (the nearest, looking upwards), and that beats your own config.toml.

    \b
      batchq config --show-origin
    """
    console: Console = context.obj
    held = list(_held(context))
    if console.as_json:
        console.write_json({"settings": [each._asdict() for each in held]})
        return 0
    names, values = (max(len(each) for each in column) for column in zip(*map(_cells, held), strict=True))
    for each in held:
        name, value = _cells(each)
        origin = each.origin if show_origin else ""
        console.write([f"{name:<{names}}  {value:<{values}}  {origin}".rstrip() + "\n"])
    return 0


def _held(context: click.Context) -> Iterator[Held]:
    console: Console = context.obj
    settings = Settings.within(context)
    root = context.find_root()
    assert isinstance(root.command, click.Group)
    # What click itself makes of them for a start; the two words stand for what is not a setting.
    start = root.command.commands["start"].make_context("start", ["-", "--func", "-"], parent=root)
    for key, option in settings.options.items():
        name = str(option.name)
        if name not in COMMON:
            yield Held(key, start.params[name], _origin(start, option, settings))
    home = context if context.get_parameter_source("home") is ParameterSource.COMMANDLINE else root
    quiet = context if context.get_parameter_source("quiet") is ParameterSource.COMMANDLINE else root
    yield Held("home", str(console.home().path), _origin(home, settings.options["home"], settings))
    if console.server is not None:
        named = any(each.get_parameter_source("server") is ParameterSource.COMMANDLINE for each in (context, root))
        yield Held("server", console.server, "command line" if named else "environment BATCHQ_SERVER")
    yield Held("quiet", console.quiet, _origin(quiet, settings.options["quiet"], settings))


def _origin(context: click.Context, option: click.Option, settings: Settings) -> str:
    source = context.get_parameter_source(str(option.name))
    if source is ParameterSource.COMMANDLINE:
        return "command line"
    if source is ParameterSource.ENVIRONMENT:
        return f"environment {option.envvar}"
    if source is ParameterSource.DEFAULT_MAP:
        return str(settings.found[str(option.name)].origin)
    return "default"


def _cells(held: Held) -> tuple[str, str]:
    value = held.value
    if isinstance(value, bool):
        return held.name, str(value).lower()
    if isinstance(value, tuple):
        return held.name, one_line(", ".join(value)) or "-"
    return held.name, "-" if value is None else f"{value:g}" if isinstance(value, float) else one_line(str(value))
