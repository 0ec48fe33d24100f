"""A real server in a process of its own, and a client that shows its token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from waiting import wait_until

LEFT = ("running", "filling", "queued", "pausing", "cancelling", "interrupted")
"""States that a batch of a server leaves by itself."""


class Served:
    """A server on a home of its own.

    Attributes:
        folder: where it was started: handlers are found there.
        url: its address.
        link: the one-time link that it told at its start.
        process: the server.
    """

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.folder = folder
        self.options = options
        self.environment = environment
        self.start()

    @property
    def home(self) -> Path:
        """Of its batches."""
        return self.folder / "home"

    @property
    def token(self) -> str:
        """What a call has to show."""
        return (self.home / ".server" / "token").read_text().strip()

    def start(self) -> None:
        """Start it; returns when it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "batchq", "serve", "--port", "0", "--json", "--home", str(self.home), *self.options],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        with self.process.stdout, self.process.stderr:
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
        told = json.loads(line)
        self.url, self.link = told["url"], told["link"]
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=60, trust_env=False
        )
        wait_until(lambda: self.client.get("/readyz").status_code == 200)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        code = self.process.wait(30)
        self.client.close()
        return code

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(30)
        self.client.close()

    def create(self, func: str, items: list[Any], **options: Any) -> str:
        """A new batch; its id."""
        answer = self.client.post("/api/v1/batches", json={"func": func, "items": items, **options})
        assert answer.status_code == 201, answer.text
        batch_id: str = answer.json()["batch_id"]
        return batch_id

    def batch(self, batch_id: str) -> dict[str, Any]:
        """How it stands."""
        answer = self.client.get(f"/api/v1/batches/{batch_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def wait_for(self, batch_id: str, *states: str, seconds: float = 60.0) -> dict[str, Any]:
        """The batch, once it is in one of these states; of none given: in one that it does not leave by itself."""

        def is_there() -> bool:
            state = self.batch(batch_id)["state"]
            return state in states if states else state not in LEFT

        wait_until(is_there, seconds)
        return self.batch(batch_id)

    def let_end(self) -> None:
        """Cancel whatever runs, stop the server, and wait until nothing of it is left."""
        if self.process.poll() is not None:
            self.client.close()
            return  # a test has failed while there was none
        for batch in self.client.get("/api/v1/batches").json()["batches"]:
            self.client.post(f"/api/v1/batches/{batch['batch_id']}/cancel")
        wait_until(lambda: all(b["holder"] is None for b in self.client.get("/api/v1/batches").json()["batches"]))
        self.stop()


@contextmanager
def serving(folder: Path, *options: str, **environment: str) -> Iterator[Served]:
    """A server for a block, on a home in `folder`."""
    server = Served(folder, *options, **environment)
    try:
        yield server
    finally:
        server.let_end()
