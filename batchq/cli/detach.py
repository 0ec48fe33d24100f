"""``--detach``: the same command once more, in a session of its own that survives the terminal.

    batchq start … -d ── Popen ──▶ batchq start … -d   (BATCHQ_READY_FD: it is the child)
            ◀── pipe: the batch's id, once the batch is safe; nothing when it could not be made

What the child has to say before that goes to the terminal, what comes afterwards to the batch's log.
"""

from __future__ import annotations

import os
import sys
from typing import Final

import click

from batchq.cli.console import Console

READY: Final = "BATCHQ_READY_FD"
"""Names the pipe to the command that waits."""

detach_option = click.option(
    "-d", "--detach", is_flag=True, help="Return at once with the id; the batch runs on, also without this terminal."
)


def is_child() -> bool:
    """Whether this process is the one that runs the batch."""
    return READY in os.environ


def is_quiet_child(console: Console) -> bool:
    """As `is_child`; the child has nobody to show anything to."""
    console.quiet = console.quiet or is_child()
    return is_child()


def begin_detached(console: Console, reads_stdin: bool = False) -> int:
    """Start the child, wait until the batch is safe, and tell its id; the exit code.

    Args:
        console: with the arguments of this command.
        reads_stdin: the child reads standard input to its end.
    """
    import subprocess

    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "batchq", *console.arguments],
        env={**os.environ, READY: str(writing)},
        pass_fds=[writing],
        stdin=None if reads_stdin else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        os.close(writing)
        with open(reading, encoding="utf-8") as pipe:
            batch_id = pipe.read()
        if not batch_id:
            return process.wait()
        pid, process.returncode = process.pid, 0  # it is nobody's to wait for
    if console.as_json:
        console.write_json({"batch_id": batch_id, "pid": pid})
    else:
        console.write([batch_id + "\n"])
        console.say(f"process {pid} runs it; follow it with: {console.command('wait', batch_id)}")
    return 0


def tell_ready(console: Console, batch_id: str) -> None:
    """In the child: the batch is safe, and whatever follows goes to its log."""
    ready = int(os.environ.pop(READY))
    os.write(ready, batch_id.encode())
    os.close(ready)
    if console.log is not None:
        log = os.open(console.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
