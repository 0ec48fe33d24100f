"""A command on a terminal of its own, and what it has written there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

CTRL_C = b"\x03"
OPEN = 'exec "$@" <>"$TERMINAL" >&0 2>&1'
"""The first terminal that the leader of a session opens is that of the session: Ctrl-C reaches it alone."""


class Terminal:
    """Runs `command` in a new session whose terminal this is.

    Args:
        command: what to run.
        folder: its working directory.
        environment: its environment.
        size: rows and columns.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        size: tuple[int, int] = (24, 80),
    ) -> None:
        self._ours, self._theirs = pty.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        plain = {name: value for name, value in environment.items() if name not in ("LINES", "COLUMNS")}
        self.process = subprocess.Popen(
            ["sh", "-c", OPEN, "sh", *command],
            cwd=folder,
            env={**plain, "TERM": "xterm", "TERMINAL": os.ttyname(self._theirs)},
            start_new_session=True,
        )
        self.shown = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def type(self, keys: bytes) -> None:
        """Press these keys."""
        os.write(self._ours, keys)

    def ended(self) -> int:
        """Wait for the end of the command; its exit code."""
        code = self.process.wait(timeout=120)
        os.close(self._theirs)  # now nobody has it any more, and the reader comes to its end
        self._reader.join(timeout=60)
        os.close(self._ours)
        return code

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # so ends a pseudo terminal on Linux
            while block := os.read(self._ours, 65536):
                self.shown += block
