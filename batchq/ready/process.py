"""One command as a process of its own, in the event loop.

    run() ── Popen (vfork) ──▶ command, which leads a session of its own
        ── stdin: a file that has all of it already: nobody waits for a command that does not read
        ◀─ stdout, stderr: pipes, read as they fill
        ◀─ its end: a pidfd, or a look now and then where the system has none

asyncio's own subprocesses take a thread for each on Python 3.10 and 3.11, and twice the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

PIECE: Final = 65_536
"""Bytes of one read: what a pipe of Linux holds."""
POLITE_SECONDS: Final = 0.5
"""Between SIGTERM and SIGKILL; a slot that takes a second to let go is given up by the runner."""
KILLED_SECONDS: Final = 0.2
"""A process that was killed is gone at once, unless the kernel holds it."""
LINGER_SECONDS: Final = 0.2
"""What a command has left running may hold its pipes open: they are waited for so long after its end."""
DRAINED: Final = 16
"""Pieces that are read of such a pipe at the end: more than it holds, and not all that is written for ever."""
LOOK_SECONDS: Final = (0.001, 0.05)
"""Shortest and longest pause between two looks, where the system does not tell of the end of a process."""


class Processes:
    """The commands that run in this process."""

    def __init__(self) -> None:
        self._running: set[Process] = set()

    async def run(
        self,
        arguments: Sequence[bytes],
        given: bytes,
        environment: Mapping[str, str | bytes],
        most: int,
        hear: Callable[[bytes], None],
    ) -> Process:
        """Run a command to its end; its exit code and output are in what is returned.

        When this is cancelled, the command and all of its process group are ended before that goes on.

        Args:
            arguments: of the command, its name the first.
            given: on its standard input.
            environment: of the command.
            most: bytes of standard output; at more of them it is killed.
            hear: gets what it writes on standard error, in pieces, as it comes.

        Raises:
            OSError: it cannot be started.
            ValueError: an argument has a NUL byte.
        """
        process = Process(arguments, given, environment, most, hear)
        self._running.add(process)
        try:
            await process.end()
        finally:
            self._running.discard(process)
        return process

    def kill(self) -> None:
        """From any thread: end all of them at once, because this process is about to end."""
        for process in list(self._running):
            process.signal(signal.SIGKILL)


class Process:
    """A command that runs, see `Processes.run`.

    Attributes:
        stdout: what it has written there.
        is_too_long: that is more than it may be.
        code: its exit code, the negative number of the signal that killed it, or None while it runs.
    """

    def __init__(
        self,
        arguments: Sequence[bytes],
        given: bytes,
        environment: Mapping[str, str | bytes],
        most: int,
        hear: Callable[[bytes], None],
    ) -> None:
        self.stdout = bytearray()
        self.is_too_long = False
        self._most = most
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[None] = self._loop.create_future()
        self._read: asyncio.Future[None] = self._loop.create_future()
        with _file_of(given) as stdin:
            # All other descriptors are closed: the supervisor sees the death of this process by one of them.
            self._process = subprocess.Popen(
                arguments,
                bufsize=0,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        self._pipes = [pipe for pipe in (self._process.stdout, self._process.stderr) if pipe is not None]
        self._open = {pipe.fileno(): hears for pipe, hears in zip(self._pipes, (self._keep, hear), strict=True)}
        for descriptor in self._open:
            os.set_blocking(descriptor, False)
            self._loop.add_reader(descriptor, self._take, descriptor)
        self._timer: asyncio.TimerHandle | None = None
        self._pidfd: int | None = None
        self._watch()

    @property
    def code(self) -> int | None:
        """See the class."""
        return self._process.returncode

    async def end(self) -> None:
        """Wait for its end; see `Processes.run`."""
        try:
            await asyncio.wait([self._exited])  # not the future itself, which would be cancelled along
            if not self._read.done():
                await asyncio.wait([self._read], timeout=LINGER_SECONDS)
                self._drain()
            if self._ended()[1]:
                self.signal(signal.SIGKILL)  # what it has left running would be beside its next attempt
        except asyncio.CancelledError:
            await self._make_end()
            raise
        finally:
            self._close()

    def signal(self, number: int) -> None:
        """Send a signal to its process group, which cannot be another one's until it is reaped."""
        # Where nobody can look without reaping it (macOS before Python 3.13) what it has left has to end all the same.
        # While any of that lives the number is not given away, and else not within the moment that has passed since.
        if self._process.returncode is None or not hasattr(os, "waitid"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _ended(self) -> tuple[bool, bool]:
        """Whether it has ended, and whether it has failed; told without reaping it, where the system can."""
        if self._process.returncode is not None or not hasattr(os, "waitid"):
            return self._process.poll() is not None, bool(self._process.returncode)
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return ended is not None, ended is not None and (ended.si_code != os.CLD_EXITED or ended.si_status != 0)

    async def _make_end(self) -> None:
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait([self._exited], timeout=POLITE_SECONDS)
        finally:
            self.signal(signal.SIGKILL)  # also what has outlived the command itself
        await asyncio.wait([self._exited], timeout=KILLED_SECONDS)

    def _keep(self, piece: bytes) -> None:
        if len(self.stdout) + len(piece) > self._most:
            self.is_too_long = True
            self.signal(signal.SIGKILL)
        else:
            self.stdout += piece

    def _take(self, descriptor: int) -> bool:
        """Read a piece; whether there was one."""
        try:
            piece = os.read(descriptor, PIECE)
        except BlockingIOError:
            return False
        if piece:
            self._open[descriptor](piece)
            return True
        self._loop.remove_reader(descriptor)
        del self._open[descriptor]
        if not self._open and not self._read.done():
            self._read.set_result(None)
        return False

    def _drain(self) -> None:
        """Read what is there already, of pipes that somebody else still holds open."""
        for descriptor in list(self._open):
            for _ in range(DRAINED):
                if not self._take(descriptor):
                    break

    def _watch(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):  # no Linux, an old one, or a sandbox
            self._look(LOOK_SECONDS[0])
        else:
            self._loop.add_reader(self._pidfd, self._has_exited)

    def _look(self, pause: float) -> None:
        if self._ended()[0]:
            self._has_exited()
        else:
            self._timer = self._loop.call_later(pause, self._look, min(pause * 1.5, LOOK_SECONDS[1]))

    def _has_exited(self) -> None:
        self._forget()
        if not self._exited.done():
            self._exited.set_result(None)

    def _forget(self) -> None:
        """Look for its end no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _close(self) -> None:
        self._forget()
        for descriptor in self._open:
            self._loop.remove_reader(descriptor)
        for pipe in self._pipes:
            pipe.close()
        self._process.poll()


@contextlib.contextmanager
def _file_of(content: bytes) -> Iterator[int]:
    """A descriptor from which `content` can be read."""
    try:
        descriptor = os.memfd_create("item")
    except (AttributeError, OSError):  # no Linux, or a sandbox
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.seek(0)
            yield file.fileno()
        return
    with os.fdopen(descriptor, "wb", buffering=0) as memory:
        left = memoryview(content)
        while left:
            left = left[memory.write(left) or 0 :]
        memory.seek(0)
        yield descriptor
