"""What callers may name and hand over, and what they and the log are told: over real HTTP, as in test_security."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from raw import Answer, ask, connect, read_answer
from served import Served

from batchq.app.limits import Changes
from batchq.errors import NotAllowed, UsageError
from batchq.inputs import open_reader
from batchq.inputs.files import describe
from batchq.server.api.creation import file_name, stored_name
from batchq.server.security.exposure import check_owner_choices
from batchq.server.security.headers import HEADERS
from batchq.server.settings import ServerSettings
from batchq.store.home import Home
from batchq.store.reading import reading

pytestmark = pytest.mark.slow

STATE = "/api/v1/server"


def head(guarded: Served, line: str, *headers: str) -> bytes:
    host = guarded.url.removeprefix("http://")
    return "\r\n".join([line, f"Host: {host}", f"Authorization: Bearer {guarded.token}", *headers, "", ""]).encode()


def log_of(guarded: Served) -> str:
    return (guarded.home / ".server" / "server.log").read_text()


def create(guarded: Served, **asked: Any) -> httpx.Response:
    return guarded.client.post("/api/v1/batches", json={"func": "pipe:title", **asked})


# Handlers


REFUSED = [
    *("pipe:marked", "pipe.py:title", "./pipe.py:title", "{folder}/pipe.py:title", "x/../pipe.py:title", "pip?:title"),
    *("os:system", "pipe:os.system", "pipe:run", "pipe:title:x", "pipe:", ":title", "*:*"),
    *("tools:os.system", "tools:_hidden", "tools:__import__", "tools.py:title"),
]


def test_handlers_that_the_owner_has_not_allowed_are_refused(guarded: Served) -> None:
    for target in (*REFUSED, "", "pipe:title\n", "pipe:title\0", "x" * 5000):
        named = target.format(folder=guarded.folder)
        for asked in ({"func": named}, {"setup": named}, {"then": [named]}):
            answer = create(guarded, items=[1], batch_id="refused", **asked)
            assert answer.status_code == 403 or (answer.status_code == 422 and target not in REFUSED), answer.text
    assert guarded.client.get("/api/v1/batches/refused").status_code == 404
    listed = {each["target"] for each in guarded.client.get("/api/v1/handlers").json()["handlers"]}
    assert listed == {"pipe:title", "tools:title", "tools:marked"}


def test_wildcard_allows_what_a_module_defines_and_not_what_it_imports(guarded: Served, marked: str) -> None:
    assert guarded.batch(marked)["success_count"] == 1, "tools:marked, by tools:*"
    answer = create(guarded, func="tools:run", items=[["touch", "made"]], batch_id="imported")
    assert answer.status_code in (403, 422) and "imported from elsewhere" in answer.json()["detail"]
    assert guarded.client.get("/api/v1/batches/imported").status_code == 404


# Files


@pytest.mark.parametrize(
    "path, status",
    [
        ("../secret.txt", 403),
        ("deep/../../secret.txt", 403),
        ("{folder}/secret.txt", 403),
        ("/etc/passwd", 403),
        ("{folder}/open/../secret.txt", 403),
        ("{folder}/open-too/items.txt", 403),
        ("%2e%2e/secret.txt", 422),
        ("..\\secret.txt", 422),
        ("deep/items.txt\x00.jsonl", 422),
        ("\uff0e\uff0e/secret.txt", 422),
        ("x" * 5000, 422),
        ("x/" * 3000, 422),
        ("deep", 422),
        (".", 422),
        ("", 422),
        ("pipe.txt", 422),
        ("out.txt", 403),
        ("in.txt", 403),
        ("aside/items.txt", 403),
        ("inside/items.txt", 403),
        ("away/secret.txt", 403),
    ],
)
def test_file_outside_the_open_folders_or_behind_a_link_is_refused(guarded: Served, path: str, status: int) -> None:
    root = guarded.folder / "open"
    if not (root / "pipe.txt").exists():
        os.mkfifo(root / "pipe.txt")
        (root / "out.txt").symlink_to("../secret.txt")
        (root / "in.txt").symlink_to("deep/items.txt")
        (root / "inside").symlink_to("deep")
        (root / "aside").symlink_to(root / "deep")
        (root / "away").symlink_to("..")
        (guarded.folder / "open-too").mkdir()
        (guarded.folder / "open-too" / "items.txt").write_text("no\n")
    answer = create(guarded, path=path.format(folder=guarded.folder), batch_id="outside")
    assert answer.status_code == status, answer.text
    assert guarded.client.get("/api/v1/batches/outside").status_code == 404


def test_file_in_an_open_folder_is_read_from_there_and_nowhere_else(guarded: Served) -> None:
    root = guarded.folder / "open"
    answer = create(guarded, path="deep/items.txt", batch_id="inside")
    assert answer.status_code == 201, answer.text
    with reading(guarded.home / "inside" / "batch.db") as reader:
        assert reader.row().spec.source.within == str(root)


@pytest.mark.parametrize("name", ["items.jsonl", "items.txt.gz", "items.parquet"])
def test_file_that_is_swapped_while_its_batch_waits_is_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "root" / "deep").mkdir(parents=True)
    file, elsewhere = tmp_path / "root" / "deep" / name, tmp_path / name
    for path in (file, elsewhere):
        write_items(path)
    source = replace(describe(str(file)), within=str(tmp_path / "root"))
    with closing(open_reader(source)) as opened:
        assert len(list(opened)) == 2
    file.unlink()
    file.symlink_to(elsewhere)
    with pytest.raises(NotAllowed, match="symbolic link"):
        open_reader(source)
    (tmp_path / "root" / "deep").rename(tmp_path / "moved")
    (tmp_path / "root" / "deep").symlink_to(tmp_path)
    with pytest.raises(NotAllowed, match="symbolic link"):
        open_reader(source)


def write_items(path: Path) -> None:
    if path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table({"n": [1, 2]}), path)
    else:
        path.write_bytes(gzip.compress(b"1\n2\n") if path.suffix == ".gz" else b"1\n2\n")


@pytest.mark.parametrize("path", ["../access.py", "..%2faccess.py", "%2e%2e/access.py", "..\\access.py", "/etc/passwd"])
@pytest.mark.parametrize("before", ["/static/", "/static/vendor/", "/static//"])
def test_nothing_but_static_files_is_served_as_one(guarded: Served, before: str, path: str) -> None:
    answer = ask(guarded.url, head(guarded, f"GET {before}{path} HTTP/1.1"))
    assert answer.status == 404 and b"import" not in answer.body and b"root:" not in answer.body


@pytest.mark.parametrize(
    "batch_id", ["..%2f..%2fetc", "%2e%2e", ".server", "..", "%00", "a%0ab", "%F0%9F%92%A9", "x" * 3000]
)
def test_nothing_but_a_batch_is_found_by_its_id(guarded: Served, batch_id: str) -> None:
    for method in ("GET", "DELETE"):
        answer = ask(guarded.url, head(guarded, f"{method} /api/v1/batches/{batch_id} HTTP/1.1"))
        assert answer.status in (404, 405, 422), answer
    assert (guarded.home / ".server" / "token").exists()


def test_uploaded_file_stays_in_the_folder_of_its_batch(guarded: Served) -> None:
    for name in ("../../x.txt", "a/b\\..\\c.txt", ".hidden.txt", "n" * 300 + ".txt", "\x1b[2J<i>.txt", "/etc/x.txt"):
        stored = stored_name(file_name({"name": name}))
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", stored) and stored.endswith(".txt")
    asked = {"func": "pipe:title", "name": "../../up.txt", "batch_id": "up"}
    answer = guarded.client.post("/api/v1/batches/upload", params=asked, content=b"one\n")
    assert answer.status_code == 201, answer.text
    assert not [*guarded.home.glob("up.txt"), *guarded.home.parent.glob("up.txt")]


def test_caller_chooses_nothing_that_runs_or_writes_elsewhere(guarded: Served, marked: str) -> None:
    for name in ("on_finish", "out", "overwrite", "notify", "python", "cwd", "folder", "home", "input", "handler"):
        assert create(guarded, items=[1], batch_id="chosen", **{name: "x"}).status_code in (403, 422), name
        assert guarded.client.patch(f"/api/v1/batches/{marked}", json={name: "x"}).status_code in (403, 422), name
        asked = {"func": "pipe:title", "name": "a.txt", "batch_id": "chosen", name: "x"}
        assert guarded.client.post("/api/v1/batches/upload", params=asked).status_code in (403, 422), name
    assert guarded.client.get("/api/v1/batches/chosen").status_code == 404
    assert not {"target", "setup", "on_finish", "out", "notify", "cwd", "python"} & set(vars(Changes()))


# Bodies


def test_body_that_is_too_large_is_refused_before_it_is_sent(guarded: Served) -> None:
    for path, size in (
        ("/api/v1/batches", 17 << 20),
        ("/api/v1/batches/upload?func=pipe:title&name=a.txt", 2 << 30),
        ("/login", 5000),
    ):
        for more in ((), ("Expect: 100-continue",)):
            asked = head(guarded, f"POST {path} HTTP/1.1", f"Content-Length: {size}", *more)
            assert ask(guarded.url, asked).status == 413, "and no 100 Continue"


def test_body_that_grows_too_large_is_refused_while_it_comes(guarded: Served) -> None:
    asked = head(guarded, "POST /login HTTP/1.1", "Transfer-Encoding: chunked")
    assert ask(guarded.url, asked + (b"800\r\n" + b" " * 0x800 + b"\r\n") * 3).status == 413


def test_json_nested_without_end_is_refused(guarded: Served) -> None:
    for body in (
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"func": "pipe:title", "items": ' + b"[" * 90_000 + b"]" * 90_000 + b"}",
    ):
        answer = guarded.client.post("/api/v1/batches", content=body)
        assert answer.status_code in (400, 422), answer.text


@pytest.mark.parametrize(
    "headers, body, status",
    [
        (["Content-Length: 4", "Transfer-Encoding: chunked"], b"0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n", 400),
        (["Content-Length: 4", "Content-Length: 5"], b"12345", 400),
        (["Content-Length: +4"], b"1234", 400),
        (["Content-Length: 4, 5"], b"12345", 400),
        (["Transfer-Encoding: gzip, chunked"], b"0\r\n\r\n", 501),
        (["Transfer-Encoding : chunked"], b"0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked"], b"zz\r\n", 400),
        (["X: " + "x" * 70_000], b"", 431),
        ([f"X-{n}: {'x' * 50}" for n in range(1500)], b"", 431),
        (["X: a\x00b"], b"", 400),
    ],
)
def test_requests_that_two_servers_could_read_differently_are_refused(
    guarded: Served, headers: list[str], body: bytes, status: int
) -> None:
    with closing(connect(guarded.url)) as connection:
        connection.sendall(head(guarded, "POST /logout HTTP/1.1", *headers) + body)
        answer = read_answer(connection, "POST")
        assert answer.status == status, answer
        assert answer.headers["connection"] == "close"
        assert answer.headers["content-type"] == "application/problem+json"
        with suppress(ConnectionResetError):  # bytes that it has not read turn its close into a reset
            assert connection.recv(1) == b"", "nothing after it is taken for a request"


# Answers


def test_every_answer_has_the_headers_that_bind_a_browser(guarded: Served, stranger: httpx.Client) -> None:
    host = guarded.url.removeprefix("http://")
    made: dict[int, Answer] = {}
    for line, *more in (
        (f"GET {STATE} HTTP/1.1",),
        ("POST /logout HTTP/1.1",),
        ("GET /login?code=once-none HTTP/1.1",),
        ("GET /nowhere HTTP/1.1",),
        ("PUT /api/v1/batches HTTP/1.1",),
        ("POST /login HTTP/1.1", "Content-Length: 99999"),
        ("GET / HTTP/9\r\nX",),
        ("POST /api/v1/batches HTTP/1.1", "Content-Length: 1"),
        ("POST /api/v1/batches HTTP/1.1", "Origin: null"),
        ("GET / HTTP/1.1", "X: " + "x" * 70_000),
    ):
        answer = ask(guarded.url, head(guarded, line, *more) + b"[")
        made[answer.status] = answer
    made[303] = ask(guarded.url, f"GET / HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n".encode())
    made[421] = ask(guarded.url, b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert {200, 204, 303, 400, 401, 403, 404, 405, 413, 421, 431} <= set(made)
    for status, answer in made.items():
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS, status
        assert answer.headers["server"] is None
        assert len(answer.headers.get_all("cache-control") or ()) == 1
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert "version" not in stranger.get("/healthz").text + stranger.get("/login").text


def test_static_files_are_kept_by_a_browser_that_asks_whether_they_have_changed(stranger: httpx.Client) -> None:
    first = stranger.get("/static/login.js")
    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    assert "javascript" in first.headers["content-type"]
    again = stranger.get("/static/login.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_page_to_log_in_has_no_script_or_style_of_its_own(stranger: httpx.Client) -> None:
    page = stranger.get("/login").text
    assert (
        "<style" not in page and " style=" not in page and " on" not in page.partition("<body")[2].partition("<p id")[0]
    )
    assert page.count("<script") == page.count('<script type="module" src="/static/') == 1


def test_html_of_an_item_stays_text_in_every_answer(guarded: Served, marked: str) -> None:
    base = f"/api/v1/batches/{marked}"
    for path in (
        "",
        "/items",
        "/items/1",
        "/failures",
        "/results",
        "/report?format=html",
        "/report?format=text",
        "/log",
    ):
        answer = guarded.client.get(base + path)
        if answer.status_code == 404:
            continue  # a call that another part adds
        assert answer.headers["x-content-type-options"] == "nosniff"
        if answer.headers["content-type"].startswith("text/html"):
            for markup in ("<script>alert(1)", "<img src=x", "<b>x</b>"):
                assert markup not in answer.text
            assert "sandbox" in answer.headers["content-security-policy"]
    for name in ('"><script>alert(1)</script>', "a\r\nX-Evil: 1", "<b>"):
        answer = guarded.client.get("/api/v1/batches/" + quote(name, safe=""))
        assert answer.status_code == 404 and "x-evil" not in answer.headers
        assert answer.headers["content-type"] == "application/problem+json"


# Log


def test_log_has_no_secret_wherever_somebody_puts_it(guarded: Served, stranger: httpx.Client, marked: str) -> None:
    link = guarded.client.post("/api/v1/login-links").json()["url"]
    code = link.partition("code=")[2]
    stranger.get(link)
    cookie = next(iter(stranger.cookies.jar)).value or ""
    for secret in (guarded.token, code, cookie):
        stranger.get(f"/api/v1/batches/{secret}?token={secret}")
        stranger.get(f"/login?code={secret}&next={secret}", headers={"Referer": secret, "User-Agent": secret})
        stranger.post("/login", json={"token": secret, secret: secret}, headers={"X-Forwarded-For": "192.0.2.77"})
        create(guarded, items=[1], batch_id=secret + "!", func=secret)
        ask(guarded.url, f"GET /{secret}\x01 HTTP/1.1\r\n{secret}\r\n\r\n".encode())
        guarded.client.patch(f"/api/v1/batches/{marked}", json={secret: secret})
    files = [path for path in guarded.home.rglob("*") if path.suffix == ".log" or path.name == "address"]
    assert guarded.home / ".server" / "server.log" in files
    for path in files:
        for secret in (guarded.token, code, cookie):
            assert secret not in path.read_text(errors="replace"), path


def test_caller_cannot_forge_a_line_of_the_log(guarded: Served) -> None:
    forged = "\r\n2030-01-01 00:00:00,000 INFO forged \x1b[2J\u2028end"
    guarded.client.get("/api/v1/batches/" + quote(forged))
    create(guarded, items=[1], func=forged)
    create(guarded, path=forged)
    assert not [line for line in log_of(guarded).splitlines() if line.startswith("2030")]
    assert "\x1b" not in log_of(guarded)


# Owner


@pytest.mark.parametrize(
    "choice, said",
    [
        ({"allow": ("*",)}, "names no function"),
        ({"allow": ("pipeline",)}, "names no function"),
        ({"hosts": ("https://b.example",)}, "no name of a host"),
        ({"proxies": ("b.example",)}, "no address"),
    ],
)
def test_what_opens_more_than_it_says_is_a_usage_error(tmp_path: Path, choice: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_owner_choices(ServerSettings(Home.at(str(tmp_path)), **choice))


def test_owner_is_warned_where_others_can_reach_the_server(tmp_path: Path) -> None:
    assert check_owner_choices(ServerSettings(Home.at(str(tmp_path)))) == ""
    command = [sys.executable, "-m", "batchq", "serve", "--home", str(tmp_path / "home"), "--port", "0"]
    with subprocess.Popen(
        [*command, "--host", "0.0.0.0", "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        warning = server.stderr.readline()
        server.terminate()
    assert "anyone who reaches 0.0.0.0" in warning and "TLS" in warning


def test_token_in_a_file_of_the_owner_may_not_be_short(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short")
    (tmp_path / "token").chmod(0o600)
    command = [sys.executable, "-m", "batchq", "serve", "--home", str(tmp_path / "home"), "--port", "0"]
    done = subprocess.run(
        [*command, "--token-file", str(tmp_path / "token")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and "32 or more" in done.stderr and "Traceback" not in done.stderr
