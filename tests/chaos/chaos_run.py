"""Performs a chaos plan with the real command: starts the batch, does the faults, and resumes until it has ended.

    Run(plan, folder).perform()
        start ─▶ [wait for the moment ─▶ fault ─▶ resume where it took the supervisor along] … ─▶ resume to the end

Processes that hang are a finding, not an accident: `Stuck` is raised, and everything is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Final

import chaos_handler
import psutil
from chaos_plan import Fault, Plan
from chaos_witness import Observer, starts
from command import kill, members, workers

from batchq.errors import BatchqError
from batchq.model import ENDED
from batchq.store.batch import BatchReader
from batchq.store.connection import DatabaseError

COMMAND_SECONDS: Final = 300.0
"""No command of a schedule takes a tenth of it."""
GONE_SECONDS: Final = 120.0
RESUMES: Final = 12
"""More of them than any plan needs: the batch does not get on."""
STARTUP_SECONDS: Final = 10.0
"""Before its first attempt, a command may wait for orphans of the one before."""
QUIET_SECONDS: Final = 1.5
SLEEP_SECONDS: Final = 0.4
FULL_SECONDS: Final = 1.0
CLAIM_TO_DIE: Final = (-signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL)


class Stuck(Exception):
    """Something did not end."""


SETTINGS: Final = ((2, 1, "none"), (30, 3, "none"), (8, 2, "400/s"), (1, 1, "200/s"), (16, 4, "tokens=9/s"))
"""Concurrency, workers and rate of a ``batchq set``."""


class Run:
    """One schedule while it runs, and what it did.

    Args:
        plan: what to do.
        folder: an empty folder, in which everything lies.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.concurrency = plan.concurrency
        """The highest that held."""
        self.folder = folder
        self.home = folder / "home"
        self.database = self.home / "b1" / "batch.db"
        self.ledger = folder / "ledger"
        self.ledger.mkdir()
        self.done: Counter[str] = Counter()
        """Faults done, by kind."""
        self.crashes = 0
        """How often something was killed from outside; each may make items run again."""
        self.wrong: list[str] = []
        """What a command said or answered that it should not have."""
        self._sessions: list[int] = []
        self._write_input()
        self.observer = Observer(self.database)

    def perform(self) -> None:
        """From the start to the end of the batch.

        Raises:
            Stuck: a command or a worker did not end.
        """
        try:
            process = self._start()
            for fault in self.plan.faults:
                process = self._until(fault, process)
                if self.state() in ENDED:
                    break
                self._do(fault, process)
            self._finish(process)
            _wait(self._nothing_left, GONE_SECONDS, "processes of the batch are left")
        finally:
            kill([process for session in self._sessions for process in members(session)])
            self.observer.stop()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command beside the batch, to its end."""
        process = self._begin(*arguments)
        code, stdout, stderr = self._end(process)
        return subprocess.CompletedProcess(process.args, code, stdout, stderr)

    def state(self) -> str:
        """The batch's; empty where there is none yet."""
        with contextlib.suppress(BatchqError, DatabaseError), closing(BatchReader.open(self.database)) as reader:
            return reader.progress().state
        return ""

    # Commands ------------------------------------------------------------------------------------------------

    def _write_input(self) -> None:
        with (self.folder / "input.jsonl").open("w") as file:
            file.writelines(json.dumps(item) + "\n" for item in self.plan.items)

    def _begin(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "batchq", *arguments, "--home", str(self.home)],
            env={**os.environ, chaos_handler.LEDGER: str(self.ledger)},
            cwd=self.folder,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._sessions.append(process.pid)
        self._began = time.monotonic()
        return process

    def _start(self) -> subprocess.Popen[str]:
        target = f"{chaos_handler.__file__}:{self.plan.handler}"
        piped = self.plan.piped
        source = ("-", "--input-format", "jsonl") if piped else ("input.jsonl",)
        options = ("--func", target, "--id", "b1", "-q", *self.plan.options())
        process = self._begin("start", *source, *options, stdin=subprocess.PIPE if piped else subprocess.DEVNULL)
        if piped:
            # Taken away from the process, whose `communicate` would close it.
            pipe, process.stdin = process.stdin, None
            threading.Thread(target=self._feed, args=[pipe], daemon=True).start()
        return process

    def _feed(self, pipe: IO[str]) -> None:
        """Standard input, a few records at a time; who reads it may be gone at any moment."""
        lines = (self.folder / "input.jsonl").read_text().splitlines(keepends=True)
        with contextlib.suppress(OSError), pipe:
            for index in range(0, len(lines), 40):
                pipe.write("".join(lines[index : index + 40]))
                pipe.flush()
                time.sleep(0.005)  # a program that writes now and then

    def _resume(self) -> subprocess.Popen[str]:
        if not self.database.exists():
            return self._start()  # it was killed before it had made the batch, and had named none
        ended = self.plan.piped and not self._input_is_stored()
        return self._begin("resume", "b1", "-q", *(["--input-ended"] if ended else []))

    def _input_is_stored(self) -> bool:
        with closing(BatchReader.open(self.database)) as reader:
            return reader.row().input_done

    def _end(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        """Wait for the end of a command, and look at what it said."""
        try:
            stdout, stderr = process.communicate(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            raise Stuck(f"{process.args!r} has not ended") from None
        # Ctrl-C may come before Python has begun with batchq.
        if "Traceback" in stderr and f"{os.sep}batchq{os.sep}" in stderr:
            self.wrong.append(f"a traceback: {stderr}")
        return process.returncode, stdout, stderr

    def _finish(self, process: subprocess.Popen[str]) -> None:
        for _ in range(RESUMES):
            code, _, stderr = self._end(process)
            state = self.state()
            if state in ENDED:
                return
            if code not in (3, 74, *CLAIM_TO_DIE) and not _came_too_early(state, stderr):
                self.wrong.append(f"exit code {code} in state {state!r}: {stderr}")
            process = self._resume()
        raise Stuck(f"after {RESUMES} resumes it is still {self.state()}")

    def _nothing_left(self) -> bool:
        return not any(members(session) for session in self._sessions)

    # Moments -------------------------------------------------------------------------------------------------

    def _until(self, fault: Fault, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        """Wait for the moment of `fault`; the process that then runs the batch."""
        if process.poll() is not None:
            self._end(process)
            if self.state() in ENDED:
                return process
            if not fault.at_once:
                _wait(self._nothing_left, GONE_SECONDS, "processes of the batch are left")
            process = self._resume()
        many = None if fault.starts is None else starts(self.ledger) + fault.starts
        moment = self._began + fault.seconds
        seen = starts(self.ledger)
        quiet_since = time.monotonic() + STARTUP_SECONDS

        def is_time() -> bool:
            nonlocal seen, quiet_since
            now, count = time.monotonic(), starts(self.ledger)
            if count != seen:
                seen, quiet_since = count, now
            # Where all that is left hangs, no more attempts will begin soon.
            struck = now >= moment if many is None else count >= many or now > quiet_since + QUIET_SECONDS
            return struck or process.poll() is not None

        _wait(is_time, COMMAND_SECONDS, f"the moment of {fault}")
        return process

    # Faults --------------------------------------------------------------------------------------------------

    def _do(self, fault: Fault, process: subprocess.Popen[str]) -> None:
        if process.poll() is not None:
            return
        method: Callable[[Fault, subprocess.Popen[str]], object] = getattr(self, "_" + fault.kind.replace(" ", "_"))
        if method(fault, process) is not False:
            self.done[fault.kind] += 1

    def _kill_worker(self, fault: Fault, process: subprocess.Popen[str]) -> bool:
        found = sorted(workers(process.pid), key=lambda worker: worker.pid)
        if not found:
            return False
        self.crashes += 1
        kill([found[fault.choice % len(found)]])
        return True

    def _kill_supervisor(self, fault: Fault, process: subprocess.Popen[str]) -> None:
        self.crashes += 1
        process.kill()
        process.wait()

    def _kill_everything(self, fault: Fault, process: subprocess.Popen[str]) -> None:
        self.crashes += 1
        kill(members(process.pid))
        process.wait()

    def _interrupt(self, fault: Fault, process: subprocess.Popen[str]) -> None:
        self._signal(fault, process, signal.SIGINT)

    def _terminate(self, fault: Fault, process: subprocess.Popen[str]) -> None:
        self._signal(fault, process, signal.SIGTERM)

    def _signal(self, fault: Fault, process: subprocess.Popen[str], number: signal.Signals) -> None:
        # What is in flight when the grace time is over is abandoned, and runs again.
        self.crashes += 1
        process.send_signal(number)
        if fault.choice % 3 == 0:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        code, _, stderr = self._end(process)
        # One that comes before the command has set its own answer, or after all is done, finds Python's.
        if code not in (-number, 0, 1, 3):
            self.wrong.append(f"{number.name} was answered with exit code {code}: {stderr}")

    def _pause(self, fault: Fault, process: subprocess.Popen[str]) -> bool:
        if not self.database.exists():
            return False
        said = self.run("pause", "b1", *(["--wait"] if fault.choice % 2 else []))
        self._expect(said, (0,), "pause")
        code, _, stderr = self._end(process)
        if code not in (3, 0, 1):
            self.wrong.append(f"a paused batch's command ended with {code}: {stderr}")
        return True

    def _pause_and_go_on(self, fault: Fault, process: subprocess.Popen[str]) -> bool:
        """Resumed while it may still be pausing: the same supervisor goes on, or another begins."""
        if not self.database.exists():
            return False
        self._expect(self.run("pause", "b1"), (0,), "pause")
        again = self._resume()
        code, _, stderr = self._end(again)
        if code not in (0, 1, 3, 75):
            self.wrong.append(f"resume while pausing ended with {code}: {stderr}")
        return True

    def _cancel(self, fault: Fault, process: subprocess.Popen[str]) -> bool:
        if not self.database.exists():
            return False
        self._expect(self.run("cancel", "b1", "--yes"), (0,), "cancel")
        code, _, stderr = self._end(process)
        if code not in (3, 0, 1):
            self.wrong.append(f"a cancelled batch's command ended with {code}: {stderr}")
        return True

    def _set(self, fault: Fault, process: subprocess.Popen[str]) -> bool:
        """Other limits, which let more or fewer items run, in more or fewer workers, or none but evenly."""
        if not self.database.exists():
            return False
        concurrency, workers, rate = SETTINGS[fault.choice % len(SETTINGS)]
        self.concurrency = max(self.concurrency, concurrency)
        said = self.run("set", "b1", "-c", str(concurrency), "-w", str(workers), "--rate", rate)
        # It may have been cancelled meanwhile, which is for good.
        self._expect(said, (0, 2) if self.state() == "cancelled" else (0,), "set")
        return True

    def _rival(self, fault: Fault, process: subprocess.Popen[str]) -> bool:
        """A second supervisor is refused while the first one lives."""
        if not self.database.exists():
            return False
        stopped = psutil.Process(process.pid)
        stopped.suspend()  # so that it cannot end meanwhile
        try:
            said = self.run("resume", "b1", "-q")
        finally:
            stopped.resume()
        if said.returncode == 75:
            return True
        # It may not have taken the lock yet, or not hold it any more; then the rival runs the batch.
        if str(process.pid) in said.stderr or said.returncode not in (0, 1, 3):
            self.wrong.append(f"a rival ended with {said.returncode}: {said.stderr}")
        return False

    def _sleep(self, fault: Fault, process: subprocess.Popen[str]) -> None:
        """A laptop's lid is closed for a moment: every process stands still."""
        found = members(process.pid)
        for each in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.suspend()
        time.sleep(SLEEP_SECONDS)  # the fault itself
        for each in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.resume()

    def _full_disk(self, fault: Fault, process: subprocess.Popen[str]) -> bool:
        if not self.home.is_mount():
            return False
        hog = self.home / "hog"
        with contextlib.suppress(OSError), hog.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        moment = time.monotonic() + FULL_SECONDS
        _wait(lambda: time.monotonic() >= moment or process.poll() is not None, COMMAND_SECONDS, "the full disk")
        hog.unlink()
        self.crashes += 1
        return True

    def _expect(self, said: subprocess.CompletedProcess[str], codes: tuple[int, ...], what: str) -> None:
        if said.returncode not in codes:
            self.wrong.append(f"{what} ended with {said.returncode}: {said.stderr}")


@contextlib.contextmanager
def small_disk(home: Path, megabytes: int) -> Iterator[bool]:
    """Mount a small disk at `home` for the time of the block; False where this user may not."""
    home.mkdir(mode=0o700, exist_ok=True)
    size = f"size={megabytes}m,mode=0700"
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", home], check=False).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", home], check=True)


def _wait(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Stuck(f"not within {seconds:g} s: {what}")
        time.sleep(0.01)


def _came_too_early(state: str, stderr: str) -> bool:
    """Whether a fault struck before there was a batch: Ctrl-C while Python itself starts, or a disk that is full."""
    return not state and ("init_import_site" in stderr or "as home: the disk of" in stderr)
