"""The event loop of a worker: its timers, and what it is told meanwhile."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import statistics
import sys
import time
from contextlib import ExitStack

import pytest

from batchq.engine import event_loop

TIMERS = 200
ROUNDS = 10


async def lateness() -> float:
    """By how many seconds a timer is late, in the median."""
    late = []
    for number in range(TIMERS):
        wait = 0.001 + number * 1e-5
        began = time.perf_counter()
        await asyncio.sleep(wait)
        late.append(time.perf_counter() - began - wait)
    return statistics.median(late)


async def answers_while_timers_run(rounds: int) -> float:
    """Seconds for a word to and fro, in the median, while each is waited for with a timer of 90 ms."""
    here, there = socket.socketpair()
    with here, there:
        reader, writer = await asyncio.open_connection(sock=here)
        other_reader, other_writer = await asyncio.open_connection(sock=there)
        took = []
        for _ in range(rounds):
            began = time.monotonic()
            timer = asyncio.get_running_loop().call_later(0.09, int)
            writer.write(b"tea")
            other_writer.write(await other_reader.readexactly(3))
            assert await reader.readexactly(3) == b"tea"
            timer.cancel()
            took.append(time.monotonic() - began)
        writer.close()
        other_writer.close()
        return statistics.median(took)


@pytest.mark.skipif(sys.platform != "linux" or sys.version_info < (3, 11), reason="asyncio's own loop is used")
def test_short_timers_are_less_late_than_those_of_asyncio() -> None:
    # A machine that is busy elsewhere makes either of them late: it is asked again.
    assert any(event_loop.run(lateness()) < 0.7 * asyncio.run(lateness()) for _ in range(ROUNDS))


@pytest.mark.parametrize("descriptors", [0, 1100])
def test_what_comes_while_a_timer_runs_is_seen_at_once_however_many_files_are_open(descriptors: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else max(soft, 4096), hard))
    try:
        with ExitStack() as opened:
            for _ in range(descriptors):
                opened.enter_context(open(os.devnull, "rb"))
            took = event_loop.run(answers_while_timers_run(100))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert took < 0.045, "they were not seen before the timers"
