"""``start --queue``: the batch is made here, and run by the server of this home when its turn comes."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import Any

import click

from batchq.cli.console import Console
from batchq.cli.options import F, with_options
from batchq.cli.settings import blamed


def queue_options(command: F) -> F:
    """Leave the batch to a server, and how urgent it is there."""
    return with_options(
        command,
        [
            click.option(
                "--queue",
                is_flag=True,
                help="Leave it to the server of this home (batchq serve), and return at once with the id.",
            ),
            click.option(
                "--priority",
                type=click.IntRange(-1000, 1000),
                metavar="N",
                help="With --queue or --server: run before those of a lower one, of the same by age.  [default: 0]",
            ),
        ],
    )


def enqueue(console: Console, priority: int | None, options: dict[str, Any]) -> int:
    """Make the batch, and say who runs it; the exit code.

    Args:
        console: where to say it.
        priority: higher ones run first.
        options: all others of `start`.
    """
    from batchq.app.enqueue import enqueue as make
    from batchq.app.request import StartRequest
    from batchq.app.serving import server_of

    home = console.home()
    with blamed(click.get_current_context()), redirect_stdout(sys.stderr):  # the user's module may print
        folder = make(home, StartRequest(**options), priority or 0, note=console.say)
    batch_id, server = folder.batch_id, server_of(home)
    if console.as_json:
        url = server.url if server else None
        console.write_json({"batch_id": batch_id, "state": "queued", "priority": priority or 0, "server": url})
        return 0
    console.write([batch_id + "\n"])
    if server:
        console.say(
            f"the server ({server}) runs it when its turn comes; follow it with: {console.command('wait', batch_id)}"
        )
    else:
        console.say(f"no server runs on {home.path}; it waits for one: {console.command('serve')}")
    return 0
