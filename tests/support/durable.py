"""QUEUE batches in a folder of the test's own, and programs that run them in processes of their own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import ledger
import psutil
from command import Bench
from in_memory import quick
from in_memory import run as run_watched

import batchq
from batchq import BatchConfig, BatchHandle, BatchProcessor, BatchReport

Idea = dict[str, Any]
SECONDS = 180.0
"""A batch of these tests takes one or two; more is a hang."""

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """What `main` returns; see `in_memory.run`."""
    return run_watched(main, thorough=True)


def ideas(count: int, first: int = 1) -> list[Idea]:
    """So many ideas, with ids of their own."""
    return [{"id": f"i{n}", "n": n} for n in range(first, first + count)]


class Library(Bench):
    """A folder in which batch b1 is run by the library, in this process or by a program."""

    def config(self, **settings: Any) -> BatchConfig:
        """A configuration of QUEUE mode whose home is here and whose retries follow at once."""
        return quick(**{"mode": "queue", "home": self.home, "workers": 1, **settings})

    async def batch(
        self,
        items: Any,
        function: Callable[..., Any],
        batch_id: str | None = "b1",
        on_result: Callable[[Any], object] | None = None,
        **settings: Any,
    ) -> BatchReport:
        """The report on a batch, in the running event loop."""
        processor = BatchProcessor(self.config(**settings))
        return await processor.process_batch(items, function, batch_id, on_result=on_result)

    def process(self, items: Any, function: Callable[..., Any], *arguments: Any, **settings: Any) -> BatchReport:
        """The same in an event loop of its own, which is watched."""
        return run(self.batch(items, function, *arguments, **settings))

    def handle(self, batch_id: str = "b1") -> BatchHandle:
        """A handle on a batch here."""
        return batchq.open(batch_id, home=self.home)

    def starts(self) -> Counter[int]:
        """By n of the item, how often its handler was called."""
        return Counter(n for word, n in ledger.read(self.ledger) if word == "start")

    def content(self) -> list[Any]:
        """All that is stored of batch b1, so that a change is seen."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return [(table, connection.execute(f'SELECT * FROM "{table}"').fetchall()) for table in sorted(tables)]

    def begin_program(
        self, text: str, *how: str, within: Path | None = None, **environment: str
    ) -> subprocess.Popen[str]:
        """Start a program in a session of its own.

        Args:
            text: the program.
            how: as a script, unless this says ``-c`` or ``-``, or has all the arguments of Python.
            within: the script's folder, where that is not the working directory.
        """
        script = (within or self.folder) / "program.py"
        script.write_text(text)
        arguments = [*how, text] if how == ("-c",) else [*how] or [str(script)]
        with open(script if how == ("-",) else os.devnull) as stdin:
            return subprocess.Popen(
                [sys.executable, *arguments],
                env=self.environment(BATCHQ_HOME=str(self.home), **environment),
                cwd=self.folder,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )

    def program(self, text: str, *how: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        process = self.begin_program(text, *how, **environment)
        stdout, stderr = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


class Elsewhere:
    """A call in a thread of its own, so that the test can do something meanwhile."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def result(self) -> Any:
        """Wait for its end; what it returned, or raised."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "it hangs"
        if self._error is not None:
            raise self._error
        return self._result

    def _work(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:  # carried to the test
            self._error = error


def processes_left() -> list[psutil.Process]:
    """What this process has started and what still runs, but multiprocessing's own tracker."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            command = " ".join(process.cmdline())  # nothing of one that has just ended
            if process.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in command:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
