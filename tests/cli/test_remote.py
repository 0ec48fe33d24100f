"""The commands against a server: the same output as at its home, and clear words where that cannot be."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from command import Bench
from served import Served, serving
from severed import severed
from waiting import wait_until

from batchq.cli.console import run_command
from batchq.cli.run import cli

HANDLERS = """
import asyncio, os
GATE = os.path.join(os.path.dirname(__file__), "gate")

async def odd_fails(item):
    if item["n"] % 2:
        raise ValueError("odd: " + str(item["n"] % 3))
    return {"title": "t%d" % item["n"], "n": item["n"]}

async def waits(item):
    while not os.path.exists(GATE):
        await asyncio.sleep(0.02)
    return item["n"]

def title(item):
    return f"t{item['n']}"

def script(title, ctx):
    if ctx.payload["n"] % 2:
        raise ValueError("odd: " + str(ctx.payload["n"] % 3))
    return title + "!"
"""
NOW = re.compile(r'("generated_at": ")[^"]*|(counted )[^<]*')


class Said(NamedTuple):
    """What a command has said, without the options that say where."""

    code: int
    out: str
    err: str


class There:
    """A server, and commands that ask it, or the home that it has."""

    def __init__(self, server: Served, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self._capsys = capsys

    def ask(self, *words: str, at: str | None = None) -> Said:
        """The command to the server, at its own address or `at` another one."""
        return self._run(*words, "--server", at or self.server.url)

    def here(self, *words: str) -> Said:
        """The same at its home."""
        return self._run(*words, "--home", str(self.server.home))

    def _run(self, *words: str) -> Said:
        self._capsys.readouterr()
        code = run_command(cli, list(words))
        out, err = self._capsys.readouterr()
        where = f" {words[-2]} {words[-1]}"
        return Said(code, *(NOW.sub(r"\1\2", text.replace(where, "")) for text in (out, err)))

    def input(self, items: int) -> str:
        """A file of so many items, of which the last cannot be read."""
        path = self.server.folder / "in.jsonl"
        lines = [json.dumps({"id": f"a{n}", "n": n, "t": "=1+1 ü"}) + "\n" for n in range(1, items)]
        path.write_text("".join(lines) + "{broken\n")
        return str(path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("there")
    (folder / "pipe.py").write_text(HANDLERS)
    with serving(folder, "--allow", "pipe:*") as made:
        yield made


@pytest.fixture
def there(server: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> There:
    monkeypatch.setenv("BATCHQ_TOKEN_FILE", str(server.home / ".server" / "token"))
    monkeypatch.chdir(server.folder)
    return There(server, capsys)


@pytest.fixture
def done(there: There) -> There:
    """The same with the batch `done`, of eight items, half of which failed."""
    if not (there.server.home / "done").exists():
        said = there.ask("start", there.input(8), "--func", "pipe:odd_fails", "--id", "done", *ONCE)
        assert said.code == 1, said.err
        assert said.out == there.here("report", "done").out
    return there


ONCE = ("--retry-attempts", "1", "-w", "1")
STAGES = ("--stage 1", "--stage 1 --json --with-input", "--stage 1 --format csv", "--stage 2", "--stage 3")
SAME = [
    "status",
    "status --json",
    "status done",
    "status done --json",
    "status done --watch",
    "status --watch --json",
    "wait done",
    "wait done --json",
    "results done",
    "results done --only failed --with-input",
    "results done --format csv --with-input",
    "results done --format tsv --flatten --raw",
    "results done --json --flatten",
    "results done --as-input --only failed",
    "results done -f",
    "results done -f --only failed --with-input",
    "results done -f --format csv",
    "results done -f --flatten --json",
    "report done",
    "report done --json --failures 2",
    "report done --format csv --raw",
    "report done --format html --failures 1",
    "show done a3",
    "show done #2 --json",
    "show done a2 --payload",
    "show done a2 --result",
    "show done a3 --result",
    "show done a33",
    "log done",
    "log done -n 2 --json",
    "log done -f",
    "pause done",
    "cancel done --yes",
    "resume done",
    "results done --stage 2",
    "results done --stage 0",
    "retry done --from-stage 2",
    "set done --concurrency 0",
    "set done --rate 600/m",
    "set done --json --rate none",
    "status don",
    "rm don --yes",
    "prune --older-than 1d --yes --json",
]


@pytest.mark.parametrize("line", SAME)
def test_command_says_the_same_as_at_the_home_of_the_server(done: There, line: str) -> None:
    assert done.ask(*line.split()) == done.here(*line.split())


def test_lost_answers_make_no_second_batch_and_following_goes_on(there: There) -> None:
    before = there.server.client.get("/api/v1/batches").json()["total"]
    with severed(there.server.url) as way:
        way.cuts = {b"POST ": 1, b"GET /api/v1/batches/d1 ": 1, b"GET /api/v1/batches/d1/events": 1}
        words = (
            "start",
            there.input(4),
            "--func",
            "pipe:odd_fails",
            "--id",
            "d1",
            "-d",
            "--limit",
            "3",
            "--shard",
            "1/2",
            *ONCE,
        )
        said = there.ask(*words, at=way.url)
        assert (said.code, said.out) == (0, "d1\n"), said.err
        assert f"{way.url} runs it; follow it with: batchq wait d1" in said.err
        assert there.server.client.get("/api/v1/batches").json()["total"] == before + 1
        assert there.ask("wait", "d1", "--json", at=way.url).code == 1
        assert way.cut == 3
    assert there.server.batch("d1")["total_items"] == 2, "its options have gone there"


def test_batch_is_steered_and_deleted_there(there: There) -> None:
    gate = there.server.folder / "gate"
    path = there.input(40)
    said = there.ask("start", path, "--func", "pipe:waits", "--id", "s1", "-c", "2", "-w", "1", "-d", "--json")
    assert json.loads(said.out) == {"schema": 1, "batch_id": "s1"}
    there.server.wait_for("s1", "running")
    wait_until(lambda: there.server.batch("s1")["in_flight"] == 2)
    assert there.ask("resume", "s1").code == 75
    assert there.ask("rm", "s1", "--yes").code == 75
    said = there.ask("set", "s1", "--concurrency", "3")
    assert said.err == "batchq: s1: 3 at a time in 1 worker, 300 s a try, 3 tries\n"
    assert json.loads(there.ask("pause", "s1", "--json").out)["state"] == "pausing"
    Bench(there.server.folder).wait_until_told("s1")
    gate.touch()
    assert there.ask("pause", "s1", "--wait").err == "batchq: s1 is paused\n"
    assert there.ask("wait", "s1").code == 3
    said = there.ask("resume", "s1", "-q")
    assert (said.code, said.out, said.err) == (1, "", "")
    assert there.server.batch("s1")["success_count"] == 39
    assert there.ask("cancel", "s1").err == "batchq: s1 is completed; there is nothing to cancel\n"
    assert there.ask("rm", "s1", "--yes").err == "batchq: s1 is deleted\n"
    assert there.ask("status", "s1").code == 2


def test_failed_items_run_again_there_from_the_stage_that_is_named(there: There) -> None:
    options = ("--func", "pipe:title", "--then", "pipe:script", "--id", "r1", *ONCE, "-q")
    assert there.ask("start", there.input(5), *options).code == 1
    for line in (*(f"results r1 {more}" for more in STAGES), "retry r1 --from-stage 3"):
        assert there.ask(*line.split()) == there.here(*line.split())
    titles = there.ask("results", "r1", "--stage", "1").out.splitlines()
    assert [json.loads(line)["result"] for line in titles] == ["t1", "t2", "t3", "t4"]
    said = there.ask("retry", "r1", "--error", "odd: 1", "--from-stage", "1")
    assert said.code == 1 and "r1: 1 item to run again" in said.err, said.err
    [told] = json.loads(there.here("show", "r1", "a1", "--json").out)["items"]
    assert [each["run"] for each in told["history"] if each["stage"] == 1] == [2], "its title is another one"
    assert there.ask("retry", "r1", "--item", "none-such").err == "batchq: r1: no failed item is to run again\n"


@pytest.mark.parametrize(
    "words, reason",
    [
        ("--on-finish true", "--on-finish is not for a server"),
        ("--out x.jsonl", "--out is not for a server"),
        ("--shard 4/3", "--shard must be a part from 1/3 to 3/3"),
        ("--retry-delay -1", "--retry-delay must be a number"),
        ("--func other:f", "other:f"),
        ("--func pipe:nope", "pipe has no 'nope'"),
        ("--home x", "--home and --server exclude each other"),
        ("second.jsonl", "a server takes one file, not 2"),
        ("nothing.jsonl", "nothing.jsonl"),
    ],
)
def test_what_a_server_cannot_do_is_refused_and_makes_no_batch(there: There, words: str, reason: str) -> None:
    (there.server.folder / "second.jsonl").write_text("1\n")
    before = there.server.client.get("/api/v1/batches").json()["total"]
    said = there.ask("start", there.input(3), "--func", "pipe:odd_fails", *words.split())
    assert said.code == 2 and reason in said.err.splitlines()[0], said.err
    assert there.server.client.get("/api/v1/batches").json()["total"] == before


@pytest.mark.parametrize("words", ["check d1", "try in.jsonl --func pipe:odd_fails", "serve"])
def test_verb_that_makes_no_sense_there_says_so(there: There, words: str) -> None:
    said = there.ask(*words.split())
    assert said.code == 2 and "not on a server" in said.err


def _batchq(*words: str, **environment: str) -> Said:
    done = subprocess.run(
        [sys.executable, "-m", "batchq", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def test_standard_input_goes_there_and_interrupting_leaves_the_batch_running(there: There) -> None:
    (there.server.folder / "gate").unlink(missing_ok=True)
    words = ["start", "-", "--input-format", "jsonl", "--func", "pipe:waits", "--id", "i1", "-w", "1"]
    following = subprocess.Popen(
        [sys.executable, "-m", "batchq", *words],
        env={**os.environ, "BATCHQ_SERVER": there.server.url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stdin is not None
    following.stdin.write('{"n": 2}\n')
    following.stdin.close()
    following.stdin = None
    wait_until(lambda: there.server.client.get("/api/v1/batches/i1").status_code == 200)
    there.server.wait_for("i1", "running")
    assert following.stderr is not None
    assert "i1: reading" in following.stderr.readline()
    following.send_signal(signal.SIGINT)
    _, said = following.communicate(timeout=120)
    assert following.returncode == -signal.SIGINT
    assert "i1 runs on" in said and "batchq wait i1" in said
    assert there.server.batch("i1")["holder"] is not None
    (there.server.folder / "gate").touch()
    assert there.ask("wait", "i1").code == 0


def test_environment_names_a_server_unless_the_command_names_a_home(
    there: There, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BATCHQ_SERVER", there.server.url)
    monkeypatch.setenv("BATCHQ_HOME", str(tmp_path / "not-read"))
    assert run_command(cli, ["status", "none-such"]) == 2
    assert str(there.server.home) in capsys.readouterr().err
    assert run_command(cli, ["status", "--home", str(tmp_path)]) == 0
    assert f"no batches in {tmp_path}" in capsys.readouterr().err


def test_own_server_needs_no_token_to_be_named(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCHQ_TOKEN_FILE")
    said = there.ask("status")
    assert said.code == 2 and said.err.startswith(f"batchq: no token for {there.server.url}")
    monkeypatch.setenv("BATCHQ_HOME", str(there.server.home))
    assert there.ask("status").code == 0
    monkeypatch.setenv("BATCHQ_TOKEN", "not-the-one")
    said = there.ask("status")
    assert (said.code, said.err.splitlines()[0]) == (2, f"batchq: {there.server.url} does not know this token")


def test_token_of_ones_own_server_is_found_where_that_server_has_it(
    there: There, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(there.server.token)
    (tmp_path / "home" / ".server").mkdir(parents=True)
    told = {"url": there.server.url, "token_file": str(tmp_path / "token")}
    (tmp_path / "home" / ".server" / "address").write_text(json.dumps(told))
    monkeypatch.delenv("BATCHQ_TOKEN_FILE")
    monkeypatch.setenv("BATCHQ_HOME", str(tmp_path / "home"))
    assert there.ask("status").code == 0


@pytest.mark.parametrize(
    "url, code, reason",
    [
        ("localhost:8765", 2, "--server must be the address of a server"),
        ("http://ada:secret@localhost:1", 2, "takes no name and no password"),
        ("http://192.0.2.1:8765", 2, "would be shown the token in the clear"),
        ("http://127.0.0.1:1", 69, "connection refused"),
    ],
)
def test_address_that_is_of_no_use_is_told_in_a_line(
    url: str, code: int, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BATCHQ_TOKEN", "a-token")
    assert run_command(cli, ["status", "--server", url]) == code
    said = capsys.readouterr().err
    assert reason in said and "secret" not in said and len(said.splitlines()) <= 2


def test_file_of_settings_may_not_say_to_whom_items_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "batchq.toml").write_text('server = "http://127.0.0.1:1"\n')
    monkeypatch.chdir(tmp_path)
    assert run_command(cli, ["status"]) == 2
    assert "batchq.toml:1: server: no file may say where items are sent" in capsys.readouterr().err


LOADED = """
import contextlib, sys
from batchq.cli.run import run
with contextlib.suppress(SystemExit):
    run(sys.argv[1:])
print(*sorted(sys.modules), sep="\\n", file=sys.stderr)
"""


def _loaded_by(*words: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", LOADED, *words], capture_output=True, text=True, timeout=60)
    return set(done.stderr.split())


def test_neither_side_loads_what_only_the_other_needs(done: There) -> None:
    here = _loaded_by("status", "done", "--home", str(done.server.home))
    assert not [name for name in here if name.startswith("batchq.remote") or name == "http.client"]
    there = _loaded_by("status", "done", "--server", done.server.url)
    assert "batchq.remote.client" in there
    extras = {"starlette", "uvicorn", "httpx", "requests", "urllib3"}
    assert not [name for name in there if name.startswith("batchq.engine") or name in extras]


def test_start_without_a_server_loads_nothing_of_one(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("def same(item):\n    return item\n")
    (tmp_path / "input.jsonl").write_text('{"n": 1}\n')
    home = tmp_path / "home"
    words = ["start", str(tmp_path / "input.jsonl"), "--func", f"{tmp_path / 'job.py'}:same", "--home", str(home)]
    loaded = _loaded_by(*words, "--id", "b1")
    assert (home / "b1").is_dir() and "batchq.engine.supervisor" in loaded
    roots = {".".join(name.split(".")[:2]) if name.startswith("batchq") else name.split(".")[0] for name in loaded}
    assert not roots & {"starlette", "uvicorn", "h11", "anyio", "jsonschema", "batchq.server", "batchq.remote"}


def test_completing_the_id_of_a_batch_asks_no_server(done: There) -> None:
    asked = {"_BATCHQ_COMPLETE": "bash_complete", "COMP_WORDS": "batchq status d", "COMP_CWORD": "2"}
    home = {"BATCHQ_HOME": str(done.server.home)}
    assert "plain,done" in _batchq(**asked, **home).out.splitlines()
    assert _batchq(**asked, **home, BATCHQ_SERVER=done.server.url).out.split() == []
