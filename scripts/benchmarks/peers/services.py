"""Private servers for the peers that need one: on a free port of 127.0.0.1, in a folder that goes with them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

REDIS: Final = "redis-server"
POSTGRES: Final = "postgres"
START_SECONDS: Final = 30.0
ROOTS_STAND_IN: Final = "postgres"
"""The user of Debian's package: PostgreSQL refuses to run as root."""


def find_program(name: str) -> str | None:
    """Where a program is; Debian keeps PostgreSQL's out of the PATH."""
    found = shutil.which(name)
    if found is None:
        places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda place: place.parts)
        found = str(places[-1]) if places else None
    return found


@contextmanager
def serve(program: str) -> Iterator[str]:
    """The address of a new server, which ends with the block; empty where `program` is none."""
    server = SERVERS.get(program)
    if server is None:
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="batchq-peer-") as folder, server(folder) as address:
        yield address


@contextmanager
def _redis(folder: str) -> Iterator[str]:
    """Redis as a durable user sets it: every change is logged, and the log is on the disk within a second."""
    port = _free_port()
    where = ["--bind", "127.0.0.1", "--port", str(port), "--dir", folder]
    keeping = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    with _running([REDIS, *where, *keeping], signal.SIGTERM, lambda: _answers(port)):
        yield f"redis://127.0.0.1:{port}"


@contextmanager
def _postgres(folder: str) -> Iterator[str]:
    """PostgreSQL as it comes, but for commits that are on the disk a moment later: as with Redis and batchq."""
    user = ROOTS_STAND_IN if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data, port = f"{folder}/data", _free_port()
    make = [str(find_program("initdb")), "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale", "C"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd=folder, user=user)
    where = ["-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder]
    command = [str(find_program(POSTGRES)), *where, "-c", "synchronous_commit=off", "-c", "max_connections=200"]
    ready = [str(find_program("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(port)]
    with _running(command, signal.SIGINT, lambda: subprocess.call(ready) == 0, folder, user):
        yield f"postgresql://bench@127.0.0.1:{port}/postgres"


@contextmanager
def _running(
    command: list[str],
    end: signal.Signals,
    is_ready: Callable[[], bool],
    folder: str | None = None,
    user: str | None = None,
) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, user=user) as it:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not is_ready():
                if it.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start")
                time.sleep(0.05)
            yield
        finally:
            it.send_signal(end)


SERVERS: Final = {REDIS: _redis, POSTGRES: _postgres}


def _answers(port: int) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port
