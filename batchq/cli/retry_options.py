"""The options of `start` that say what runs again, how often, and how long after."""

from __future__ import annotations

import click

from batchq.cli.options import F, option, with_options


def start_retries(command: F) -> F:
    """Which attempts follow a failed one."""
    return with_options(
        command,
        [
            option(
                "--retry-attempts",
                type=int,
                default=3,
                show_default=True,
                metavar="N",
                help="Run an item so often at most; 1 never runs it again.",
            ),
            option(
                "--retry-delay",
                type=float,
                default=1.0,
                show_default=True,
                metavar="SECONDS",
                help="Wait so long before the second attempt.",
            ),
            option(
                "--retry-backoff",
                type=float,
                default=2.0,
                show_default=True,
                metavar="FACTOR",
                help="Each further wait is so many times as long (60 s at most): 1, 2, 4 …",
            ),
            option(
                "--retry-max-delay",
                type=float,
                default=60.0,
                show_default=True,
                metavar="SECONDS",
                help="No wait is longer.",
            ),
            option(
                "--retry-jitter",
                type=float,
                default=0.1,
                show_default=True,
                metavar="SHARE",
                help="Share of a wait that is added at random, so that items do not all come back at once.",
            ),
            option(
                "--retry-budget",
                type=float,
                default=1.0,
                show_default=True,
                metavar="SHARE",
                help="Share of the attempts that may be retries, so that an outage does not become a storm; 1 for no "
                "such limit.",
            ),
            click.option(
                "--no-retry",
                multiple=True,
                metavar="ERROR",
                help="Name of an exception that is not tried again; may be repeated.",
            ),
            click.option(
                "--retry-on",
                multiple=True,
                metavar="ERROR",
                help="Name of one that is, although it would not be: TypeError, say. May be repeated.",
            ),
        ],
    )
