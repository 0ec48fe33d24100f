"""Modules that end, hang or crash the process that loads them; bodies that are too large; batches from elsewhere."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from answering import answers
from waiting import wait_until

from batchq.server.api.handlers import handlers
from batchq.store.home import Home

pytestmark = pytest.mark.slow

MODULES = {
    "exits": "import os; os._exit(3)",
    "leaves": "raise SystemExit(4)",
    "crashes": "import ctypes; ctypes.string_at(0)",
    "raises": "raise RuntimeError('no licence')",
    "hangs": "import subprocess, time\nopen('pid', 'w').write(str(subprocess.Popen(['sleep', '1000']).pid))\n"
    "time.sleep(1000)",
    "talks": "print('{}')\ndef f(item): pass",
}


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def create(func: str, **more: Any) -> tuple[str, str, dict[str, Any]]:
    return "POST", "/api/v1/batches", {"json": {"func": func, "items": [1], **more}}


def folders(folder: Path) -> set[str]:
    return {path.name for path in (folder / "home").iterdir() if path.name[0] != "."}


def test_a_module_that_ends_its_process_is_told_of_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, source in MODULES.items():
        (tmp_path / f"{name}.py").write_text(source + "\n")
    names = ("exits", "leaves", "crashes", "raises")
    *refused, made = answers(tmp_path, *(create(f"{name}:f") for name in names), create("talks:f"))
    assert [(each.status_code, each.json()["status"]) for each in refused] == [(422, 422)] * 4
    said = dict(zip(names, (each.json()["detail"] for each in refused), strict=True))
    assert "exited with 3" in said["exits"] and "SystemExit: 4" in said["leaves"]
    assert "SIGSEGV" in said["crashes"] and "no licence" in said["raises"]
    assert made.status_code == 201
    assert folders(tmp_path) == {made.json()["batch_id"]}


def test_a_module_that_hangs_is_ended_with_what_it_has_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hangs.py").write_text(MODULES["hangs"] + "\n")
    pid = tmp_path / "pid"
    for seconds in (2, 10, 50):
        (answer,) = answers(tmp_path, create("hangs:f"), make_seconds=float(seconds))
        assert answer.status_code == 504 and f"not within {seconds} s" in answer.json()["detail"]
        assert folders(tmp_path) == set()
        if pid.exists() and pid.read_text():
            break  # else it was ended before it had begun to hang
    wait_until(lambda: not is_alive(int(pid.read_text())))


def test_what_is_too_large_is_refused_before_and_while_it_is_read(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"{}\n" * 200_000

    path = "/api/v1/batches/upload?func=a:b&name=a.jsonl"
    announced, streamed, many, body = answers(
        tmp_path,
        ("POST", path, {"content": b"x" * 1_000_001}),
        ("POST", path, {"content": pieces()}),
        ("POST", "/api/v1/batches", {"json": {"func": "a:b", "items": [1] * 11}}),
        ("POST", "/api/v1/batches", {"content": b" " * (17 * 1024 * 1024)}),
        max_upload=1_000_000,
        max_items=10,
    )
    assert [each.status_code for each in (announced, streamed, many, body)] == [413, 413, 422, 413]
    assert "1,000,000 bytes" in streamed.json()["detail"] and "10 at most" in many.json()["detail"]
    assert folders(tmp_path) == set()


def test_an_item_may_be_nested_as_deeply_as_python_reads_and_never_too_deeply_for_the_server(tmp_path: Path) -> None:
    nested = ["[" * depth + "]" * depth for depth in (900, 960, 980, 1000, 50_000)]
    previewed = answers(
        tmp_path, *(("POST", "/api/v1/preview?name=a.jsonl", {"content": each.encode()}) for each in nested)
    )
    assert [each.status_code for each in previewed] == [200] * 5
    assert [text in each.text for text, each in zip(nested, previewed, strict=True)][0::4] == [True, False]
    assert "nested too deeply" in previewed[-1].json()["problems"][0]
    inline = json.dumps({"func": "a:b", "items": []}).replace("[]", f"[{nested[-1]}]")
    (refused,) = answers(tmp_path, ("POST", "/api/v1/batches", {"content": inline.encode()}))
    assert refused.status_code == 400


def test_what_the_state_of_a_batch_does_not_allow_is_a_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipe.py").write_text("def f(item): pass\n")
    (made,) = answers(tmp_path, create("pipe:f", batch_id="b"))
    assert made.json()["state"] == "queued"

    def act(method: str, what: str, **more: Any) -> httpx.Response:
        return answers(tmp_path, (method, f"/api/v1/batches/b{what}", more))[0]

    assert act("PATCH", "", json={"concurrency": 9, "priority": 3}).json()["spec"]["concurrency"] == 9
    assert "rate" in act("PATCH", "", json={"rate": ["fast"]}).json()["detail"]
    assert act("POST", "/pause").json()["state"] == "paused"
    assert act("POST", "/resume").json()["state"] == "queued"
    assert act("POST", "/retry", json={"error": "("}).status_code == 422
    held = Home(tmp_path / "home").find("b").supervise()
    assert act("DELETE", "").status_code == 409
    held.release()
    assert act("POST", "/cancel").json()["state"] == "cancelled"
    assert [act("POST", what).status_code for what in ("/pause", "/resume", "/cancel")] == [200] * 3
    for refused in (act("POST", "/retry"), act("PATCH", "", json={"concurrency": 2})):
        assert refused.status_code == 409 and "cancelled, which is for good" in refused.json()["detail"]
    assert act("DELETE", "").status_code == 204
    assert act("DELETE", "").status_code == 404


def test_a_batch_from_elsewhere_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipe.py").write_text("def f(item): pass\ndef g(item): pass\n")
    answers(tmp_path, create("pipe:f", batch_id="b"))
    answers(tmp_path, ("POST", "/api/v1/batches/b/pause", {}))
    with closing(sqlite3.connect(tmp_path / "home" / "b" / "batch.db")) as file, file:
        file.execute("UPDATE batch SET spec = replace(spec, 'pipe:f', 'pipe:g')")
    for action in ("resume", "retry"):
        (answer,) = answers(tmp_path, ("POST", f"/api/v1/batches/b/{action}", {}))
        assert (answer.status_code, answer.json()["error"]) == (409, "SealBroken")
        assert "hint" not in answer.json(), "no call can say what to run instead"
    (now,) = answers(tmp_path, ("GET", "/api/v1/batches/b", {}))
    assert now.json()["state"] == "paused"


def test_handlers_are_found_in_the_source_that_the_patterns_name(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").write_text("raise SystemExit('run')")
    (tmp_path / "jobs" / "mail.py").write_text(
        'async def send(item):\n    """Send it.\n\n    Now."""\n'
        "def both(item, ctx): ...\ndef named(*, item): ...\ndef nothing(): ...\ndef _hidden(item): ...\n"
    )
    (tmp_path / "broken.py").write_text("def f(item:\n")
    found = handlers(["jobs.mail:*", "jobs/*.py:s*", "elsewhere:run", "broken:*"], tmp_path)
    assert [(each["target"], each["async"], each["summary"]) for each in found] == [
        ("elsewhere:run", None, None),
        ("jobs.mail:both", False, None),
        ("jobs.mail:send", True, "Send it."),
        ("jobs/mail.py:send", True, "Send it."),
    ]


def test_process_that_makes_it_ends_by_itself_where_no_server_is_left_to_end_it() -> None:
    code = (
        "import re\n"
        "from batchq.server.processes import child\n"
        "child.LATER_SECONDS = 0\n"
        "child.answering(lambda question: re.match('(a+)+$', 'a' * 99 + 'b'))"
    )
    told = json.dumps({"question": {}, "seconds": 0.1})
    ended = subprocess.run([sys.executable, "-c", code], input=told, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (-signal.SIGALRM, "")
