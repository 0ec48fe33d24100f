"""Worker processes on this machine: one executor of one process per worker.

When a process of a ProcessPoolExecutor dies, CPython ends all others of that pool and the pool is unusable; with a
pool for each process a crash hits nobody else.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from batchq.engine.entry import be_ready, prepare, work

if TYPE_CHECKING:
    from batchq.engine.orders import WorkerReport, WorkerSpec

_T = TypeVar("_T")
_SPAWN: Final = multiprocessing.get_context("spawn")
_STARTING: Final = threading.Lock()


class WorkerHandle(Protocol):
    """A worker that was started, as the supervisor sees it."""

    spec: WorkerSpec

    def is_done(self) -> bool:
        """Whether it has ended."""

    def report(self) -> WorkerReport | None:
        """How it left; None when it died without a word."""

    def is_lost(self) -> bool:
        """Of one that died without a word: it may live on somewhere, so that nothing that it ran is to blame."""

    def how_it_died(self) -> str:
        """For people: the signal or the exit status."""

    def signal(self, number: int) -> None:
        """Send it a signal, and the children of its handlers too."""

    def kill(self) -> None:
        """End it at once, with the children of its handlers."""

    def join(self, seconds: float) -> bool:
        """Wait for the end of its process; whether it came."""


class Engine(Protocol):
    """What runs chunks."""

    @property
    def capacity(self) -> int | None:
        """Workers that it can run side by side just now; None for as many as are asked for."""

    def start(self, spec: WorkerSpec, wake: Callable[[], None]) -> WorkerHandle:
        """Start a worker; `wake` is called, from any thread, when it has ended."""

    def close(self) -> None:
        """Let go of everything; workers that still live see the supervisor as dead."""


class LocalEngine:
    """Runs workers as processes of this machine.

    Example:
        engine = LocalEngine.warmed_up()  # a process starts, while this one reads its input
        worker = engine.start(spec, wake)
    """

    def __init__(self) -> None:
        _close_all_at_exit()
        _open_engines.add(self)
        # Only this process holds the write end, so its end, whatever the cause, closes the pipe.
        self._parent, self._alive = _SPAWN.Pipe(duplex=False)
        self._spare: ProcessPoolExecutor | None = None

    @property
    def capacity(self) -> None:
        """As many workers as are asked for."""
        return None

    @classmethod
    def warmed_up(cls) -> LocalEngine | None:
        """One that has started the process of its first worker already, which takes longer than to make a batch.

        None where the system refuses that: whoever needs a worker later tells what is missing.
        """
        try:
            engine = cls()
        except OSError:
            return None
        try:
            engine._spare = engine._open()
            engine._submit(engine._spare, be_ready)
        except OSError:
            engine.close()
            return None
        return engine

    def start(self, spec: WorkerSpec, wake: Callable[[], None]) -> LocalWorker:
        """Start a worker process; returns before it has imported anything."""
        spare, self._spare = self._spare, None
        executor = spare or self._open()
        try:
            future, process = self._submit(executor, work, spec)
        except BrokenProcessPool:  # somebody has killed the spare one
            executor = self._open()
            future, process = self._submit(executor, work, spec)
        future.add_done_callback(lambda _: wake())
        return LocalWorker(spec, executor, future, process)

    def _open(self) -> ProcessPoolExecutor:
        _start_quiet_tracker()
        return ProcessPoolExecutor(1, mp_context=_SPAWN, initializer=prepare, initargs=(self._parent,))

    def _submit(
        self, executor: ProcessPoolExecutor, task: Callable[..., _T], *arguments: object
    ) -> tuple[Future[_T], BaseProcess]:
        with _STARTING, hidden_main(), _blocked_signals():
            future = executor.submit(task, *arguments)
            return future, next(iter(executor._processes.values()))  # no public way leads to its exit code

    def close(self) -> None:
        """Close the pipe, and end a process that was started for nothing."""
        _open_engines.discard(self)
        spare, self._spare = self._spare, None
        if spare is not None:
            for process in list(spare._processes.values()):
                process.kill()
            spare.shutdown()  # and wait: CPython may write to a pipe that its thread has just closed, else
        self._alive.close()
        self._parent.close()


class LocalWorker:
    """A worker process, and the executor that is its alone."""

    def __init__(
        self,
        spec: WorkerSpec,
        executor: ProcessPoolExecutor,
        future: Future[WorkerReport],
        process: BaseProcess,
    ) -> None:
        self.spec = spec
        self._executor = executor
        self._future = future
        self._process = process

    def is_done(self) -> bool:
        """Whether it has ended, or is about to after its report."""
        return self._future.done()

    def report(self) -> WorkerReport | None:
        """How it left; None when it died without a word."""
        error = self._future.exception(timeout=0)
        if error is None:
            return self._future.result()
        if isinstance(error, BrokenProcessPool):
            return None
        from batchq.engine.orders import WorkerReport

        return WorkerReport.of_fault(error)

    def is_lost(self) -> bool:
        """Never: its process is ours."""
        return False

    def how_it_died(self) -> str:
        """The signal by name, or the exit status."""
        # The executor's own thread reaps it as well; until that is done, nobody has the code.
        deadline = time.monotonic() + 1.0
        while (code := self._process.exitcode) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if code is None:
            return "cause unknown"
        if code >= 0:
            return f"exit status {code}"
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
        return f"signal {-code}"

    def kill(self) -> None:
        """SIGKILL to its whole group, which a handler's own children belong to."""
        if self._process.is_alive():
            self.signal(signal.SIGKILL)
        self._process.kill()

    def signal(self, number: int) -> None:
        """To its whole group; to it alone while it has not made one."""
        pid = self._process.pid
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                os.kill(pid, number)

    def join(self, seconds: float) -> bool:
        """Let the process end, and wait for it up to `seconds`."""
        self._executor.shutdown(wait=False)
        self._process.join(seconds)
        return not self._process.is_alive()


_open_engines: Final[weakref.WeakSet[LocalEngine]] = weakref.WeakSet()


@functools.cache
def _close_all_at_exit() -> None:
    """Let the workers of a program that ends see it as dead: else it would wait for them, and they for work."""
    # Called before concurrent.futures waits for its threads, which `atexit` is not.
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        with contextlib.suppress(RuntimeError):  # the program is ending already
            register(_close_all)


def _close_all() -> None:
    for engine in list(_open_engines):
        engine.close()


def _start_quiet_tracker() -> None:
    """Start multiprocessing's tracker of semaphores without its warning.

    After a `kill -9` of the supervisor it removes what is left of them, which is right, and would also say so on a
    terminal where nobody asked.
    """
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [before, "ignore:resource_tracker:UserWarning"]))
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


@contextlib.contextmanager
def hidden_main() -> Iterator[None]:
    """Start a child that does not import the program's main module again.

    Spawn would: a script without a main guard would then start itself for ever, and the command line would load
    click in every worker.  A handler that lives there reaches the worker by its TARGET, or by value.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """A child inherits the mask, so that Ctrl-C cannot hit it before it has said how to treat that."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
