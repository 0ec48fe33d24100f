"""What a server does for batches whose processes end, and for homes in which something is wrong."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from answering import answers
from command import ended
from queued import Queue
from served import Served
from waiting import wait_until

from batchq.app.serving import login_link
from batchq.cli.console import run_command
from batchq.cli.run import cli
from batchq.server.running.catalog import Catalog
from batchq.server.running.children import Exit
from batchq.server.running.daemon import Daemon
from batchq.server.running.fates import Fates
from batchq.server.settings import ServerSettings
from batchq.store.home import Home

pytestmark = pytest.mark.slow

TRAP = """
import os
if os.path.exists(os.path.join(os.path.dirname(__file__), "trap")):
    os.kill(os.getpid(), 9)
def f(item):
    return item
"""
NEEDS = """
import os, time
there, died = (os.path.join(os.path.dirname(__file__), name) for name in ("there", "died"))
if not os.path.exists(there):
    if not os.path.exists(died):
        open(died, "w").close()
        os._exit(9)
    while not os.path.exists(there):
        time.sleep(0.02)
def f(item):
    return 1
"""
"""Its first process ends, and the second one waits: six of them would be too many."""


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Queue:
    return Queue(tmp_path_factory.mktemp("daemon"))


@pytest.fixture(scope="module")
def server(queue: Queue) -> Iterator[Served]:
    """A server that starts again soon what has died."""
    with queue.served("--restart-delay", "0.02", "--log-size", "4K") as made:
        yield made


@contextmanager
def paused_daemon(server: Served) -> Iterator[None]:
    """Nothing is begun during the block: the server stands still."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_delays_grow_and_begin_anew_with_each_outcome() -> None:
    fates = Fates(1.0)
    delays = [fates.died("b1", done, Exit("b1", -9, ""), 100.0).not_before - 100 for done in (0, 0, 0, 5, 5, 6)]
    assert delays == [1, 2, 4, 1, 2, 1]
    assert fates.get("b1").reason is None
    assert fates.died("b1", 6, Exit("b1", 75, ""), 0.0).deaths == 1, "somebody was quicker: that is no death"
    slow = Fates(1.0)
    for _ in range(20):
        last = slow.died("b1", 0, None, 0.0)
    assert last.not_before == 60
    for code in (2, 3, 70, 74):
        assert Fates(1.0).died("b1", 0, Exit("b1", code, "no"), 0.0).reason == "it could not be run: no"


def test_second_server_is_refused_and_names_the_first(
    queue: Queue, server: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(cli, ["serve", "--port", "0", "--home", str(queue.home)]) == 75
    assert f"process {server.process.pid}" in capfd.readouterr().err


def test_address_that_cannot_be_used_is_refused_in_a_line(
    tmp_path: Path, server: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    port = server.url.rpartition(":")[2]
    home = ["serve", "--home", str(tmp_path / "home")]
    for wrong, words in (
        (["--port", port], "Address already in use"),
        (["--host", "no.such.host.invalid", "--port", "0"], "no.such.host.invalid"),
        (["--home", "/dev/null/home"], "as home"),
    ):
        assert run_command(cli, [*home, *wrong]) == 2
        told = capfd.readouterr().err
        assert words in told and len(told.splitlines()) == 2, told


def test_link_of_a_running_server_lets_in_once(queue: Queue, server: Served) -> None:
    link = login_link(Home(queue.home))
    client = server.client.__class__(trust_env=False, timeout=60)
    with client:
        assert [client.get(link).status_code for _ in range(2)] == [303, 401]


def test_neither_token_nor_code_is_told_or_logged(queue: Queue, server: Served) -> None:
    code = server.link.rpartition("=")[2]
    server.client.get("/login", params={"code": code})
    wait_until(lambda: "GET /login 303" in queue.said())
    assert code not in queue.said() and server.token not in queue.said()


def test_batch_that_cannot_be_begun_says_why_for_as_long_as_it_waits(queue: Queue, server: Served) -> None:
    there, module = queue.folder / "there", queue.folder / "needs.py"
    module.write_text(NEEDS)
    there.touch()
    with paused_daemon(server):
        queue.put("needy", f"{module}:f")
        there.unlink()
    wait_until(lambda: server.batch("needy")["reason"] is not None)
    told = server.batch("needy")
    assert told["state"] == "queued" and told["reason"].endswith("(1 of 6): exit code 9"), told
    there.touch()
    assert server.wait_for("needy", "completed")["reason"] is None


def test_batch_of_a_terminal_goes_on_after_a_kill_and_stays_after_ctrl_c(queue: Queue, server: Served) -> None:
    queue.write_input(2)
    process = queue.start("held", "-c", "1", "-w", "1", "-q", "--grace", "0")
    wait_until(lambda: queue.begun() == 1)
    wait_until(lambda: server.batch("b1")["served"] == "adopted")
    queue.kill_supervisor("b1")
    ended(process)
    wait_until(lambda: queue.begun() == 2)  # the server has begun it again
    mine = queue.supervisor("b1")
    assert mine is not None and mine.ppid() == server.process.pid
    assert server.client.post("/api/v1/batches/b1/pause").status_code == 200
    queue.open_gate()
    server.wait_for("b1", "paused")
    (queue.folder / "gate").unlink()

    resumed = queue.begin("resume", "b1", "-q")
    wait_until(lambda: queue.begun() == 3)
    resumed.send_signal(signal.SIGINT)
    assert ended(resumed) == -signal.SIGINT
    log = "b1: is interrupted"
    wait_until(lambda: log in queue.said())
    assert server.batch("b1")["state"] == "interrupted"
    queue.open_gate()
    assert server.client.post("/api/v1/batches/b1/resume").status_code == 200
    assert server.wait_for("b1")["state"] == "completed"


def test_batch_that_cannot_run_is_given_up_with_the_reason(queue: Queue, server: Served) -> None:
    (queue.folder / "trap.py").write_text(TRAP)
    (queue.folder / "gone.py").write_text(TRAP)
    with paused_daemon(server):
        queue.put("trapped", f"{queue.folder}/trap.py:f")
        queue.put("lost", f"{queue.folder}/gone.py:f")
        (queue.folder / "trap").touch()
        (queue.folder / "gone.py").unlink()
    lost = server.wait_for("lost", "failed")
    assert "gone.py" in lost["reason"]
    trapped = server.wait_for("trapped", "failed")
    assert "6 times" in trapped["reason"] and "SIGKILL" in trapped["reason"]
    (queue.folder / "trap").unlink()
    assert server.client.post("/api/v1/batches/trapped/resume").status_code == 200
    assert server.wait_for("trapped")["state"] == "completed"


def test_home_in_which_something_is_wrong_is_served_all_the_same(queue: Queue, server: Served) -> None:
    (queue.home / "garbage").mkdir()
    (queue.home / "garbage" / "batch.db").write_bytes(b"SQLite format 3\0" + b"?" * 5000)
    shutil.copytree(queue.home / "b1", queue.home / "copy")
    queue.put("beside", "waits")
    assert server.wait_for("beside")["state"] == "completed"

    def errors() -> dict[str, str]:
        found: dict[str, str] = server.client.get("/api/v1/batches").json()["errors"]
        return found

    wait_until(lambda: set(errors()) == {"garbage", "copy"} and "'b1'" in errors()["copy"])
    assert server.client.get("/api/v1/batches/garbage").status_code == 500
    for name in ("garbage", "copy"):
        shutil.rmtree(queue.home / name)
    wait_until(lambda: errors() == {})


def test_log_is_begun_anew_at_its_size_and_opened_again_at_sighup(queue: Queue, server: Served) -> None:
    log = queue.home / ".server" / "server.log"
    older = log.with_name("server.log.1")

    def sizes() -> list[int]:
        with suppress(FileNotFoundError):  # one of them is just taking the place of the other
            return [log.stat().st_size, older.stat().st_size]
        return []

    wait_until(lambda: server.client.get("/api/v1/server").status_code == 200 and sizes())
    assert max(sizes(), default=0) <= 4096
    log.rename(log.with_name("moved"))
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.client.get("/api/v1/server").status_code == 200 and log.exists())


class Hanging(Catalog):
    """Its look at the batches takes until it is let go, as on a disk that does not answer."""

    def __init__(self, home: Home) -> None:
        super().__init__(home, 0)
        self.let_go = threading.Event()

    def refresh(self) -> bool:
        assert self.let_go.wait(60)
        return super().refresh()


def test_server_that_has_not_looked_at_its_batches_for_a_minute_is_not_healthy(tmp_path: Path) -> None:
    home, now = Home(tmp_path / "home"), [100.0]
    home.path.mkdir()
    catalog = Hanging(home)
    daemon = Daemon(ServerSettings(home), catalog, lambda: now[0])

    def health() -> tuple[int, str]:
        (answer,) = answers(tmp_path, ("GET", "/healthz", {}), daemon=daemon)
        return answer.status_code, answer.json()["status"]

    assert health() == (503, "the daemon has died"), "it has not begun"
    daemon.start()
    now[0] += 59
    assert health() == (200, "ok")
    now[0] += 16
    assert health() == (503, "the daemon has not looked at the batches for 75 s")
    catalog.let_go.set()
    wait_until(lambda: health() == (200, "ok"))
    daemon.stop()
    wait_until(lambda: daemon.has_ended)
    assert health() == (200, "ok"), "it was told to stop"
