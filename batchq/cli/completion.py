"""``batchq completion``, and what is completed beside verbs and options: ids of batches, files, folders.

Completing is done at each press of a key: nothing here opens a batch or loads more than the list of folders needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from batchq.cli.console import Console, local_options
from batchq.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VARIABLE: Final = "_BATCHQ_COMPLETE"
"""The environment variable by which the shell's script asks for completions."""


class Completed(click.types.StringParamType):
    """A text as it was typed, which the shell can complete.

    Args:
        kind: ``batch`` for ids of batches; ``file`` and ``dir`` are completed by the shell itself.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """What `incomplete` may become."""
        from click.shell_completion import CompletionItem

        if self.kind != "batch":
            return [CompletionItem(incomplete, type=self.kind)]
        try:
            if ctx.obj.server is not None:
                return []  # a server may be slow to answer
            return [CompletionItem(each) for each in ctx.obj.home().batch_ids() if each.startswith(incomplete)]
        except (OSError, UsageError):
            return []  # whoever presses Tab wants no message about a folder that cannot be read


KINDS: Final = {
    "batch_id": Completed("batch"),
    "batch_ids": Completed("batch"),
    "input": Completed("file"),
    "func": Completed("file"),
    "then": Completed("file"),
    "setup": Completed("file"),
    "output": Completed("file"),
    "home": Completed("dir"),
    "token_file": Completed("file"),
}


def complete_by_name(command: click.Command) -> None:
    """Let the shell complete the parameters of `command` that bear one of these names, and are texts as yet.

    A type that makes something else of the text stays: it knows by itself how to complete it.
    """
    for parameter in command.params:
        names_new_one = isinstance(parameter, click.Option) and parameter.name == "batch_id"
        is_text = isinstance(parameter.type, click.types.StringParamType)
        if parameter.name in KINDS and is_text and not names_new_one:
            parameter.type = KINDS[parameter.name]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@local_options
@click.pass_context
def completion(context: click.Context, /, shell: str) -> int:
    """Print what makes a shell complete verbs, options and ids of batches.

    \b
      eval "$(batchq completion bash)"       in ~/.bashrc
      eval "$(batchq completion zsh)"        in ~/.zshrc, behind compinit
      batchq completion fish | source        in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    console: Console = context.obj
    made = get_completion_class(shell)
    assert made is not None, "click knows these three"
    script = made(context.find_root().command, {}, "batchq", VARIABLE).source()
    if console.as_json:
        console.write_json({"shell": shell, "script": script})
    else:
        console.write([script.rstrip("\n") + "\n"])
    return 0
