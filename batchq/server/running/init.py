"""What process 1 of a container has to do beside serving: hand signals on, and bury every orphan.

    process 1 ── fork ──▶ the server (a session of its own: Ctrl-C reaches it once, through process 1)
        ├─ SIGTERM, SIGINT, SIGHUP ──▶
        └─ waits for whoever ends; exits as the server does

Loads nothing of the server.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import Final

FORWARDED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PR_SET_CHILD_SUBREAPER: Final = 36
FAULT: Final = 70


def is_first() -> bool:
    """Whether this process is the first of its container, to which all orphans come."""
    return os.getpid() == 1


def split_off() -> int | None:
    """Go on in a child, with None; here stay until it has ended, with its exit code.

    The caller has no threads yet.
    """
    if not is_first():
        _become_subreaper()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    child = os.fork()
    if child:

        def forward(number: int, frame: FrameType | None) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

        for number in FORWARDED:
            signal.signal(number, forward)
    else:
        os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return _bury_until(child) if child else None


def _bury_until(child: int) -> int:
    """Wait for whoever ends, until it is `child`; its exit code."""
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return FAULT
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _become_subreaper() -> None:
    """Let orphans come to this process although it is not the first; only Linux knows that."""
    import ctypes

    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
