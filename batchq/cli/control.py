"""The verbs that steer a batch, or look after those that lie there."""

from __future__ import annotations

import sys

import click

from batchq.cli.console import Console, common_options, complain, local_options
from batchq.cli.notify import send_owed

_YES = click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")


@click.command()
@click.argument("batch_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Return when nothing of it is in flight any more.")
@common_options
@click.pass_obj
def pause(console: Console, /, batch_id: str, wait: bool) -> int:
    """Begin nothing new; what is in flight finishes, and the batch's process ends.

    A pause holds until `batchq resume ID`, across crashes and reboots.

    \b
      batchq pause batch-20261125-001 --wait
    """
    from batchq.model import ENDED, LEAVING

    batches = console.batches()
    state = batches.pause(batch_id)
    if wait and state in LEAVING:
        state = batches.settled(batch_id)
    nothing = state in ENDED or state == "failed"
    _tell_state(console, batch_id, state, "there is nothing to pause" if nothing else "")
    return 0


@click.command()
@click.argument("batch_id", metavar="ID")
@_YES
@common_options
@click.pass_obj
def cancel(console: Console, /, batch_id: str, yes: bool) -> int:
    """As pause, and for good: what has not run stays so. What is recorded stays, too.

    \b
      batchq cancel batch-20261125-001
    """
    from batchq.app.text import progress_words
    from batchq.model import ENDED

    batches = console.batches()
    now = batches.status(batch_id)
    if now.state in ENDED:
        _tell_state(console, batch_id, now.state, "there is nothing to cancel")
        return 0
    if not _sure(yes, f"Cancel {batch_id} ({progress_words(now.tally, now.input_done)}) for good?"):
        return 2
    state = batches.cancel(batch_id)
    _tell_state(console, batch_id, state)
    if state in ENDED and console.server is None:  # else the process that runs it sees to that
        send_owed(console, batch_id)
    return 0


@click.command()
@click.argument("batch_id", metavar="ID")
@click.option("--follow/--no-follow", default=True, show_default=True, help="Show its progress.")
@common_options
@click.pass_obj
def wait(console: Console, /, batch_id: str, follow: bool) -> int:
    """Wait until no process runs a batch any more, with its bar; exits as the batch's own command does.

    \b
      batchq start ideas.jsonl --func pipeline:make_title --detach --id titles
      batchq wait titles && echo all of them succeeded
    """
    from batchq.app import following
    from batchq.app.progress import open_display
    from batchq.app.text import go_on_line

    batches = console.batches()
    batches.status(batch_id)
    with open_display(console.quiet or not follow) as display:
        status = batches.follow(batch_id, display)
    if console.as_json:
        console.write_json(status.to_dict())
    code = following.exit_code(status)
    if code == 3:
        why = f": {status.reason}" if status.reason else ""
        complain(f"{batch_id} is {status.state}{why}", go_on_line(status, console.command))
    return code


@click.command()
@click.argument("batch_ids", metavar="ID...", nargs=-1, required=True)
@_YES
@common_options
@click.pass_obj
def rm(console: Console, /, batch_ids: tuple[str, ...], yes: bool) -> int:
    """Delete batches, with all that they have recorded. A batch that runs is refused.

    \b
      batchq rm batch-20261125-001 batch-20261125-002
    """
    batches = console.batches()
    for batch_id in batch_ids:
        batches.find(batch_id)
    if not _sure(yes, f"Delete {', '.join(batch_ids)} and all their results?"):
        return 2
    for batch_id in batch_ids:
        batches.remove(batch_id)
        console.say(f"{batch_id} is deleted")
    if console.as_json:
        console.write_json({"deleted": list(batch_ids)})
    return 0


@click.command()
@click.option(
    "--older-than", required=True, metavar="TIME", help="Batches that ended so long ago: 90s, 15m, 12h, 30d, 4w."
)
@_YES
@common_options
@click.pass_obj
def prune(console: Console, /, older_than: str, yes: bool) -> int:
    """Delete batches that have ended, completed or cancelled, some time ago.

    \b
      batchq prune --older-than 30d
    """
    from batchq.app.status import ended_before
    from batchq.app.words import count
    from batchq.units import seconds_of

    seconds = seconds_of("--older-than", older_than)
    batches = console.batches()
    found = list(ended_before(batches.all(), seconds))
    if found and not _sure(yes, f"Delete {count(len(found), 'batch', 'batches')}, {found[0].batch_id} first?"):
        return 2
    for batch in found:
        batches.remove(batch.batch_id)
    console.say(f"{count(len(found), 'batch', 'batches')} deleted")
    if console.as_json:
        console.write_json({"deleted": [batch.batch_id for batch in found]})
    return 0


@click.command()
@click.argument("batch_id", metavar="ID")
@click.option("--repair", is_flag=True, help="Mend counts and queue from the items and their outcomes.")
@local_options
@click.pass_obj
def check(console: Console, /, batch_id: str, repair: bool) -> int:
    """Test a batch's file: its integrity, the counts against the rows, the queue against the items.

    Exits with 0 when all is well (or is again), with 1 when something is broken.

    \b
      batchq check batch-20261125-001 --repair
    """
    from batchq.app import upkeep

    console.only_here("a batch is checked on the machine where its file is")
    found = upkeep.check(console.home(), batch_id, repair)
    if console.as_json:
        console.write_json({"batch_id": batch_id, "broken": found.broken, "mended": found.mended})
        return 1 if found.broken else 0
    for problem in found.broken:
        complain(f"{batch_id}: {problem}")
    if not found.broken:
        console.say(f"{batch_id}: {'mended' if found.mended else 'all is well'}")
    elif found.damaged:
        complain(f"{console.command('results', batch_id)} shows what can still be read; no repair brings the rest back")
    elif not repair:
        complain(f"{console.command('check', batch_id, '--repair')} mends counts and queue")
    return 1 if found.broken else 0


def _tell_state(console: Console, batch_id: str, state: str, note: str = "") -> None:
    if console.as_json:
        console.write_json({"batch_id": batch_id, "state": state})
    else:
        console.say(f"{batch_id} is {state}" + (f"; {note}" if note else ""))


def _sure(yes: bool, question: str) -> bool:
    """Whether the user wants what cannot be undone."""
    if yes:
        return True
    if not sys.stdin.isatty():
        complain("this cannot be undone", "Say --yes.")
        return False
    return click.confirm(question, err=True)
