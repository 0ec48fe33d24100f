"""Commands that only read, run in this process: a new one for each would take most of a test's time."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from batchq.cli.console import run_command
from batchq.cli.run import cli


class Said(NamedTuple):
    """What a command exited with and printed."""

    code: int
    out: str
    err: str


def say(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str) -> Said:
    """Run ``batchq ARGUMENTS`` here, on that home."""
    code = run_command(cli, [*arguments, "--home", str(home)])
    return Said(code, *capsys.readouterr())
