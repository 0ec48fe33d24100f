"""``status`` and ``log``: verbs that only read, and load no engine."""

from __future__ import annotations

import click

from batchq.cli.console import Console, common_options, complain
from batchq.cli.watch import watch


@click.command()
@click.argument("batch_id", metavar="[ID]", required=False)
@click.option("--watch", "watching", is_flag=True, help="Look again and again, until no process runs it any more.")
@click.option(
    "--interval",
    type=float,
    metavar="SECONDS",
    help="Between two looks of --watch.  [default: 1 on a terminal, elsewhere 10]",
)
@common_options
@click.pass_obj
def status(console: Console, /, batch_id: str | None, watching: bool, interval: float | None) -> int:
    """How a batch stands, or all of them: how far, how fast, what fails and why.

    With --watch, a terminal is redrawn in place; elsewhere there is a line each time (with --json an object).

    \b
      batchq status
      batchq status batch-20261125-001 --json
      batchq status batch-20261125-001 --watch
    """
    from batchq.app.status import BatchStatus
    from batchq.app.text import status_table, status_text

    batches = console.batches()
    if watching:
        return watch(console, batches, batch_id, interval)
    if interval is not None:
        raise click.UsageError("--interval is of use with --watch only")
    if batch_id is not None:
        one = batches.status(batch_id)
        if console.as_json:
            console.write_json(one.to_dict())
        else:
            has_server = one.holder is None and batches.has_server()
            console.write([status_text(one, console.command, has_server=has_server)])
        return 0
    found = batches.all()
    readable = sorted((each for each in found if isinstance(each, BatchStatus)), key=lambda batch: batch.created_at)
    errors = [each for each in found if not isinstance(each, BatchStatus)]
    if console.as_json:
        listed = [each.to_dict() for each in readable]
        console.write_json({"home": batches.place(), "batches": listed, "errors": [str(error) for error in errors]})
    elif readable:
        console.write([status_table(readable)])
    for error in errors:
        complain(str(error), console.with_home(error.hint))
    if not found:
        console.say(f"no batches in {batches.place()}")
    return 0


@click.command()
@click.argument("batch_id", metavar="ID")
@click.option("-n", "--lines", type=click.IntRange(min=0), metavar="N", help="The last N lines only.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is still to come, until no process runs it.")
@common_options
@click.pass_obj
def log(console: Console, /, batch_id: str, lines: int | None, follow: bool) -> int:
    """What the supervisor, the workers and the handlers had to say, prints included.

    \b
      batchq log batch-20261125-001 -n 20
      batchq log batch-20261125-001 -f
    """
    batches = console.batches()
    if follow:
        for line in batches.follow_log(batch_id, lines):
            if console.as_json:
                console.write_json_line({"batch_id": batch_id, "line": line.rstrip("\n")})
            else:
                console.write([line])
        return 0
    said = batches.log(batch_id, lines)
    if console.as_json:
        console.write_json({"batch_id": batch_id, "lines": [line.rstrip("\n") for line in said]})
    else:
        console.write(said)
    return 0
