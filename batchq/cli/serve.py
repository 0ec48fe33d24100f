"""``batchq serve``: the long-running server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchq.cli.console import Console, local_options

if TYPE_CHECKING:
    from batchq.server.settings import ServerSettings


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to bind; 0.0.0.0 for all of this machine. Others reach it by a name of --allow-host only.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes a free one.")
@click.option(
    "--max-batches",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    metavar="N",
    help="Start no batch while so many run; the others wait, the most urgent first (--priority), then the oldest.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="TARGET-GLOB",
    help="Functions that a caller may name, such as 'pipeline:*'; may be repeated. Without it nobody can make batches "
    "over HTTP.",
)
@click.option(
    "--root",
    "roots",
    multiple=True,
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder in which a caller may name files; may be repeated. Without it callers upload theirs.",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Another name by which this server is called, say that of a proxy; may be repeated.",
)
@click.option(
    "--notify",
    multiple=True,
    metavar="URL",
    help="Send a signed webhook there when a batch that was made over HTTP has ended, or has stopped by itself. May be "
    "repeated.",
)
@click.option(
    "--notify-at",
    metavar="SHARE",
    help="And once when such a share of its items has failed, once 50 are done: 5%.",
)
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where the token is, which is made when missing.  [default: .server/token in the home]",
)
@click.option(
    "--stop-batches",
    is_flag=True,
    help="Stopping the server stops its batches, too, and waits for them; otherwise they run on. Either way the next "
    "server goes on with them.",
)
@click.option("--link", is_flag=True, help="Print a new one-time link to the server that runs here, and end.")
@click.option(
    "--init", is_flag=True, help="Bury orphans and hand signals on, as process 1 of a container does by itself."
)
@click.option(
    "--log-size",
    default="10M",
    show_default=True,
    metavar="SIZE",
    help="Begin the server's log anew at that size; the four before it are kept.",
)
@click.option(
    "--restart-delay",
    type=click.FloatRange(min=0.01),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Start a batch whose process has died again after so long, and after twice as long each further time.",
)
@click.option(
    "--max-streams",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    metavar="N",
    help="Clients that may watch at a time.",
)
@click.option(
    "--max-upload",
    default="1G",
    show_default=True,
    metavar="SIZE",
    help="Take no larger file; a proxy in front has a limit of its own.",
)
@click.option(
    "--max-items",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    metavar="N",
    help="Take no more items in one call; more of them are uploaded as a file.",
)
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="Of a reverse proxy: its X-Forwarded-For and X-Forwarded-Proto are believed.",
)
@local_options
@click.pass_obj
def serve(console: Console, /, link: bool, init: bool, **options: Any) -> int:
    """Run batches for others: over HTTP, and with a dashboard for the browser.

    The server runs the batches of this home, each in a process of its own: those that were made for it (`batchq start
    --queue`, the API), and those begun in a terminal whose process has died. They outlive the server; another one on
    the same home finds them, and goes on with what has died meanwhile.

    On a terminal, and with --json, it tells a link that logs a browser in once; elsewhere --link gets one.

    SIGTERM and Ctrl-C stop it (a second one at once); SIGHUP lets it open its log again, server.log in the folder
    .server of the home.

    \b
      batchq serve --allow 'pipeline:*' --root ideas/
      batchq serve --link                        a new way in for the browser
      batchq start ideas.jsonl --func pipeline:make_title --queue
    """
    console.only_here("`batchq serve` runs here", by_variable=False)
    if link:
        return _tell_link(console)
    try:
        from batchq.server.security.exposure import check_owner_choices
        from batchq.server.serve import serve as run
    except ModuleNotFoundError as error:
        from batchq.errors import UsageError

        raise UsageError(f"the server needs {error.name}", "pip install 'batchq[server]'") from error
    from batchq.server.running.init import is_first, split_off
    from batchq.server.settings import ServerSettings
    from batchq.units import bytes_of

    settings = ServerSettings(
        console.home(),
        roots=tuple(root.resolve() for root in options.pop("roots")),
        max_upload=bytes_of("--max-upload", options.pop("max_upload")),
        log_bytes=bytes_of("--log-size", options.pop("log_size")),
        **options,
    )
    warning = check_owner_choices(settings)
    if init or is_first():
        code = split_off()
        if code is not None:
            return code

    run(settings, lambda address, make_link: _tell_start(console, settings, warning, address, make_link))
    return 0


def _tell_start(
    console: Console, settings: ServerSettings, warning: str, address: str, make_link: Callable[[], str]
) -> None:
    from batchq.app.signature import is_in_variable, secret_path

    if warning:
        console.say(warning)
    if console.as_json:
        console.write_json_line({"url": address, "link": make_link(), "home": str(settings.home.path)})
        return
    console.say(f"serving {settings.home.path} at {address}")
    if sys.stderr.isatty():
        console.say(f"open it once, within ten minutes: {make_link()}")
    else:  # a log, which others may read
        console.say(f"open it in a browser with a link from: {console.command('serve', '--link')}")
    if settings.notify and not is_in_variable():
        console.say(f"notifications are signed with the secret in {secret_path(settings.home)}")
    if not settings.allow:
        console.say("without --allow nobody can make batches over HTTP; those of this home are shown and steered")


def _tell_link(console: Console) -> int:
    from batchq.app.serving import login_link

    link = login_link(console.home())
    if console.as_json:
        console.write_json({"link": link})
    else:
        console.write([link + "\n"])
    return 0
