"""``start``, ``resume`` and ``retry`` where a server runs the batch: this command asks, follows and reports.

batchq start --server URL … ── upload ──▶ server: queue, then a process of its own
                             ◀── events ── until it has ended; Ctrl-C ends the following, not the batch
"""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from batchq.cli.console import Console, complain

if TYPE_CHECKING:
    from batchq.app.status import BatchStatus


def start_there(console: Console, options: dict[str, Any], priority: int | None, detach: bool) -> int:
    """Make a batch on the server, and follow it unless `detach`; the exit code."""
    from batchq.app.request import StartRequest
    from batchq.app.restored import restored_status
    from batchq.app.text import at_a_time
    from batchq.remote.creation import Order, create

    order = Order.of(StartRequest(**options), priority)
    stdin = sys.stdin.buffer if order.source.is_stdin else None
    made = restored_status(create(console.server_batches().client, order, stdin))
    if detach:
        return _tell_begun(console, made.batch_id)
    limits = at_a_time(made.spec.concurrency, made.spec.workers)
    return _follow(console, made.batch_id, f"{made.batch_id}: reading {made.spec.source.name}, {limits}")


def resume_there(console: Console, batch_id: str, detach: bool, options: dict[str, Any]) -> int:
    """Let the server go on with a batch, and follow it unless `detach`; the exit code."""
    from batchq.app.text import at_a_time, progress_words
    from batchq.errors import BatchBusy, UsageError
    from batchq.model import ACTIVE, ENDED, PAUSING

    for name, value in options.items():
        if value:
            option = "--all" if name == "read_all" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is not for a server: only its owner may say that", f"Leave {option} out.")
    batches = console.server_batches()
    before = batches.status(batch_id)
    if before.holder is not None and before.state in ACTIVE:
        raise BatchBusy(batch_id, before.holder)
    if before.state in ENDED:
        console.say(f"{batch_id} is {before.state}; there is nothing left to do")
        if console.as_json:
            console.write(batches.report_json(batch_id, None))
        return 0
    batches.do(batch_id, "resume")
    if detach:
        return _tell_begun(console, batch_id)
    now = batches.status(batch_id)
    if before.state == PAUSING and now.holder is not None:
        console.say(f"{batch_id} is {now.state}; {now.holder} goes on with it")
        return 0
    far, limits = progress_words(now.tally, now.input_done), at_a_time(now.spec.concurrency, now.spec.workers)
    return _follow(console, batch_id, f"{batch_id}: going on at {far}; {limits}")


def retry_there(
    console: Console,
    batch_id: str,
    error: str | None,
    items: tuple[str, ...],
    timed_out: bool,
    from_stage: int | None,
) -> int:
    """Let failed items run again on the server, and follow the batch; the exit code."""
    from batchq.app.words import count
    from batchq.errors import ServerUnreachable

    asked = {"error": error, "items": list(items), "timed_out": timed_out, "from_stage": from_stage}
    said = {name: value for name, value in asked.items() if value}
    try:
        chosen = int(console.server_batches().do(batch_id, "retry", said)["retried"])
    except ServerUnreachable as lost:
        if lost.was_lost:  # the server may be dead, and what it has begun goes on
            lost.hint = f"How many items run again, this tells: {console.command('status', batch_id)}"
        raise
    if not chosen:
        console.say(f"{batch_id}: no failed item is to run again")
        if console.as_json:
            console.write(console.server_batches().report_json(batch_id, None))
        return 0
    return _follow(console, batch_id, f"{batch_id}: {count(chosen, 'item')} to run again")


def _tell_begun(console: Console, batch_id: str) -> int:
    if console.as_json:
        console.write_json({"batch_id": batch_id})
    else:
        console.write([batch_id + "\n"])
        console.say(f"{console.server} runs it; follow it with: {console.command('wait', batch_id)}")
    return 0


def _follow(console: Console, batch_id: str, opening: str) -> int:
    """Show its progress to its end, and report as the command on the server's machine would."""
    from batchq.app import following
    from batchq.app.progress import open_display
    from batchq.app.text import go_on_line
    from batchq.model import COMPLETED

    batches = console.server_batches()
    console.say(opening)
    try:
        with open_display(console.quiet) as display:
            now = batches.follow(batch_id, display)
    except KeyboardInterrupt:
        console.died_of = signal.SIGINT
        complain(f"{batch_id} runs on, at {console.server}", f"Follow it with: {console.command('wait', batch_id)}")
        return 0
    _report(console, now)
    if now.state != COMPLETED:
        why = f": {now.reason}" if now.reason else ""
        complain(f"{batch_id} is {now.state}{why}", go_on_line(now, console.command))
    return following.exit_code(now)


def _report(console: Console, now: BatchStatus) -> None:
    from batchq.app.text import report_text

    batches = console.server_batches()
    with contextlib.suppress(click.exceptions.Exit):  # nobody reads it: what the batch came to still counts
        if console.as_json:
            console.write(batches.report_json(now.batch_id, None))
        elif not console.quiet:
            console.write([report_text(batches.report(now.batch_id, 0), console.command)])
