"""Functions of programs: scripts without a main guard, `python -c`, standard input, modules that begin a batch."""

from __future__ import annotations

import signal
import textwrap

import pytest
from command import ended, kill, members, wait_until_gone
from durable import Library
from in_memory import results
from waiting import wait_until

pytestmark = pytest.mark.slow

COUNT = 12
SQUARES = [n * n for n in range(1, COUNT + 1)]
RUN = f"""
import batchq
report = batchq.run([{{"id": f"i{{n}}", "n": n}} for n in range(1, {COUNT} + 1)], handler, batch_id="b1",
                    max_concurrent=4, workers=1)
print([result["result"] for result in report.results])
"""
COUNTING = """
import os, sys
with open("runs", "a") as file:
    file.write("x")
if os.path.getsize("runs") > 20:
    sys.exit("a fork bomb")
"""
NEEDS_OTHERS = """
import math
import helper

FACTOR = 2

class Title:
    def __init__(self, n):
        self.n = n

def other(n):
    return Title(n)

async def handler(item):
    assert FACTOR == 2 and math.floor(2.5) == helper.two()
    return other(item["n"]).n ** FACTOR
"""


def check_program(library: Library, text: str, *how: str, counting: bool = True) -> None:
    """It prints the squares and nothing else, runs once, and leaves nothing behind."""
    (library.folder / "helper.py").write_text("def two():\n    return 2\n")
    program = library.begin_program(COUNTING + text if counting else text, *how)
    stdout, stderr = program.communicate(timeout=120)
    assert (program.returncode, stdout, stderr) == (0, f"{SQUARES}\n", "")
    wait_until_gone(program.pid)
    assert (library.folder / "runs").read_text() == "x", "the script ran more than once"
    assert results(library.handle().report()) == SQUARES


@pytest.mark.parametrize("how", [(), ("-c",), ("-",)], ids=["script", "argument", "stdin"])
def test_functions_of_the_main_program_work_without_a_main_guard(how: tuple[str, ...], library: Library) -> None:
    """As they stand in a script, in `python -c`, or in a notebook, which has no file."""
    check_program(library, NEEDS_OTHERS + RUN, *how)


def test_function_of_the_main_program_that_uses_a_lock_is_refused_with_the_reason(library: Library) -> None:
    uses_a_lock = "import threading\nLOCK = threading.Lock()\ndef handler(item):\n    with LOCK:\n        return item\n"
    done = library.program(uses_a_lock + RUN)
    assert done.returncode == 1
    assert "TargetError: cannot use 'handler': it cannot be sent to a worker process" in done.stderr
    assert "lock" in done.stderr
    assert not library.home.exists()


def test_functions_of_the_main_program_work_with_a_main_guard(library: Library) -> None:
    check_program(library, NEEDS_OTHERS + "if __name__ == '__main__':\n" + textwrap.indent(RUN, "    "))


def test_program_that_is_run_as_a_module_works(library: Library) -> None:
    package = library.folder / "tool"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "handlers.py").write_text("def handler(item):\n    return item['n'] ** 2\n")
    (package / "__main__.py").write_text(COUNTING + "from .handlers import handler\n" + RUN)
    check_program(library, "", "-m", "tool", counting=False)


def test_module_next_to_the_script_is_found_from_another_working_directory(library: Library) -> None:
    (library.folder / "neighbour.py").write_text("def handler(item):\n    return item['n'] ** 2\n")
    elsewhere = library.folder / "elsewhere"
    elsewhere.mkdir()
    check_program(library, f"os.chdir({str(elsewhere)!r})\nfrom neighbour import handler\n" + RUN)


def test_module_that_begins_a_batch_while_it_is_imported_works(library: Library) -> None:
    """A script without a main guard that somebody imports; its workers do not import it again."""
    (library.folder / "jobs.py").write_text(COUNTING + "def handler(item):\n    return item['n'] ** 2\n" + RUN)
    check_program(library, "import jobs", "-c", counting=False)


def test_package_that_begins_a_batch_while_it_is_imported_works(library: Library) -> None:
    package = library.folder / "jobs"
    package.mkdir()
    (package / "handlers.py").write_text("def handler(item):\n    return item['n'] ** 2\n")
    (package / "__init__.py").write_text(COUNTING + "from jobs.handlers import handler\n" + RUN)
    check_program(library, "import jobs", "-c", counting=False)


def test_batch_that_its_own_workers_would_begin_again_is_no_fork_bomb_but_a_clear_error(library: Library) -> None:
    """Importing the handler's module imports the one that begins the batch."""
    (library.folder / "handlers.py").write_text("def handler(item):\n    return item['n'] ** 2\nimport jobs\n")
    (library.folder / "jobs.py").write_text(
        COUNTING + "import handlers\n" + RUN.replace("handler,", "handlers.handler,")
    )
    done = library.program("import jobs", "-c")
    assert done.returncode == 1
    assert "BatchHalted" in done.stderr and "if __name__ == '__main__'" in done.stderr
    assert len((library.folder / "runs").read_text()) <= 3, "the program's own, and that of two workers"
    assert len(list(library.home.glob("*/batch.db"))) == 1


def test_command_line_refuses_a_module_that_begins_a_batch_while_it_is_imported(library: Library) -> None:
    (library.folder / "jobs.py").write_text("def handler(item):\n    return item['n'] ** 2\n" + RUN)
    library.write_input(3)
    refused = library.run("start", "input.jsonl", "--func", "jobs:handler")
    assert refused.returncode == 2
    assert "if __name__ == '__main__'" in refused.stderr
    assert list(library.home.glob("*/batch.db")) == []


IN_THREADS = """
import threading

def handler(item):
    return item["n"] ** 2

def run():
{run}
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""
IN_A_LOOP = """
import asyncio

async def handler(item):
    return item["n"] ** 2

async def main():
{run}
asyncio.run(main())
"""


@pytest.mark.parametrize("program", [IN_THREADS, IN_A_LOOP], ids=["thread", "running-loop"])
def test_program_may_call_it_from_a_thread_and_in_a_running_loop(program: str, library: Library) -> None:
    check_program(library, program.replace("{run}", textwrap.indent(RUN, "    ")))


# Going on from the command line ------------------------------------------------------------------------------

BY_VALUE = """
import ledger

async def handler(item):
    return await ledger.admitted(item)
"""
FROM_NEIGHBOUR = "from neighbour import handler"
WITH_NEIGHBOUR = """
import neighbour

async def handler(item):
    return await neighbour.handler(item)
"""
MANY = RUN.replace(str(COUNT), "200")


@pytest.mark.parametrize(
    ("origin", "within"),
    [(BY_VALUE, ""), (FROM_NEIGHBOUR, "tools"), (WITH_NEIGHBOUR, "tools")],
    ids=["value", "name-of-a-neighbour-elsewhere", "value-with-a-neighbour-elsewhere"],
)
def test_command_line_goes_on_when_the_program_was_killed_and_all_items_are_stored(
    origin: str, within: str, library: Library
) -> None:
    folder = library.folder / within
    folder.mkdir(exist_ok=True)
    (folder / "neighbour.py").write_text(BY_VALUE)
    library.admit(20)
    program = library.begin_program(origin + "\n" + MANY, within=folder)
    wait_until(lambda: len(library.outcomes()) == 20 and library.handle().status().input_done)
    kill(members(program.pid)[:1])
    library.admit(150)  # the worker that lives on finishes what is in flight
    assert ended(program) == -signal.SIGKILL
    wait_until_gone(program.pid)
    (folder / "program.py").unlink()
    assert len(library.outcomes()) <= 150
    library.admit(200)
    resumed = library.run("resume", "b1", "-q")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert library.outcomes() == {n: (1, n * n) for n in range(1, 201)}
    assert library.starts() == dict.fromkeys(range(1, 201), 1)
