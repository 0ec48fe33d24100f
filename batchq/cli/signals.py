"""What signals do to a command that supervises a batch: three ask it to stop, Ctrl-Z suspends it with its workers."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Final

from batchq.cli.console import Console

if TYPE_CHECKING:
    from batchq.engine.supervisor import Supervisor

STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, `kill`, and the terminal that closes."""

Handler = Callable[[int, "FrameType | None"], None]


@contextlib.contextmanager
def obeyed(console: Console, supervisor: Supervisor, grace: float) -> Iterator[None]:
    """Obey signals during the block.

    Args:
        console: takes note of the signal that this process is to die of.
        supervisor: is asked to stop, and holds the workers that Ctrl-Z suspends.
        grace: seconds that what is in flight has, for the message.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        words = "abandoning what is in flight" if console.died_of else _stopping(grace)
        console.died_of = console.died_of or number
        supervisor.stop()
        if not console.quiet:
            # Not by print: the signal may have come in the middle of another one.
            line_end = b"\n" if os.isatty(2) else b""
            with contextlib.suppress(OSError):
                os.write(2, line_end + f"batchq: {words}\n".encode())

    def suspend(number: int, frame: FrameType | None) -> None:
        # Workers lead groups of their own, which the terminal's signal does not reach.
        supervisor.signal_workers(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)  # returns when somebody continues this process
        supervisor.signal_workers(signal.SIGCONT)

    wanted: dict[signal.Signals, Handler] = {**dict.fromkeys(STOPPING, stop), signal.SIGTSTP: suspend}
    # nohup and shells without job control have some of them ignored, and mean it; Ctrl-C always stops.
    heard = [number for number in wanted if number in STOPPING[:2] or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, wanted[number]) for number in heard}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _stopping(grace: float) -> str:
    return f"stopping; what is in flight has {grace:g} s to finish (once more: abandon it)"
