"""A server that is killed: its batches go on, and the next one knows of them; what was killed with it runs again."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import psutil
import pytest
from command import kill
from queued import Queue, outcomes_of
from waiting import wait_until

pytestmark = pytest.mark.slow
SHOWN_SECONDS = 40.0
"""Twenty times what is promised, from the start of the process on, for a machine that does ten things at a time."""


def test_batches_outlive_their_server_and_the_next_one_resumes_what_dies_with_it(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.put("own")
    queue.put("paused")
    with queue.served() as server:
        queue.write_input(3)
        begun = queue.start("held", "-c", "1", "-w", "1", "-d")
        begun.communicate(timeout=60)
        wait_until(lambda: queue.begun() == 3)
        wait_until(lambda: server.batch("b1")["served"] == "adopted")
        with httpx.Client(trust_env=False, timeout=60) as browser:
            browser.get(server.link)
            cookies = dict(browser.cookies)
            assert browser.get(f"{server.url}/api/v1/server").status_code == 200
            assert browser.post(f"{server.url}/logout").status_code == 204
        before = {name: queue.supervisor(name) for name in ("own", "paused", "b1")}

        server.kill()
        left = queue.home / ".server"
        for name, text in (("lock", '{"pid": 1, "started": 0, "since": 0}'), ("address", "garbage"), ("starts", "?")):
            (left / name).write_text(text)  # whatever a dead one leaves there keeps no other from its work
        assert {name: queue.supervisor(name) for name in before} == before, "they go on"
        begun = time.monotonic()
        server.start()

        def shown() -> dict[str, tuple[str, int]]:
            batches = server.client.get("/api/v1/batches").json()["batches"]
            return {each["batch_id"]: (each["state"], each["in_flight"]) for each in batches}

        wait_until(lambda: shown() == dict.fromkeys(before, ("running", 1)), SHOWN_SECONDS)
        seconds = time.monotonic() - begun
        print(f"all three batches are shown right {seconds:.2f} s after the start of a new server's process")
        assert seconds < SHOWN_SECONDS
        logged_out = httpx.get(f"{server.url}/api/v1/server", cookies=cookies, timeout=60, trust_env=False)
        assert logged_out.status_code == 401, "who has logged out stays so"
        assert {name: queue.supervisor(name) for name in before} == before, "nobody was started a second time"

        assert server.client.post("/api/v1/batches/paused/pause").json()["state"] == "pausing"
        server.kill()
        everyone = [p for found in before.values() if found for p in [found, *found.children(recursive=True)]]
        kill(everyone)
        psutil.wait_procs(everyone, 10)
        queue.open_gate()
        server.start()
        for name in ("own", "b1"):
            done = server.wait_for(name)
            assert (done["state"], done["success_count"]) == ("completed", 3)
            assert outcomes_of(queue.home, name) == [1, 1, 1]
        assert server.batch("paused")["state"] == "paused", "a pause holds over every restart"
        assert outcomes_of(queue.home, "paused") == [0, 0, 0]
