"""The peers' own virtual environment, beside the project's: what they need must not change what is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.peers.roster import Peer
from benchmarks.peers.services import find_program

TOP: Final = Path(__file__).resolve().parents[3]
REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
LIST: Final = """
import importlib.metadata, json
print(json.dumps({each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}))
"""


@dataclass(frozen=True)
class Environment:
    """Where the peers can be run.

    Attributes:
        python: its interpreter.
        versions: of the distributions in it.
        refused: why pip could not install one, by requirement.
    """

    python: Path
    versions: dict[str, str]
    refused: dict[str, str] = field(default_factory=dict)

    def lacking(self, peer: Peer) -> str:
        """What keeps a peer from being measured on this machine; empty: nothing."""
        if peer.program and find_program(peer.program) is None:
            return f"{peer.program} is not on this machine (Debian: apt-get install {peer.debian})"
        if peer.package and peer.package not in self.versions:
            reasons = [reason for name, reason in self.refused.items() if name.startswith(peer.package)]
            return "; ".join(reasons) or f"{peer.package} is not installed"
        return ""


def prepare(say: Callable[[str], None]) -> Environment:
    """Make the environment, or use the one that is there for the same requirements."""
    folder = TOP / ".venv" / f"{sys.version_info[0]}.{sys.version_info[1]}-peers"
    python, stamp = folder / "bin" / "python", folder / "stamp"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    refused: dict[str, str] = {}
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        say(f"making the virtual environment {folder.relative_to(TOP)} ...")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        # One by one: those that can be had are measured, whatever becomes of the others.
        for requirement in wanted.split():
            command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", requirement]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                refused[requirement] = f"pip: {done.stderr.strip().splitlines()[-1]}"
        if not refused:
            stamp.write_text(wanted, encoding="utf-8")
    listed = subprocess.run([str(python), "-c", LIST], check=True, capture_output=True, text=True).stdout
    return Environment(python, json.loads(listed), refused)
