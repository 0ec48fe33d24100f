"""A question to a process of its own: what loads foreign code, or reads foreign files, can break only that.

server ── stdin: JSON ──▶ python -m MODULE ── the stdout that it began with: JSON ──▶ server
                                           ── whatever else it, or what it loads, says ──▶ read when it fails

A server that dies does not end it: what it was asked for is done all the same, in the time that it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Collection
from typing import IO, Any, Final

LAST_BYTES: Final = 4096
LATER_SECONDS: Final = 5
"""The server ends what takes too long, and says so; where there is none any more it ends itself, so much later."""

Json = dict[str, Any]


class ChildFailed(Exception):
    """It has not answered.

    Args:
        how: it ended, in words.
        said: its last line; may be empty.
        timed_out: it was ended because it took too long.
        is_fault: what failed is batchq's own code.
    """

    def __init__(self, how: str, said: str, timed_out: bool = False, is_fault: bool = False) -> None:
        super().__init__(f"{how}: {said}" if said else how)
        self.timed_out = timed_out
        self.is_fault = is_fault


async def ask(
    module: str,
    question: Json,
    seconds: float | None,
    keep: Collection[int] = (),
    started: Callable[[], object] = lambda: None,
) -> Json:
    """The answer of a module that calls `answering`.

    Args:
        module: run by ``python -m``, in the server's working directory.
        question: what it is asked.
        seconds: it has so long, or as long as it takes; then it, and whatever it has started, is killed.
        keep: descriptors that it gets as well.
        started: called once it has them.

    Raises:
        ChildFailed: it has ended without an answer.
    """
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=said,
            pass_fds=tuple(keep),
            start_new_session=True,
        )
        started()
        told = json.dumps({"question": question, "seconds": seconds}).encode()
        try:
            written, _ = await asyncio.wait_for(process.communicate(told), seconds)
        except asyncio.TimeoutError:
            raise ChildFailed(f"not within {seconds:g} s", _last_line(said), timed_out=True) from None
        finally:
            # Not the process alone: it may have ended, and left others that hold what it was given.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        code = process.returncode or 0
        try:
            answer: Json = json.loads(written)
        except ValueError:
            raise ChildFailed(_ending(code), _last_line(said)) from None
        if "fault" in answer:
            raise ChildFailed("batchq failed", answer["fault"], is_fault=True)
        return answer


def answering(answer: Callable[[Json], Json]) -> None:
    """Answer one question, in the child; what is printed meanwhile does not get into the answer."""
    answers = os.dup(1)
    os.dup2(2, 1)
    try:
        told = json.load(sys.stdin.buffer)
        if told["seconds"] is not None:
            signal.alarm(math.ceil(told["seconds"]) + LATER_SECONDS)  # a kill: not all code lets a handler run
        given = answer(told["question"])
    except Exception as error:
        import traceback

        traceback.print_exc()
        given = {"fault": f"{type(error).__name__}: {error}"}
    with open(answers, "w", encoding="ascii") as stream:
        json.dump(given, stream)
        stream.flush()
    os._exit(0)  # threads that a module has begun hold up nobody


def _ending(code: int) -> str:
    if code >= 0:
        return f"it exited with {code}"
    with contextlib.suppress(ValueError):  # a real-time signal has no name
        return f"it was killed by {signal.Signals(-code).name}"
    return f"it was killed by signal {-code}"


def _last_line(said: IO[bytes]) -> str:
    said.seek(max(0, said.seek(0, os.SEEK_END) - LAST_BYTES))
    lines = said.read(LAST_BYTES).decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:500] if lines else ""
