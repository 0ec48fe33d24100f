"""What a server says when it begins: on a terminal, and where what it says is kept."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pytest
from terminal import Terminal
from waiting import wait_until

from batchq.cli.console import run_command
from batchq.cli.run import cli

pytestmark = pytest.mark.slow

LINK = re.compile(r"login\?code=once-[A-Za-z0-9_-]{32}")


def command(home: Path) -> list[str]:
    return [sys.executable, "-m", "batchq", "serve", "--port", "0", "--home", str(home), "--allow", "pipe:*"]


def test_terminal_shows_a_link(tmp_path: Path) -> None:
    terminal = Terminal(command(tmp_path / "home"), tmp_path, os.environ, (24, 500))
    try:
        wait_until(lambda: LINK.search(terminal.shown.decode()) is not None)
    finally:
        terminal.process.terminate()
        code = terminal.ended()
    assert code == 0


def test_log_has_no_link_but_how_to_get_one(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with told.open("wb") as stream:
        server = subprocess.Popen(command(tmp_path / "home"), cwd=tmp_path, stdout=stream, stderr=stream)
    try:
        wait_until(lambda: "--link" in told.read_text())
        link = subprocess.run([*command(tmp_path / "home"), "--link"], capture_output=True, text=True).stdout
    finally:
        server.terminate()
        server.wait(30)
    assert LINK.search(link)
    assert f"batchq serve --link --home {tmp_path / 'home'}" in told.read_text()
    assert "code=" not in told.read_text()


@pytest.mark.parametrize(
    "options, said",
    [
        (["--notify", "ftp://me:hidden@host/x"], "--notify must be an http or https address"),
        (["--notify", "http://host", "--notify-at", "5"], "--notify-at must be a share"),
        (["--notify-at", "5%"], "--notify-at is of use with --notify only"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_runs(options: list[str], said: str, tmp_path: Path) -> None:
    told = StringIO()
    with redirect_stderr(told):
        assert run_command(cli, ["serve", "--home", str(tmp_path / "home"), *options]) == 2
    assert said in told.getvalue() and "hidden" not in told.getvalue()
    assert not (tmp_path / "home").exists()
