"""The supervisors that a server has started: each is `batchq resume ID`, and neither dies with it nor knows it.

server ── Popen ──▶ batchq resume ID --served     (a session of its own; nothing of the server's is open in it)
                      └─ what it has to say goes to the batch's log
"""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from batchq.store.home import BatchFolder, Home

LAST_BYTES: Final = 64 * 1024
"""Of what a supervisor has said, its last words are looked for in so much."""

log = logging.getLogger(__name__)


class Exit(NamedTuple):
    """How a supervisor has ended.

    Attributes:
        batch_id: what it ran.
        code: as `subprocess.Popen.returncode`: negative for the signal that killed it.
        said: its last words in the batch's log; empty where it had none.
        pid: of its process.
    """

    batch_id: str
    code: int
    said: str
    pid: int = 0


class _Child(NamedTuple):
    process: subprocess.Popen[bytes]
    log: Path
    begin: int


class Children:
    """Starts supervisors and takes note of their ends.

    Args:
        home: of the batches.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._running: dict[str, _Child] = {}

    def ids(self) -> set[str]:
        """The batches whose supervisors run."""
        return set(self._running)

    def start(self, folder: BatchFolder) -> None:
        """Go on with a batch in a process, and a session, of its own; raises OSError where the system refuses."""
        command = [sys.executable, "-m", "batchq", "resume", folder.batch_id, "--served", "-q"]
        with folder.log.open("ab") as said:
            process = subprocess.Popen(
                [*command, "--home", str(self._home.path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
            self._running[folder.batch_id] = _Child(process, folder.log, said.tell())
        log.info("%s: process %d runs it", folder.batch_id, process.pid)

    def ended(self) -> list[Exit]:
        """Those that have ended since the last call."""
        found = []
        for batch_id, child in list(self._running.items()):
            code = child.process.poll()
            if code is not None:
                del self._running[batch_id]
                found.append(Exit(batch_id, code, _last_words(child.log, child.begin), child.process.pid))
        return found

    def stop(self, batch_id: str) -> bool:
        """Ask the supervisor of a batch to leave; whether there was one to ask."""
        child = self._running.get(batch_id)
        if child is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(signal.SIGTERM)
        return True


def _last_words(path: Path, begin: int) -> str:
    """Of what was said from there on, what the command itself said last; else the last line."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(begin, end - LAST_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    said = [line for line in lines if line.strip()]
    own = [line.removeprefix("batchq: ") for line in said if line.startswith("batchq: ")]
    return (own or said or [""])[-1].strip()
