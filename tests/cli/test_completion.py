"""Completion in real shells: verbs, options, ids of batches; and what it must not load or say."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import Bench
from terminal import Terminal
from waiting import wait_until

HEAVY = {"sqlite3", "tqdm", "tenacity", "multiprocessing", "persistqueue", "psutil", "asyncio", "batchq.engine"}
LOADED = """
import contextlib, sys
from batchq.cli.run import run
with contextlib.suppress(SystemExit):
    run([])
print(*sorted(sys.modules), sep="\\n", file=sys.stderr)
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A home with two folders of batches, whose files are no databases: nobody may open them."""
    made = Bench(tmp_path)
    for batch_id in ("titles-1", "titles-2"):
        (made.home / batch_id).mkdir(parents=True)
        (made.home / batch_id / "batch.db").write_text("not to be opened")
    (made.home / "no-batch").mkdir()
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "batchq"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m batchq "$@"\n')
    command.chmod(0o755)
    return made


def environment(bench: Bench, **more: str) -> dict[str, str]:
    """A batchq on the path, and no files of the user's."""
    path = os.pathsep.join([str(bench.folder / "bin"), os.environ["PATH"]])
    return bench.environment(PATH=path, BATCHQ_HOME=str(bench.home), HOME=str(bench.folder), **more)


def needs(shell: str) -> str:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed here")
    return shell


def completed(bench: Bench, words: str) -> subprocess.CompletedProcess[str]:
    """What batchq answers when a shell asks how the last word of `words` goes on."""
    count = words.count(" ")
    asked = environment(bench, _BATCHQ_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(count))
    command = [sys.executable, "-m", "batchq"]
    return subprocess.run(command, env=asked, cwd=bench.folder, capture_output=True, text=True)


@pytest.mark.parametrize(
    "words, expected",
    [
        ("batchq stat", ["plain,status"]),
        ("batchq status --wat", ["plain,--watch"]),
        ("batchq status t", ["plain,titles-1", "plain,titles-2"]),
        ("batchq -q status titles-2", ["plain,titles-2"]),
        ("batchq rm titles-1 titles-", ["plain,titles-1", "plain,titles-2"]),
        ("batchq status x", []),
        ("batchq status --home other ", ["plain,else"]),
        ("batchq --home other status ", ["plain,else"]),
        ("batchq status --home /nowhere/at/all t", []),
        ("batchq start inp", ["file,inp"]),
        ("batchq status --home oth", ["dir,oth"]),
        ("batchq start x --id t", []),  # a new id
        ("batchq nosuchverb ti", []),
    ],
)
def test_words_are_completed(bench: Bench, words: str, expected: list[str]) -> None:
    (bench.folder / "other" / "else").mkdir(parents=True)
    (bench.folder / "other" / "else" / "batch.db").touch()
    said = completed(bench, words)
    assert (said.stdout.split(), said.stderr) == (expected, "")


def test_completing_opens_no_database_and_loads_nothing_heavy(bench: Bench) -> None:
    asked = environment(bench, _BATCHQ_COMPLETE="bash_complete", COMP_WORDS="batchq status t", COMP_CWORD="2")
    said = subprocess.run([sys.executable, "-c", LOADED], env=asked, capture_output=True, text=True)
    assert said.stdout.split() == ["plain,titles-1", "plain,titles-2"]
    assert HEAVY & set(said.stderr.split()) == set()


def seen(shell: Terminal) -> bytes:
    """What stands on the terminal; where there are several ways to go on, the shell also rings its bell."""
    return shell.shown.replace(b"\a", b"")


@pytest.mark.slow
def test_bash_completes_when_tab_is_pressed(bench: Bench) -> None:
    shell = Terminal([needs("bash"), "--norc", "--noprofile", "-i"], bench.folder, environment(bench, PS1="$ "))
    shell.type(b'eval "$(batchq completion bash)"; echo rea""dy\n')
    wait_until(lambda: b"ready" in shell.shown)
    shell.type(b"batchq stat\t")  # the end of each word is typed by the shell
    wait_until(lambda: b"batchq status " in seen(shell))
    shell.type(b"tit\t")
    wait_until(lambda: b"status titles-" in seen(shell))
    shell.type(b"2 --js\t")
    wait_until(lambda: b"titles-2 --json" in seen(shell))
    shell.type(b"\x15exit\n")
    assert shell.ended() == 0


@pytest.mark.slow
def test_zsh_completes_when_tab_is_pressed(bench: Bench) -> None:
    shell = Terminal([needs("zsh"), "-f", "-i"], bench.folder, environment(bench, PS1="$ "))
    shell.type(b"autoload -U compinit; compinit -u -D\n")
    shell.type(b'eval "$(batchq completion zsh)"; echo rea""dy\n')
    wait_until(lambda: b"ready" in shell.shown)
    shell.type(b"batchq resume titles-\t")
    wait_until(lambda: b"titles-1" in shell.shown and b"titles-2" in shell.shown)
    shell.type(b"\x15exit\n")
    assert shell.ended() == 0


def test_fish_completes(bench: Bench) -> None:
    script = 'batchq completion fish | source; complete -C "batchq stat"; complete -C "batchq status titles-"'
    command = [needs("fish"), "--no-config", "-c", script]
    said = subprocess.run(command, env=environment(bench), cwd=bench.folder, capture_output=True, text=True)
    assert [line.split("\t")[0] for line in said.stdout.splitlines()] == ["status", "titles-1", "titles-2"], said.stderr


def test_script_as_json_and_another_shell(bench: Bench) -> None:
    said = bench.run("completion", "bash", "--json")
    assert json.loads(said.stdout)["schema"] == 1
    assert json.loads(said.stdout)["script"].strip() == bench.run("completion", "bash").stdout.strip()
    other = bench.run("completion", "ksh")
    assert (other.returncode, other.stdout) == (2, "") and "'bash', 'zsh', 'fish'" in other.stderr
