"""The options that ask for ready-made work instead of a function, and for further stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click
from click.core import ParameterSource

from batchq.cli.exec_options import EXEC_NAMES, EXEC_OPTIONS
from batchq.cli.http_options import HTTP_NAMES, HTTP_OPTIONS
from batchq.cli.llm_options import LLM_BATCH_NAMES, LLM_NAMES, LLM_OPTIONS, llm_work
from batchq.cli.options import F, with_options

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "exec": EXEC_NAMES,
    "http": HTTP_NAMES,
    "llm": LLM_NAMES,
    "llm_batch": LLM_BATCH_NAMES,
}
"""By kind, which is an option too, the options that go with it; several kinds may have the same one."""

other_stages = click.option(
    "--then",
    metavar="TARGET",
    multiple=True,
    help='Other later stages for what is left, all of them; "" for none. What a stage has given is kept.',
)
"""Of `resume`."""
from_stage_option = click.option(
    "--from-stage",
    type=click.IntRange(min=1),
    metavar="N",
    help="Make anew what this stage of `start --then`, from 1, and later ones have given.  [default: begin at the one "
    "that has failed]",
)
"""Of `retry`."""


_later_stages = click.option(
    "--then",
    metavar="TARGET",
    multiple=True,
    help="A further stage: this function gets what the one before has returned. Each stage's result is kept, so that a "
    "retry, or `resume`, begins at the stage that has not succeeded; --timeout and --retry-attempts hold for each. May "
    "be repeated.",
)


def start_work(command: F) -> F:
    """What runs over the items where that is no function."""
    return with_options(command, [*EXEC_OPTIONS, *HTTP_OPTIONS, *LLM_OPTIONS, _later_stages])


def gather_work(options: dict[str, Any]) -> None:
    """Put the options of ready-made work into one, ``work``, as `StartRequest` has it.

    Raises:
        click.UsageError: two kinds of work are asked for, or an option of a kind stands without it.
    """
    given = {name: options.pop(name) for name in dict.fromkeys(name for names in NAMES.values() for name in names)}
    # No comparison with False: 0 is given, too.
    given = {name: value for name, value in given.items() if value is not None and value is not False and value != ()}
    asked = [kind for kind in NAMES if kind in given]
    flags = {flag for option in click.get_current_context().command.params for flag in option.opts}
    for kind in asked:
        if given[kind] in flags:  # click takes whatever comes next for the value
            raise click.UsageError(f"{_flag(kind)} lacks its value: {given[kind]} comes next")
    if options.get("func") is not None:
        asked.insert(0, "func")
    if len(asked) > 1:
        raise click.UsageError(f"{_flag(asked[0])} and {_flag(asked[1])} exclude each other")
    mine = NAMES.get(asked[0], ()) if asked else ()
    for name in given:
        if name not in mine:
            kinds = " or ".join(_flag(kind) for kind, names in NAMES.items() if name in names)
            raise click.UsageError(f"{_flag(name)} is of use with {kinds} only")
    if mine and asked[0] in ("exec", "http") and not options.get("then"):
        _check_spending(asked[0], options)
    options["work"] = {"kind": asked[0], **given} if mine else None
    if asked and asked[0] in ("llm", "llm_batch"):
        options["work"] = llm_work(asked[0], given, options["budget"])


def _check_spending(kind: str, options: Mapping[str, Any]) -> None:
    """Refuse limits of what is spent, where nothing is; those of a file of settings are for other batches, too."""
    source = click.get_current_context().get_parameter_source
    named = [name for name in ("rate", "budget") if source(name) is ParameterSource.COMMANDLINE]
    for text in [text for name in named for text in options[name]]:
        unit, equals, _ = text.partition("=")
        if equals and unit.strip() != "items":
            raise click.UsageError(f"{text} would never be reached: {_flag(kind)} does not tell what it spends")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
