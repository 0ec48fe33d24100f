"""`--http`: a request for each item, over real processes, against a server with the troubles that servers have."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import Bench
from said import say
from troubled import Troubled

ITEMS = 200
SECRET = "mark-of-the-environment"
ONCE = {50: "busy", **dict.fromkeys(range(2, ITEMS, 40), "broken"), **dict.fromkeys(range(3, ITEMS, 40), "half")}
ONCE |= dict.fromkeys(range(4, ITEMS, 40), "garbled")
EVER = {70: "large", 71: "bomb", 72: "gone"}
FAILED = {70: "AnswerTooLarge", 71: "AnswerTooLarge", 72: "HttpError", 73: "MissingField", 74: "TemplateFailed"}


@pytest.fixture(scope="module")
def server() -> Iterator[Troubled]:
    with Troubled.listening() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KEY", raising=False)
    (tmp_path / "ideas.jsonl").write_text('{"id": 1, "text": "Tea"}\n{"id": 2, "text": "Rain"}\n')
    return tmp_path


def troubled_item(n: int) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": f"i{n}",
        "n": n,
        "text": f'the "{n}"',
        "trouble": {**ONCE, **EVER, 75: "moved"}.get(n),
    }
    if n == 73:
        del item["text"]
    return item | ({"text": "two\nlines"} if n == 74 else {})


def test_every_item_gets_its_answer_and_the_secret_goes_nowhere_else(
    server: Troubled, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(folder)
    with (folder / "input.jsonl").open("w") as file:
        file.writelines(json.dumps(troubled_item(n)) + "\n" for n in range(1, ITEMS + 1))
    said = bench.run(
        "start", "input.jsonl", "--id", "b1", "-w", "2", "-c", "8", "--retry-delay", "0.1", "--max-response", "64k",
        "--http", f"PUT {server.url}/notes/{{id}}?key=${{KEY}}",
        "--header", "Authorization: Bearer ${KEY}", "--header", "X-Key: ${KEY}", "--header", "X-Text: {text}",
        "--body", '{"n": {n}, "trouble": {trouble}, "about": "{text}"}', KEY=SECRET,
    )  # fmt: skip
    assert said.returncode == 1 and f"{ITEMS - len(FAILED)} succeeded, {len(FAILED)} failed" in said.stdout, said.stderr
    rows = [json.loads(line) for line in say(capsys, bench.home, "results", "b1").out.splitlines()]
    assert {row["seq"]: row["error_type"] for row in rows if row["status"] == "failed"} == FAILED
    for row in rows:
        n = row["seq"]
        calls = server.calls[f"/notes/i{n}"]
        assert row["attempts"] == 1 + (n in ONCE), row
        assert len(calls) == (0 if n in (73, 74) else row["attempts"])
        assert len({call.headers["idempotency-key"] for call in calls}) <= 1
        assert all(call.target == f"/notes/i{n}?key={SECRET}" for call in calls)
        assert all(call.headers["authorization"] == f"Bearer {SECRET}" for call in calls)
        assert all(json.loads(call.body)["about"] == f'the "{n}"' for call in calls)
        if n not in FAILED and n != 75:
            assert row["result"] == {"n": n, "for": "Bearer [redacted]"}
    keys = {call.headers["idempotency-key"] for calls in server.calls.values() for call in calls}
    assert len(keys) == ITEMS - 2, "each item has its own"

    moved = server.calls["/moved"][0]
    assert moved.host == "localhost" and moved.method == "PUT"
    assert SECRET not in str(moved), "another host"

    busy = server.calls["/notes/i50"][0].at
    times = sorted(call.at - busy for calls in server.calls.values() for call in calls)
    pauses = [after - before for before, after in itertools.pairwise(times[:-20]) if 0 <= before < 2]
    assert max(pauses) > 0.6, "the whole batch holds back, also those that come long after"

    config = json.loads(say(capsys, bench.home, "report", "b1", "--json").out)["config"]
    assert config["work"]["headers"][0] == ["Authorization", "Bearer ${KEY}"]
    for item in ("i2", "i3", "i75"):
        shown = say(capsys, bench.home, "show", "b1", item).out
        assert SECRET not in shown and "Traceback" not in shown

    missing = say(capsys, bench.home, "retry", "b1", "--item", "i72")
    assert missing.code == 2 and "wants the variable KEY of the environment, which is not set" in missing.err
    server.healed = True
    again = bench.run("resume", "b1", KEY=SECRET)
    assert "196 succeeded, 4 failed" in again.stdout, again.stderr
    assert server.calls["/notes/i72"][-1].headers["authorization"] == f"Bearer {SECRET}"

    stored = [path for path in bench.home.rglob("*") if path.is_file()]
    assert (bench.home / "b1" / "batch.db") in stored
    assert not [path for path in stored if SECRET.encode() in path.read_bytes()]


def test_try_shows_the_request_without_secrets_and_waits_for_a_quota(
    server: Troubled, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", SECRET)
    server.calls.clear()
    quota = "x-ratelimit-remaining-requests=0&x-ratelimit-reset-requests=600ms"
    said = say(
        capsys, folder / "home", "try", "ideas.jsonl", "--http", f"POST {server.url}/status/200?{quota}&k=${{KEY}}",
        "--header", "Authorization: Bearer ${KEY}",
    )  # fmt: skip
    assert said.code == 0, said.err
    first, second = server.calls["/status/200"]
    assert f"  | POST {server.url}/status/200?{quota}&k=${{KEY}}\n" in said.out
    assert "  | Authorization: Bearer ${KEY}\n" in said.out
    assert f"  | Idempotency-Key: {first.headers['idempotency-key']}\n" in said.out
    assert '  | {"id": 1, "text": "Tea"}\n' in said.out and SECRET not in said.out
    assert first.headers["content-type"] == "application/json"
    assert second.at - first.at >= 0.6, "the quota was used up"
    assert not (folder / "home").exists()


def test_items_that_fail_slowly_before_any_request_do_not_take_the_client_from_the_others(
    server: Troubled, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = json.dumps({f"column{n}": n for n in range(5_000)})  # which of them was meant takes long to say
    (folder / "wide.jsonl").write_text(f'{wide}\n{wide}\n{wide}\n{{"columns": "Tea"}}\n')
    said = say(
        capsys, folder / "home", "try", "wide.jsonl", "-n", "4", "--json",
        "--http", f"POST {server.url}/echo", "--body", "{columns}",
    )  # fmt: skip
    items = json.loads(said.out)["items"]
    assert [item.get("error_type") for item in items] == ["MissingField"] * 3 + [None], items[-1]


def test_get_is_the_default_and_sends_neither_body_nor_key(
    server: Troubled, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.calls.clear()
    said = say(capsys, folder / "home", "try", "ideas.jsonl", "--http", f"{server.url}/a/{{text}}", "--json", "-n", "1")
    assert json.loads(said.out)["items"][0]["result"] == {"method": "GET", "body": ""}
    (call,) = server.calls["/a/Tea"]
    assert (call.method, call.body) == ("GET", b"")
    assert not {"idempotency-key", "content-type", "cookie", "authorization"} & set(call.headers)


def test_start_loads_neither_library_and_says_which_one_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = """
import sys
from batchq.ready import http
http.make(http.check({"http": "POST https://example.org/{id}", "body": '{"a": {b}}'}))
print({"aiohttp", "jinja2"} & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    for library, body in (("aiohttp", "x"), ("jinja2", "{{ x }}")):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, library, None)  # what Python itself takes for one that is not there
            said = say(capsys, folder / "home", "start", "ideas.jsonl", *HTTP, "--body", body)
        assert said.code == 2 and "not installed\n  Install it with: pip install 'batchq[http]'" in said.err


HTTP = ("--http", "POST http://127.0.0.1:1/")


@pytest.mark.parametrize(
    "options, told",
    [
        (["--body", "x"], "--body is of use with --http only"),
        (["--func", "a:b", *HTTP], "--func and --http exclude each other"),
        (["--setup", "a:b", *HTTP], "--http and --setup exclude each other"),
        ([], "it is not said what is to run over the items"),
        ([*HTTP, "--header", "Authorization: Bearer abc"], "the value of Authorization would be stored"),
        ([*HTTP, "--header", "x-api-key: abc"], "the value of x-api-key would be stored"),
        ([*HTTP, "--header", "Proxy-Authorization: abc"], "--header 'Proxy-Authorization: ${KEY}'"),
        (["--http", "http://127.0.0.1:1/{n}?q={q}&api_key=abc"], "in single quotes: api_key=${KEY}"),
        ([*HTTP, "--body", '{"n": {n}, "auth": {"api_key": "abc"}}'], '--body: the value of api_key would be stored'),
        ([*HTTP, "--header", "Authorization: ${KEY}"], "the variable KEY of the environment, which is not set"),
        ([*HTTP, "--header", "nothing"], "'nothing' names no header"),
        ([*HTTP, "--header", "A: b\nC: d"], "line break"),
        ([*HTTP, "--header", "A: b", "--header", "a: c"], "a is given twice"),
        ([*HTTP, "--header", "Content-Length: 1"], "Content-Length follows from the request"),
        ([*HTTP, "--body", "{{ x"], "--body, line 1: "),
        ([*HTTP, "--body", "x", "--body-file", "y"], "--body and --body-file exclude each other"),
        ([*HTTP, "--body-file", "nosuch"], "--body-file: nosuch cannot be read: No such file or directory"),
        ([*HTTP, "--body-file", "ideas.json"], "Did you mean ideas.jsonl?"),
        ([*HTTP, "--budget", "tokens=5"], "tokens=5 would never be reached: --http does not tell what it spends"),
        ([*HTTP, "--max-response", "much"], "--max-response must be a size such as 512M or 2G"),
        ([*HTTP, "--max-redirects", "-1"], "--max-redirects must be a whole number from 0 to 20"),
        (["--http", "HEAD http://127.0.0.1:1/", "--body", "x"], "a HEAD request has no body"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_nothing_is_started(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    said = say(capsys, folder / "home", "start", "ideas.jsonl", *options)
    assert (said.code, said.out) == (2, "") and told in said.err
    assert not list((folder / "home").rglob("batch.db"))
