"""`start --notify`: what a server is told by real commands, whatever becomes of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Bench
from receiver import Receiver, Taken
from said import say
from waiting import wait_until

pytestmark = pytest.mark.slow

HANDLERS = """
def one_in_five_fails(item):
    if item["n"] % 5 == 0:
        raise ValueError("no")

def fails(item):
    raise ValueError("no")

def quick(item):
    return item["n"]
"""
ALONE = ("-w", "1", "-q", "--retry-attempts", "1")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver.listening() as receiver:
        yield receiver


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return made(tmp_path)


def made(folder: Path) -> Bench:
    (folder / "noted.py").write_text(HANDLERS)
    return Bench(folder)


def start(bench: Bench, handler: str, items: int, *options: str, **environment: str) -> tuple[int, str]:
    """Run batch b1 to its end; exit code and stderr."""
    bench.write_input(items)
    target = f"noted.py:{handler}"
    done = bench.run("start", "input.jsonl", "--func", target, "--id", "b1", *ALONE, *options, **environment)
    return done.returncode, done.stderr


def is_signed(bench: Bench, taken: Taken) -> bool:
    """By the words of the specification."""
    secret = (bench.home / ".notify.secret").read_text().strip()
    signed = b"%s.%s.%s" % (
        taken.headers["webhook-id"].encode(),
        taken.headers["webhook-timestamp"].encode(),
        taken.body,
    )
    digest = hmac.new(base64.b64decode(secret.split("_")[1]), signed, hashlib.sha256).digest()
    return taken.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


def test_share_of_failures_and_the_end_are_told_once_each_and_nothing_else_changes(
    bench: Bench, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    url = receiver.at("/whole", 500, 200, user="ann:pass@") + "?token=t0ken"
    code, said = start(bench, "one_in_five_fails", 60, "--notify", url, "--notify-at", "10%")
    assert code == 1, said
    taken = receiver.taken("/whole")
    assert receiver.types("/whole") == ["batch.failing", "batch.failing", "batch.completed"]
    assert taken[0].headers["webhook-id"] == taken[1].headers["webhook-id"] != taken[2].headers["webhook-id"]
    assert all(is_signed(bench, each) for each in taken)
    first, last = taken[0].event["data"], taken[2].event["data"]
    assert (first["state"], first["processed_items"] >= 50, first["failure_share"] >= 0.1) == ("running", True, True)
    assert (last["state"], last["total_items"], last["failure_count"]) == ("completed", 60, 12)
    assert last["failure_share"] == 0.2
    status = say(capsys, bench.home, "status", "b1", "--json").out
    assert json.loads(status)["spec"]["notify"] == [url.replace("ann:pass@", "").partition("?")[0]]
    log = (bench.home / "b1" / "batch.log").read_text()
    assert not any(secret in status + said + log for secret in ("ann", "pass", "t0ken"))


@pytest.mark.parametrize("point, times", [("owed", 1), ("sent", 2)])
def test_command_that_is_killed_at_its_end_owes_what_resume_sends(
    bench: Bench, receiver: Receiver, capsys: pytest.CaptureFixture[str], point: str, times: int
) -> None:
    url = receiver.at(f"/{point}")
    probe = {"BATCHQ_PROBE": f"{point}:1", "BATCHQ_PROBE_WITNESS": str(bench.folder / "witness")}
    code, said = start(bench, "quick", 2, "--notify", url, **probe)
    assert code == -signal.SIGKILL, said
    assert json.loads(say(capsys, bench.home, "status", "b1", "--json").out)["state"] == "completed"
    again = say(capsys, bench.home, "resume", "b1")
    assert (again.code, "1 notification sent" in again.err) == (0, True), again.err
    assert "sent" not in say(capsys, bench.home, "resume", "b1").err
    assert receiver.types(f"/{point}") == ["batch.completed"] * times
    assert len({each.headers["webhook-id"] for each in receiver.taken(f"/{point}")}) == 1


def test_ctrl_c_gives_up_sending_and_the_exit_code_is_that_of_the_batch(bench: Bench, receiver: Receiver) -> None:
    bench.write_input(2)
    url = receiver.at("/down", 503)
    process = bench.begin(
        *("start", "input.jsonl", "--func", "noted.py:quick", "--id", "b1", "-w", "1", "-q", "--notify", url)
    )
    wait_until(lambda: receiver.taken("/down"))
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "notifications of b1 are not sent" in said
    assert "batchq resume b1" in said


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Bench:
    """A batch that its breaker has paused."""
    bench = made(tmp_path_factory.mktemp("original"))
    code, said = start(bench, "fails", 30, "--notify", receiver.at("/paused", user="ann:pass@") + "?token=t0ken")
    assert code == 3, said
    assert receiver.types("/paused") == ["batch.paused"]
    assert receiver.taken("/paused")[0].event["data"]["reason"].endswith("items all failed")
    return bench


@pytest.fixture
def paused(original: Bench, tmp_path: Path) -> Bench:
    """A copy of it, whose function has been mended."""
    bench = Bench(tmp_path)
    shutil.copytree(original.home, bench.home)
    (original.folder / "noted.py").write_text(HANDLERS.replace('raise ValueError("no")', "return 1"))
    return bench


@pytest.mark.parametrize(
    "command",
    ["status b1", "status b1 --json", "status --json", "set b1 -c 3 --json", "report b1 --format json", "log b1"],
)
def test_no_command_tells_what_an_address_carries(
    paused: Bench, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    said = say(capsys, paused.home, *command.split())
    assert said.code == 0, said.err
    assert not any(secret in said.out + said.err for secret in ("ann:", "pass@", "t0ken"))


def test_resume_remembers_whom_to_tell(paused: Bench, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    before = receiver.types("/paused")
    assert say(capsys, paused.home, "resume", "b1", "-q").code == 1
    assert receiver.types("/paused") == [*before, "batch.completed"]


def test_batch_from_elsewhere_tells_nobody(
    paused: Bench,
    receiver: Receiver,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(paused.folder / "elsewhere"))
    monkeypatch.chdir(paused.folder)
    before = receiver.types("/paused")
    (paused.folder / "noted.py").write_text(HANDLERS)
    again = say(capsys, paused.home, "resume", "b1", "--func", "noted.py:quick")
    assert (again.code, "/paused) are from elsewhere, and will not be" in again.err) == (1, True), again.err
    assert receiver.types("/paused") == before
    assert json.loads(say(capsys, paused.home, "status", "b1", "--json").out)["spec"]["notify"] == []


def test_cancelling_what_nobody_runs_is_told_by_the_command_itself(
    paused: Bench, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    before = receiver.types("/paused")
    assert say(capsys, paused.home, "cancel", "b1", "--yes").code == 0
    assert receiver.types("/paused") == [*before, "batch.cancelled"]
