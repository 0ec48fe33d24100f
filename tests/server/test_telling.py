"""What a server says when it begins: on a terminal, and where what it says is kept."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import httpx
import pytest
from terminal import Terminal
from waiting import wait_until

from batchq.app.serving import server_of
from batchq.cli.console import run_command
from batchq.cli.run import cli
from batchq.store.home import Home

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


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a server's home, and of what it has told."""
    folder = tmp_path_factory.mktemp("logged")
    options = ["--max-upload", "3M", "--max-items", "7"]
    with (folder / "told").open("wb") as stream:
        server = subprocess.Popen([*command(folder / "home"), *options], cwd=folder, stdout=stream, stderr=stream)
    wait_until(lambda: "--link" in (folder / "told").read_text())
    yield folder
    server.terminate()
    server.wait(30)


def test_log_has_no_link_but_how_to_get_one(logged: Path) -> None:
    link = subprocess.run([*command(logged / "home"), "--link"], capture_output=True, text=True).stdout
    assert LINK.search(link)
    told = (logged / "told").read_text()
    assert f"batchq serve --link --home {logged / 'home'}" in told and "code=" not in told


def test_owner_says_how_much_a_caller_may_hand_over(logged: Path) -> None:
    server = server_of(Home(logged / "home"))
    assert server is not None and server.url is not None
    headers = {"Authorization": f"Bearer {server.token_file.read_text().strip()}"}
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=60, trust_env=False) as client:
        settings = client.get("/server").json()
        many = client.post("/batches", json={"func": "pipe:f", "items": [1] * 8})
    assert (settings["max_upload"], settings["max_items"]) == (3 << 20, 7)
    assert many.status_code == 422 and "7 at most" in many.json()["detail"]


@pytest.mark.parametrize(
    "options, said",
    [
        (["--notify", "ftp://me:hidden@host/x"], "--notify must be an http or https address"),
        (["--notify", "http://host", "--notify-at", "5"], "--notify-at must be a share"),
        (["--max-upload", "3"], "--max-upload must be a size such as 512M"),
        (["--max-items", "0"], "--max-items"),
        (["--notify-at", "5%"], "--notify-at is of use with --notify only"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_runs(options: list[str], said: str, tmp_path: Path) -> None:
    told = StringIO()
    with redirect_stderr(told):
        assert run_command(cli, ["serve", "--home", str(tmp_path / "home"), *options]) == 2
    assert said in told.getvalue() and "hidden" not in told.getvalue()
    assert not (tmp_path / "home").exists()
