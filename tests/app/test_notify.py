"""What `deliver_owed` sends to a real server, and what it leaves owed."""

from __future__ import annotations

import base64
import re
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from batches import make_spec
from receiver import Receiver, Taken
from said import say

from batchq.app.notify import deliver_owed
from batchq.app.signature import key_of, secret_path
from batchq.app.verbs import make
from batchq.errors import UsageError
from batchq.store.batch import BatchStore, steer
from batchq.store.home import BatchFolder, Home

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()
SOON: tuple[int, dict[str, str]] = (503, {"Retry-After": "0"})
"""Not now, but at once."""
PATIENCE = 20.0
README = Path(__file__).parent.parent.parent / "README.md"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver.listening() as receiver:
        yield receiver


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def completed(home: Home, *addresses: str, **spec: Any) -> BatchFolder:
    """A batch without items that has completed, and has told nobody yet."""
    folder = make(home, "b1", make_spec(notify=addresses, **spec))
    with closing(BatchStore(folder.database)) as store:
        store.move("supervise")
        store.end_input()
        assert store.complete()
    return folder


def verified(secret: str, taken: Taken) -> bool:
    """What the receiver of the README thinks of it."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    program: dict[str, Any] = {}
    exec(next(block for block in blocks if "def verify(" in block), program)
    answer: bool = program["verify"](secret, taken.headers, taken.body)
    return answer


def change(folder: BatchFolder, statement: str) -> None:
    """Change the file as somebody with an editor for SQLite would."""
    with closing(sqlite3.connect(folder.database)) as connection, connection:
        connection.execute(statement)


def test_receiver_of_the_readme_knows_what_is_genuine(
    home: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which would refuse it
    folder = completed(home, receiver.at("/genuine", user="ann:pass%40word@") + "?token=t0ken")
    assert deliver_owed(home, folder) == (1, [])
    (taken,) = receiver.taken("/genuine")
    secret = secret_path(home).read_text()
    assert verified(secret, taken)
    assert not verified(secret, taken._replace(body=taken.body + b" "))
    assert not verified(SECRET, taken)
    assert not verified(secret, taken._replace(headers={**taken.headers, "webhook-timestamp": "1614265330"}))
    assert stat.S_IMODE(secret_path(home).stat().st_mode) == 0o600
    assert taken.headers["content-type"] == "application/json"
    assert base64.b64decode(taken.headers["authorization"].removeprefix("Basic ")) == b"ann:pass@word"
    log = folder.log.read_text()
    assert "batch.completed is delivered to http://127.0.0.1" in log
    assert not re.search("ann|pass|t0ken", log)


def test_what_was_delivered_is_not_sent_again(home: Home, receiver: Receiver) -> None:
    folder = completed(home, receiver.at("/once"))
    threads = [threading.Thread(target=deliver_owed, args=(home, folder)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert deliver_owed(home, folder) == (0, ())
    assert receiver.types("/once") == ["batch.completed"]


def test_each_attempt_has_the_same_id_and_body_and_a_signature_of_its_own_time(home: Home, receiver: Receiver) -> None:
    folder = completed(home, receiver.at("/again", SOON, SOON, 204))
    notes: list[str] = []
    assert deliver_owed(home, folder, notes.append).sent == 1
    taken = receiver.taken("/again")
    assert len(taken) == 3
    assert len({(each.headers["webhook-id"], each.body) for each in taken}) == 1
    assert all(verified(secret_path(home).read_text(), each) for each in taken)
    assert [("HTTP 503" in note) for note in notes] == [True], "told once"


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_refusal_is_not_tried_again_until_somebody_asks(home: Home, receiver: Receiver, status: int) -> None:
    folder = completed(home, receiver.at(f"/refused{status}", status, 200))
    assert re.search(f"batch.completed is not delivered to .*: HTTP {status}$", deliver_owed(home, folder).failed[0])
    assert len(receiver.taken(f"/refused{status}")) == 1
    assert deliver_owed(home, folder).sent == 1


def test_address_that_asks_to_wait_longer_than_there_is_time_is_left_alone(home: Home, receiver: Receiver) -> None:
    folder = completed(home, receiver.at("/later", (429, {"Retry-After": "600"}), 200))
    with closing(BatchStore(folder.database)) as store:
        for event in ("retry", "supervise", "filled"):
            store.move(event)
        store.complete()
    began = time.monotonic()
    assert len(deliver_owed(home, folder).failed) == 2
    assert time.monotonic() - began < PATIENCE
    assert len(receiver.taken("/later")) == 1


def test_redirect_is_not_followed(home: Home, receiver: Receiver) -> None:
    other = receiver.at("/other")
    folder = completed(home, receiver.at("/moved", (302, {"Location": other}), (307, {"Location": other})))
    assert "redirects are not followed" in deliver_owed(home, folder).failed[0]
    assert deliver_owed(home, folder).sent == 0
    assert (len(receiver.taken("/moved")), receiver.taken("/other")) == (2, [])


def test_address_that_does_not_answer_holds_up_no_other_and_not_for_long(home: Home, receiver: Receiver) -> None:
    silent, refusing = receiver.at("/silent", 0), "http://ann:pass@127.0.0.1:9/x?t=t0ken"
    folder = completed(home, silent, refusing, receiver.at("/quick"))
    for _ in range(5):  # whoever is stopped for two seconds has no time left, and tries again
        began = time.monotonic()
        sent, failed = deliver_owed(home, folder, seconds=2.0)
        assert time.monotonic() - began < PATIENCE
        if sent:
            break
    assert (sent, len(failed)) == (1, 2)
    assert set(receiver.types("/quick")) == {"batch.completed"}
    assert failed[0].endswith("/silent: no answer")
    assert failed[1] == "batch.completed is not delivered to http://127.0.0.1:9/x: Connection refused"
    assert not re.search("ann|pass|t0ken", folder.log.read_text())


def paused_by_the_breaker(folder: BatchFolder) -> None:
    with closing(BatchStore(folder.database)) as store:
        store.move("supervise")
        store.move("pause", "the first 20 items all failed")
        store.move("drained")


def halted(folder: BatchFolder) -> None:
    with closing(BatchStore(folder.database)) as store:
        store.move("supervise")
        store.halt("the account is closed", 3)


@pytest.mark.parametrize(
    "how, deadline, event, state, reason",
    [
        (lambda folder: steer(folder.database, "cancel"), None, "batch.cancelled", "cancelled", None),
        (lambda folder: steer(folder.database, "cancel"), 1.0, "batch.expired", "expired", None),
        (paused_by_the_breaker, None, "batch.paused", "paused", "the first 20 items all failed"),
        (halted, None, "batch.halted", "failed", "the account is closed"),
    ],
)
def test_event_says_how_the_batch_stands(
    home: Home,
    receiver: Receiver,
    how: Callable[[BatchFolder], None],
    deadline: float | None,
    event: str,
    state: str,
    reason: str | None,
) -> None:
    folder = make(home, "b1", make_spec(notify=(receiver.at(f"/{event}"),), deadline=deadline))
    how(folder)
    assert deliver_owed(home, folder).sent == 1
    (taken,) = receiver.taken(f"/{event}")
    assert taken.event["type"] == event
    assert taken.event["timestamp"].endswith("+00:00")
    assert taken.event["data"] == {
        "batch_id": "b1",
        "state": state,
        "reason": reason,
        "total_items": 0,
        "input_done": False,
        "processed_items": 0,
        "success_count": 0,
        "failure_count": 0,
        "failure_share": 0.0,
        "attempts": 0,
        "retries": 0,
    }


def test_pause_by_the_user_is_no_news(home: Home, receiver: Receiver) -> None:
    folder = make(home, "b1", make_spec(notify=(receiver.at("/own"),)))
    assert steer(folder.database, "pause") == "paused"
    assert deliver_owed(home, folder) == (0, ())


def test_batch_from_elsewhere_sends_nothing(
    home: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = completed(home, receiver.at("/theirs"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    assert "from elsewhere" in deliver_owed(home, folder).failed[0]
    assert receiver.taken("/theirs") == []


def test_address_that_somebody_has_put_into_the_file_is_told_nothing(home: Home, receiver: Receiver) -> None:
    folder = completed(home, receiver.at("/mine"))
    change(folder, f"UPDATE outbox SET url = '{receiver.at('/evil')}'")
    assert deliver_owed(home, folder).sent == 0
    change(folder, f"UPDATE batch SET spec = json_set(spec, '$.notify[0]', '{receiver.at('/evil')}')")
    assert "from elsewhere" in deliver_owed(home, folder).failed[0]
    assert receiver.taken("/evil") == receiver.taken("/mine") == []


def test_secret_of_the_environment_is_needed_again_where_it_was_used(
    home: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = completed(home, receiver.at("/variable"), notify_by_variable=True)
    assert "$BATCHQ_NOTIFY_SECRET" in deliver_owed(home, folder).failed[0]
    assert receiver.taken("/variable") == []
    monkeypatch.setenv("BATCHQ_NOTIFY_SECRET", SECRET)
    assert deliver_owed(home, folder).sent == 1
    assert verified(SECRET, receiver.taken("/variable")[0])
    assert not secret_path(home).exists()


@pytest.mark.parametrize("secret", ["s3cret", "whsec_s3cret!", "whsec_c2hvcnQ=", SECRET + "=="])
def test_what_is_no_secret_is_refused_and_not_told(home: Home, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("BATCHQ_NOTIFY_SECRET", secret)
    with pytest.raises(UsageError, match=r"the secret in \$BATCHQ_NOTIFY_SECRET must be whsec_ and") as refused:
        key_of(home)
    assert secret not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(
    "options, words",
    [
        (["--notify", "example.org/hook"], "http or https address"),
        (["--notify", "ftp://ann:s3cret@example.org/?s3cret"], "'ftp://example.org/'"),
        (["--notify", "ann:s3cret@example.org"], "'example.org'"),
        (["--notify", "https://"], "http or https address"),
        (["--notify", "https://example.org:99999/"], "http or https address"),
        (["--notify", "https://[::1/"], "http or https address"),
        (["--notify", "https://example.org/a b"], "http or https address"),
        (["--notify", "https://example.org/", "--notify-at", "5"], "--notify-at must be a share"),
        (["--notify", "https://example.org/", "--notify-at", "0%"], "--notify-at must be a share"),
        (["--notify-at", "5%"], "with --notify only"),
    ],
)
def test_what_cannot_be_told_is_refused_before_anything_is_stored(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    (tmp_path / "ideas.txt").write_text("tea\n")
    said = say(capsys, home.path, "start", str(tmp_path / "ideas.txt"), "--func", "builtins:len", *options)
    assert said.code == 2
    assert words in said.err
    assert "s3cret" not in said.err
    assert not home.path.exists()
