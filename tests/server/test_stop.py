"""How a server ends: what becomes of its batches, of those who look on, and of orphans where it is process 1."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from queued import Queue, outcomes_of
from served import Served
from waiting import wait_until

pytestmark = pytest.mark.slow


def watcher(server: Served) -> subprocess.Popen[bytes]:
    """Somebody who looks on."""
    program = f"""
import sys, httpx
with httpx.stream("GET", {server.url!r} + "/api/v1/events", timeout=60, trust_env=False,
                  headers={{"Authorization": "Bearer {server.token}"}}) as answer:
    for piece in answer.iter_bytes():
        sys.stdout.write("."); sys.stdout.flush()
"""
    found = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert found.stdout is not None and found.stdout.read(1) == b"."
    return found


def test_stopped_batches_leave_in_order_and_the_next_server_goes_on_with_them(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.put("b2", grace=60.0)
    with queue.served("--stop-batches") as server:
        wait_until(lambda: queue.begun() == 1)
        child = queue.supervisor("b2")
        looking = watcher(server)
        server.process.terminate()
        wait_until(lambda: server.client.get("/readyz").status_code == 503)
        assert server.client.get("/healthz").status_code == 200
        assert server.process.poll() is None, "it waits for its batch, of which an item is in flight"
        queue.open_gate()
        assert server.process.wait(60) == 0
        looking.communicate(timeout=60)
        assert looking.returncode == 0, "what somebody watched has come to its end, and was not cut off"
        assert child is not None and not child.is_running()
        assert outcomes_of(queue.home, "b2")[0] == 1, "what was in flight has been recorded"
        server.client.close()
        server.start()
        assert server.wait_for("b2")["state"] == "completed"
        assert outcomes_of(queue.home, "b2") == [1, 1, 1]


def test_second_signal_ends_a_server_at_once_and_what_is_in_flight_runs_on(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.put("b2", grace=60.0)
    with queue.served("--stop-batches") as server:
        wait_until(lambda: queue.begun() == 1)
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: server.client.get("/readyz").status_code == 503)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 128 + signal.SIGINT
        assert queue.supervisor("b2") is not None
        queue.open_gate()
        wait_until(lambda: queue.supervisor("b2") is None)
        assert outcomes_of(queue.home, "b2")[0] == 1, "what was in flight; it had been told to leave after that"


ORPHANS = """
import os, sys
def f(item):
    if os.fork() == 0:
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "0.2"])
        os._exit(0)
    os.wait()
    return item
"""


def is_orphan_or_dead(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.name() == "sleep" or process.status() == psutil.STATUS_ZOMBIE
    return False


def test_process_1_buries_orphans_and_hands_signals_on(tmp_path: Path) -> None:
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("SKIPPED: this user may make no namespace of processes (unshare)")
    queue = Queue(tmp_path)
    (tmp_path / "orphans.py").write_text(ORPHANS)
    queue.put("b2", f"{tmp_path}/orphans.py:f")
    serve = [sys.executable, "-m", "batchq", "serve", "--port", "0", "--json", "--home", str(queue.home)]
    with subprocess.Popen([*unshare, *serve], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as outer:
        assert outer.stdout is not None
        assert "url" in json.loads(outer.stdout.readline())
        first = psutil.Process(outer.pid).children()[0]
        wait_until(lambda: outcomes_of(queue.home, "b2") == [1, 1, 1])
        wait_until(lambda: not any(map(is_orphan_or_dead, first.children())))
        first.terminate()
        assert outer.wait(30) == 0, outer.communicate()


def test_elsewhere_orphans_come_to_a_server_that_is_asked_for_it(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("SKIPPED: only Linux has a subreaper")
    program = f"""
import os, sys, time
from batchq.server.running.init import split_off
first, found = os.getpid(), {str(tmp_path / "found")!r}
code = split_off()
if code is None:
    if os.fork() == 0:  # it dies at once, and leaves an orphan
        if os.fork() == 0:
            while os.getppid() != first:
                time.sleep(0.01)
            open(found, "w").close()
        os._exit(0)
    while not os.path.exists(found):
        time.sleep(0.01)
    os._exit(7)
sys.exit(code)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 7
