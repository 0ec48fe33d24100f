"""The real command in real processes, and a look at what it left on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ledger
import psutil
from waiting import wait_until

from batchq.engine.board import Board
from batchq.store.batch import BatchStore
from batchq.store.connection import open_reader
from batchq.store.home import BatchFolder

LEDGER_FILE = Path(ledger.__file__)


@dataclass
class Bench:
    """A folder with an input and a home, in which one batch is run.

    Attributes:
        folder: everything lies here.
        items: records in the input.
    """

    folder: Path
    items: int = 0

    @property
    def home(self) -> Path:
        """The home of the batches."""
        return self.folder / "home"

    @property
    def ledger(self) -> Path:
        """What the handlers noted."""
        return self.folder / "ledger"

    @property
    def database(self) -> Path:
        """The file of batch b1."""
        return self.home / "b1" / "batch.db"

    def write_input(self, items: int, pad: int = 0) -> Path:
        """An input of so many records, each with `pad` more characters."""
        self.items = items
        path = self.folder / "input.jsonl"
        with path.open("w") as file:
            for n in range(1, items + 1):
                file.write(json.dumps({"id": f"i{n}", "n": n, "pad": "x" * pad}) + "\n")
        return path

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a command."""
        return {**os.environ, "LEDGER": str(self.ledger), "GATE": str(self.folder / "gate"), **more}

    def begin(self, *arguments: str, piped: bool = False, **environment: str) -> subprocess.Popen[str]:
        """Start ``batchq ARGUMENTS`` in a session of its own, and do not wait; `piped`: its input is ours."""
        return subprocess.Popen(
            [sys.executable, "-m", "batchq", *arguments, "--home", str(self.home)],
            env=self.environment(**environment),
            cwd=self.folder,
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``batchq ARGUMENTS`` to its end."""
        process = self.begin(*arguments, **environment)
        stdout, stderr = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def start(self, handler: str, *options: str, **environment: str) -> subprocess.Popen[str]:
        """Start batch b1 over the input with a handler of ``ledger.py``."""
        target = f"{LEDGER_FILE}:{handler}"
        return self.begin("start", "input.jsonl", "--func", target, "--id", "b1", *options, **environment)

    def outcomes(self) -> dict[int, tuple[int, Any]]:
        """By n of the item, its outcomes' number and the last result; of what is committed now."""
        if not self.database.exists():
            return {}
        with closing(open_reader(self.database)) as connection:
            rows = connection.execute("SELECT i.payload, o.result FROM outcomes o JOIN items i USING (seq)").fetchall()
        found: dict[int, tuple[int, Any]] = {}
        for payload, result in rows:
            n = json.loads(payload)["n"]
            found[n] = (found.get(n, (0, None))[0] + 1, None if result is None else json.loads(result))
        return found

    def stored(self) -> int:
        """Items that are stored now."""
        with closing(open_reader(self.database)) as connection:
            count: int = connection.execute("SELECT count(*) FROM items").fetchone()[0]
        return count

    def is_stopping(self, batch_id: str = "b1") -> bool:
        """Whether the supervisor has heard that it is to leave, and has told its workers."""
        with suppress(OSError, ValueError):  # there is none, or it is just being made
            return Board(BatchFolder(self.home / batch_id).board).place(0).stop
        return False

    def stops(self, process: subprocess.Popen[str]) -> None:
        """Wait until nothing begins any more, because the batch stops or has ended."""
        wait_until(lambda: process.poll() is not None or self.is_stopping())

    def wait_until_told(self, batch_id: str = "b1") -> None:
        """Return when the workers have heard it too, or are gone: none begins another item from now on."""
        wait_until(lambda: self.is_stopping(batch_id))
        folder = BatchFolder(self.home / batch_id)
        try:
            board = Board(folder.board)
        except FileNotFoundError:
            return
        beats = [place.beat for place in board]

        def have_looked() -> bool:
            return not folder.lock.is_held() or all(
                place.beat > beat or place.leaving or not place.entered
                for place, beat in zip(board, beats, strict=True)
            )

        wait_until(have_looked)

    def admit(self, upto: int) -> None:
        """Let the items of `ledger.admitted` up to this one end, and those of `ledger.held`."""
        (self.folder / "gate").write_text(str(upto))

    def broken_invariants(self) -> list[str]:
        """What `check` finds."""
        with closing(BatchStore(self.database)) as store:
            return store.check()


def ended(process: subprocess.Popen[str]) -> int:
    """Wait for the end of a command; its exit code."""
    process.communicate(timeout=120)
    return process.returncode


def members(session: int) -> list[psutil.Process]:
    """The living processes of a session, the command's workers included."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            continue
    return found


def workers(session: int) -> list[psutil.Process]:
    """The worker processes of a supervisor: they lead groups of their own."""
    return [p for p in members(session) if p.pid != session and _leads_group(p.pid)]


def _leads_group(pid: int) -> bool:
    with suppress(ProcessLookupError):  # it has ended since
        return os.getpgid(pid) == pid
    return False


def kill(processes: list[psutil.Process]) -> None:
    """SIGKILL to each, at once."""
    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def wait_until_gone(session: int, seconds: float = 60.0) -> None:
    """Nothing of the session is left."""
    wait_until(lambda: not members(session), seconds)
