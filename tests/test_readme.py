"""The README is true: its shell blocks run, in order, and it names every command and no option that is not there.

A block fenced with ``sh`` is run by bash in one temporary folder, after the blocks before it.  It succeeds when each
of its commands does; a last line ``# exits with N`` says that the last command exits with N instead.  Blocks fenced
with anything else (``text``: output; ``console``: typed in a terminal) are not run.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from batchq.cli.run import cli

README: Final = Path(__file__).parent.parent / "README.md"
BATCHQ: Final = Path(sys.executable).with_name("batchq")
BLOCK_SECONDS: Final = 300
PORT: Final = 8321
"""Of the server that a block begins; where it is taken, the test uses another."""
SLOW_MACHINE: Final = r"""
kill() { builtin kill "$@" || true; }
sleep() {
    command sleep "$1"
    while [ "$1" = 1 ] && [ "$(jobs -r)" ] && ! (: < /dev/tcp/127.0.0.1/8321) 2> /dev/null; do command sleep 0.1; done
}
"""
"""What is to be killed may have ended there, and the server that is begun and waited for may take its time."""


def blocks(*kinds: str) -> list[tuple[int, str]]:
    """Line number and text of each fenced block of these kinds."""
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text(), re.MULTILINE | re.DOTALL)
    return [(text().count("\n", 0, m.start(2)) + 1, m[2]) for m in found if m[1] in kinds]


def text() -> str:
    return README.read_text(encoding="utf-8")


@lru_cache
def help_of(command: str) -> str:
    done = CliRunner().invoke(cli, [*command.split(), "--help"], prog_name="batchq", catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def commands() -> list[str]:
    """What `batchq --help` lists."""
    listed = help_of("").partition("\nCommands:\n")[2]
    found = re.findall(r"^  ([a-z]+)", listed, re.MULTILINE)
    assert found, "the help lists no command"
    return found


def uses() -> Iterator[tuple[str, str]]:
    """Each command of the README with one of the options that it is given there."""
    code = "\n".join([block for _, block in blocks("sh", "console")] + re.findall(r"`([^`\n]+)`", text()))
    for command, rest in re.findall(r"\bbatchq ([a-z]+)\b((?:\\\n|[^\n|;&>])*)", code):
        for option in re.findall(r"(?<=\s)(--[a-z][a-z-]*|-[a-z]\b)", rest):
            yield command, option


def environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join([str(BATCHQ.parent), os.environ["PATH"]])
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BATCHQ_")}
    return clean | {"PATH": path, "BATCHQ_HOME": str(folder / "home"), "NO_COLOR": "1"}


def free_port() -> int:
    for port in range(PORT, PORT + 100):  # not one that the system chooses: as such it may be gone again soon
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


def test_each_shell_block_does_what_the_readme_says(tmp_path: Path) -> None:
    assert blocks("sh")
    port = free_port()
    for line, block in blocks("sh"):
        exits = re.search(r"^# exits with (\d+)$", block.rstrip().rpartition("\n")[2])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", (SLOW_MACHINE + block).replace(str(PORT), str(port))],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_SECONDS,
        )
        assert done.returncode == (int(exits[1]) if exits else 0), f"README.md, line {line}:\n{block}\n{done.stdout}"


def test_each_command_is_in_the_readme() -> None:
    missing = [command for command in commands() if not re.search(rf"\bbatchq {command}\b", text())]
    assert not missing


def test_each_option_of_a_command_has_a_help_text() -> None:
    for command in commands():
        options = re.findall(r"^  (?:-\w, )?(--[a-z][a-z-]*)(.*(?:\n {8,}.*)?)", help_of(command), re.MULTILINE)
        assert options
        assert not [name for name, rest in options if not re.search(r"\S  +\S|^  +\S|\n {8,}\S", rest)], command


@pytest.mark.parametrize("command, option", sorted(set(uses())))
def test_option_that_the_readme_uses_exists(command: str, option: str) -> None:
    assert command in commands()
    assert re.search(rf"(?<![\w-]){option}(?![\w-])", help_of(command).partition("\nOptions:\n")[2])


def test_the_readme_names_no_place_of_one_machine_and_ends_with_changes() -> None:
    assert not re.findall(r"/(?:work|root|tmp)/", text())
    assert re.findall(r"^## (.+)$", text(), re.MULTILINE)[-1] == "Changes"
