"""Batches made for a server in this process, which costs less than a command, and looks at who runs them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import ledger
import psutil
from command import LEDGER_FILE, Bench, kill
from served import Served, serving
from waiting import wait_until

from batchq.app.enqueue import enqueue
from batchq.app.request import StartRequest
from batchq.store.home import BatchFolder, Home


class Queue(Bench):
    """A bench whose batches wait for a server."""

    def put(self, batch_id: str, handler: str = "held", items: int = 3, priority: int = 0, **options: object) -> None:
        """A batch of items numbered from 1, one at a time; `handler` is of ``ledger.py``, or a whole TARGET."""
        path = self.folder / f"{batch_id}.jsonl"
        path.write_text("".join(json.dumps({"n": n}) + "\n" for n in range(1, items + 1)))
        target = handler if ":" in handler else f"{LEDGER_FILE}:{handler}"
        asked = {"concurrency": 1, "workers": 1, **options}
        request = StartRequest((str(path),), target, batch_id, **asked)  # type: ignore[arg-type]
        enqueue(Home(self.home), request, priority)

    def begun(self) -> int:
        """Attempts that the handlers have begun."""
        return sum(word == "start" for word, _ in ledger.read(self.ledger))

    def supervisor(self, batch_id: str) -> psutil.Process | None:
        """The process that runs a batch; None while none does."""
        lock = BatchFolder(self.home / batch_id).lock
        holder = lock.holder() if lock.is_held() else None
        return psutil.Process(holder.pid) if holder else None

    def kill_supervisor(self, batch_id: str) -> psutil.Process:
        """SIGKILL to the process that runs a batch, and to its workers."""
        wait_until(lambda: self.supervisor(batch_id) is not None)
        found = self.supervisor(batch_id)
        assert found is not None
        family = [found, *found.children(recursive=True)]
        kill(family)
        psutil.wait_procs(family, 10)
        return found

    def said(self) -> str:
        """The server's log, and what stood there before it was begun anew, which may happen just now."""
        said = ""
        for name in ("server.log.1", "server.log"):
            with suppress(FileNotFoundError):
                said += (self.home / ".server" / name).read_text()
        return said

    def variables(self) -> dict[str, str]:
        """Where the handlers note what they do."""
        return {"LEDGER": str(self.ledger), "GATE": str(self.folder / "gate")}

    @contextmanager
    def served(self, *options: str) -> Iterator[Served]:
        """A server for a block; at its end whatever is held is let go."""
        with serving(self.folder, *options, **self.variables()) as server:
            try:
                yield server
            finally:
                self.open_gate()

    def open_gate(self) -> None:
        """Let what is held end."""
        (self.folder / "gate").touch()


def pid_in(holder: str) -> int:
    """The process that the status of a batch names."""
    found = re.match(r"process (\d+)", holder)
    assert found, holder
    return int(found[1])


def outcomes_of(home: Path, batch_id: str) -> list[int]:
    """How many outcomes each item of a batch has."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(f"file:{home / batch_id / 'batch.db'}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT count(o.n) FROM items i LEFT JOIN outcomes o USING (seq) GROUP BY i.seq"
        ).fetchall()
    return [count for (count,) in rows]
