"""Disks that are too small, and processes that may not use much: what a machine may refuse a batch."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Bench

HANDLERS = Path(__file__).with_name("hungry.py")
NO_MOUNT = "a small disk must be mounted, which takes root"


def _mount(folder: Path, *options: str) -> None:
    if os.geteuid() != 0:
        pytest.skip(NO_MOUNT)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{NO_MOUNT}: {done.stderr.strip()}")


class SmallDisk(Bench):
    """A bench whose home lies on a disk of its own."""

    def resize(self, megabytes: int) -> None:
        """Give the disk another size."""
        subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(self.home)], check=True)

    def read_only(self, yes: bool) -> None:
        """Forbid to write to the disk, or allow it again."""
        subprocess.run(["mount", "-o", f"remount,{'ro' if yes else 'rw'}", str(self.home)], check=True)

    @property
    def ballast(self) -> Path:
        """A file of somebody else's that takes what is left of the disk."""
        return self.home / "ballast"

    def use_up(self, leave: int = 0) -> None:
        """Fill the disk to its last block, but for `leave` bytes; what is given free meanwhile stays free."""
        disk = os.statvfs(self.home)
        with contextlib.suppress(OSError), self.ballast.open("ab", buffering=0) as file:
            for _ in range(disk.f_bavail * disk.f_frsize // 4096):
                file.write(b"x" * 4096)
        if leave:
            os.truncate(self.ballast, max(0, self.ballast.stat().st_size - leave))

    def begin_hungry(self, handler: str, *options: str, **environment: str) -> subprocess.Popen[str]:
        """Start batch b1 with a handler of ``hungry.py``."""
        target = f"{HANDLERS}:{handler}"
        return self.begin("start", "input.jsonl", "--func", target, "--id", "b1", *options, **environment)


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A bench in `folder` whose home is a disk of so many megabytes; skips the test where that cannot be had."""
    bench = SmallDisk(folder)
    bench.home.mkdir()
    _mount(bench.home, "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "none")
    try:
        yield bench
    finally:
        subprocess.run(["umount", "-l", str(bench.home)], check=True)


def run_limited(bench: Bench, limit: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``batchq ARGUMENTS`` under a limit of the shell's, such as ``-f 6000`` or ``-n 20``."""
    command = shlex.join([sys.executable, "-m", "batchq", *arguments, "--home", str(bench.home)])
    return subprocess.run(
        ["bash", "-c", f"ulimit {limit}; exec {command}"],
        env=bench.environment(**environment),
        cwd=bench.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
