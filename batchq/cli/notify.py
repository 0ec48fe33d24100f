"""``--notify``: the options of `start`, and sending what is owed at the end of a command."""

from __future__ import annotations

import click

from batchq.cli.console import Console, complain
from batchq.cli.options import F, with_options


def start_notices(command: F) -> F:
    """Who is told how a batch ends."""
    return with_options(
        command,
        [
            click.option(
                "--notify",
                multiple=True,
                metavar="URL",
                help="Send a signed webhook there when the batch has ended, or has stopped and waits for you. May be "
                "repeated.",
            ),
            click.option(
                "--notify-at",
                metavar="SHARE",
                help="And once when such a share of the items has failed, once 50 are done: 5%.",
            ),
        ],
    )


def send_owed(console: Console, batch_id: str, served: bool = False) -> int:
    """Send what the addresses of a batch are still to be told; how many requests were taken.

    What fails is told on stderr and stays owed: it changes nothing of what the command exits with. Nor does Ctrl-C.

    Args:
        console: of the command.
        batch_id: the batch.
        served: a server has begun this process, and goes on with what is not taken soon.
    """
    from batchq.app.notify import ELSEWHERE, IN_ALL_SECONDS, SERVED_SECONDS, deliver_owed
    from batchq.errors import BatchqError

    home = console.home()
    later = "the server tries again" if served else f"`{console.command('resume', batch_id)}` tries again"
    try:
        seconds = SERVED_SECONDS if served else IN_ALL_SECONDS
        came = deliver_owed(home, home.find(batch_id), console.say, seconds)
    except KeyboardInterrupt:
        complain(f"notifications of {batch_id} are not sent", later)
        return 0
    except (BatchqError, OSError) as error:
        complain(f"notifications of {batch_id} are not sent: {error}")
        return 0
    for line in came.failed:
        complain(f"{batch_id}: {line}" if ELSEWHERE in line else f"{batch_id}: {line}; {later}")
    return came.sent
