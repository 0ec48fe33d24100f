"""The options that limit a batch: `start` gives them, `set` changes them."""

from __future__ import annotations

from typing import Final

import click

from batchq.cli.options import F, option, with_options

RATE_HELP: Final = (
    "Begin so many attempts in so long, evenly, over all workers: 10/s, 600/m, 5000/h. In a unit of your own what "
    "handlers tell by ctx.spend: tokens=90k/m. May be repeated."
)
BUDGET_HELP: Final = "Pause when handlers have spent so much in all, by ctx.spend: usd=20. May be repeated."
DEADLINE_HELP: Final = (
    "What has not begun by then never does: 2h from now, 18:30, or 2026-12-01T18:30. What is recorded stays."
)
MEMFREE_HELP: Final = "Begin nothing new while less memory than that is free: 2G."
HALT_HELP: Final = "Stop the batch at so many failed items (100), or at such a share of them once 50 are done (20%)."
ADAPTIVE_HELP: Final = (
    "Lower the concurrency when an answer says that the server is overloaded (429, 503), and raise it again slowly."
)


def start_limits(command: F) -> F:
    """The limits that `start` gives a batch beyond concurrency, timeout and retries."""
    return with_options(
        command,
        [
            click.option("--rate", multiple=True, metavar="RATE", help=RATE_HELP),
            click.option("--budget", multiple=True, metavar="UNIT=N", help=BUDGET_HELP),
            option("--adaptive", is_flag=True, help=ADAPTIVE_HELP),
            option("--halt", metavar="LIMIT", help=HALT_HELP),
            click.option("--deadline", metavar="TIME", help=DEADLINE_HELP),
            option("--memfree", metavar="SIZE", help=MEMFREE_HELP),
            click.option(
                "--on-finish",
                metavar="COMMAND",
                help="A shell command for when the batch has ended, or has stopped and waits for you; it finds "
                "BATCHQ_ID, BATCHQ_STATE, BATCHQ_REASON and the counts in its environment.",
            ),
            option(
                "--max-tasks-per-worker",
                type=int,
                metavar="N",
                help="Replace a worker process after so many items, for handlers that leak.",
            ),
            option(
                "--max-worker-memory",
                metavar="SIZE",
                help="Replace a worker process that has more than that in memory: 2G.",
            ),
        ],
    )


def changed_limits(command: F) -> F:
    """The limits that `set` changes; what is not named stays."""
    taken = ' "none" takes it away.'
    return with_options(
        command,
        [
            click.option("--concurrency", "-c", type=int, metavar="N", help="Items in flight in the whole batch."),
            click.option("--workers", "-w", type=int, metavar="N", help="Processes, at most."),
            click.option(
                "--priority",
                type=click.IntRange(-1000, 1000),
                metavar="N",
                help="Of a batch that waits for a server: the highest runs first.",
            ),
            click.option("--timeout", type=float, metavar="SECONDS", help="Limit of one attempt; 0 for none."),
            click.option("--retry-attempts", type=int, metavar="N", help="Run an item so often at most."),
            click.option("--rate", multiple=True, metavar="RATE", help=RATE_HELP + taken),
            click.option("--budget", multiple=True, metavar="UNIT=N", help=BUDGET_HELP + taken),
            click.option("--adaptive/--no-adaptive", default=None, help=ADAPTIVE_HELP),
            click.option("--halt", metavar="LIMIT", help=HALT_HELP + taken),
            click.option("--deadline", metavar="TIME", help=DEADLINE_HELP + taken),
            click.option("--memfree", metavar="SIZE", help=MEMFREE_HELP + taken),
        ],
    )
