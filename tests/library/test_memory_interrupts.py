"""Programs with a batch in memory come to their end: Ctrl-C, threads that hang, the end of the event loop."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow

PROMPT_SECONDS = 60.0
"""Far more than it takes, far less than the hour that the functions sleep."""

PRELUDE = """
import asyncio, signal, sys, threading, time
from batchq import BatchConfig, BatchProcessor
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start background jobs without it
config = BatchConfig(max_concurrent=3, enable_progress_tracking=False, retry_attempts=1)
slots = 3

def say(*words):
    print(*words, flush=True)
"""

SLEEPS = """
async def function(idea):
    if idea == 8 + slots:
        say("ready")  # the first nine have their outcomes
    await asyncio.sleep(3600 if idea >= 9 else 0)
"""

BLOCKS = """
def function(idea):
    if idea == 8 + slots:
        say("ready")  # the first nine have their outcomes
    time.sleep(3600 if idea >= 9 else 0)
"""


def begin(*parts: str) -> subprocess.Popen[str]:
    """A program of these parts."""
    source = PRELUDE + "".join(map(textwrap.dedent, parts))
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def interrupt_when_ready(program: subprocess.Popen[str]) -> tuple[str, str]:
    """Ctrl-C once it says that it is ready; what it printed after that, and its errors."""
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n", program.communicate(timeout=PROMPT_SECONDS)
        program.send_signal(signal.SIGINT)
        return program.communicate(timeout=PROMPT_SECONDS)
    finally:
        program.kill()
        program.communicate()


def output(program: subprocess.Popen[str]) -> str:
    """What a program prints that has to come to its end by itself."""
    try:
        told, errors = program.communicate(timeout=PROMPT_SECONDS)
    finally:
        program.kill()
        program.communicate()
    assert program.returncode == 0, errors
    return told


@pytest.mark.parametrize("mode", ["parallel", "sequential"])
@pytest.mark.parametrize("function", [SLEEPS, BLOCKS], ids=["async", "thread"])
def test_ctrl_c_ends_a_program_promptly_and_cleanly(function: str, mode: str) -> None:
    batch = f"""
        config.mode = {mode!r}
        slots = 1 if config.mode == "sequential" else 3
        asyncio.run(BatchProcessor(config).process_batch(range(100), function))
    """
    program = begin(function, batch)
    _, errors = interrupt_when_ready(program)
    assert program.returncode == -signal.SIGINT, errors
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "never" not in errors and "pending" not in errors, errors


def test_ctrl_c_lets_a_program_see_what_was_done() -> None:
    batch = """
        async def main():
            try:
                await BatchProcessor(config).process_batch(range(100), function)
            except asyncio.CancelledError as error:
                while not hasattr(error, "report"):
                    error = error.__context__
                say("done", error.report.success_count)
                raise

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            say("interrupted")
    """
    program = begin(SLEEPS, batch)
    told, errors = interrupt_when_ready(program)
    assert (told.split("\n"), program.returncode) == (["done 9", "interrupted", ""], 0), errors


def test_thread_that_hangs_after_its_timeout_does_not_delay_the_end_of_the_program() -> None:
    batch = """
        def function(idea):
            threading.Event().wait()

        config.timeout_per_item = 0.2
        report = asyncio.run(BatchProcessor(config).process_batch(range(1), function))
        say(report.failures[0]["error"])
    """
    assert output(begin(batch)) == "Timeout after 0.2s\n"


def test_thread_that_hangs_when_the_batch_is_cancelled_does_not_delay_the_end_of_the_program() -> None:
    batch = """
        begun = threading.Event()

        def function(idea):
            begun.set()
            threading.Event().wait()

        async def main():
            task = asyncio.create_task(BatchProcessor(config).process_batch(range(3), function))
            await asyncio.to_thread(begun.wait)
            task.cancel()
            await asyncio.wait([task])
            say("cancelled", task.cancelled())

        asyncio.run(main())
    """
    assert output(begin(batch)) == "cancelled True\n"


def test_thread_that_answers_when_the_loop_is_gone_harms_nobody() -> None:
    batch = """
        begun, release, answered = threading.Event(), threading.Event(), threading.Event()

        def function(idea):
            begun.set()
            release.wait()
            answered.set()

        async def main():
            task = asyncio.create_task(BatchProcessor(config).process_batch([1], function))
            await asyncio.to_thread(begun.wait)
            task.cancel()
            await asyncio.wait([task])

        threading.excepthook = lambda hook: say("unhandled", hook.exc_value)
        asyncio.run(main())
        release.set()
        answered.wait()
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join()
        say("well")
    """
    assert output(begin(batch)) == "well\n"
