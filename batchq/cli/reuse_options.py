"""The options of `start` that keep what was paid for from being paid for again."""

from __future__ import annotations

import click

from batchq.cli.options import F, with_options


def start_reuse(command: F) -> F:
    """Where results of items that were done before are."""
    return with_options(
        command,
        [
            click.option(
                "--reuse",
                multiple=True,
                metavar="BATCH",
                help="An item that is the same as one that succeeded in this earlier batch takes its result, and does "
                "not run; may be repeated.",
            ),
            click.option(
                "--reuse-changed",
                is_flag=True,
                help="With --reuse: also where that batch has run another function, or another version of it.",
            ),
            click.option(
                "--cache",
                metavar="FOLDER",
                help="Keep results in this folder, and take those of the same function, or the same ready-made work, "
                "that any batch has kept there.",
            ),
        ],
    )
