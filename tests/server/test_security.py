"""What the server promises about who may do what: each test is one line of it, over real HTTP.

The server of these tests believes this machine as its proxy, so that each test can be wrong at an address of its own.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from raw import Answer, ask
from served import Served
from starlette.routing import Mount, Route
from wire import SECONDS, Stream

from batchq.errors import UsageError
from batchq.server.http import routes
from batchq.server.security import access as access_module
from batchq.server.security.access import LINK_SECONDS, Access
from batchq.server.security.attempts import MOST_ADDRESSES, FailedLogins
from batchq.server.security.logouts import LogOuts
from batchq.server.security.token import make_token

OPEN = {"/login", "/healthz", "/readyz"}
OTHERS = "/api/v1/server"


def every_call() -> Iterator[tuple[str, str]]:
    """Method and path of each call that the server knows, with something in the place of its parameters."""

    def walk(found: list[Any], before: str) -> Iterator[tuple[str, str]]:
        for route in found:
            if isinstance(route, Mount) and route.routes:
                yield from walk(route.routes, before + route.path)
            elif isinstance(route, Route):
                path = before + re.sub(
                    r"\{(\w+).*?\}", lambda found: "marked" if found[1] == "batch_id" else "1", route.path
                )
                yield from ((method, path) for method in sorted(route.methods or ()))

    return walk(routes(), "")


def new_link(guarded: Served) -> str:
    answer = guarded.client.post("/api/v1/login-links")
    assert answer.status_code == 201
    url: str = answer.json()["url"]
    return url


def by_hand(guarded: Served, line: str, *headers: str, body: bytes = b"", host: str | None = None) -> Answer:
    """A call with exactly these headers, and Host."""
    named = guarded.url.removeprefix("http://") if host is None else host
    lines = [line, f"Host: {named}", *headers, "", ""]
    return ask(guarded.url, "\r\n".join(lines).encode("latin-1") + body, line.partition(" ")[0])


# Token


def test_token_is_made_at_first_start_for_its_owner_only(guarded: Served) -> None:
    folder = guarded.home / ".server"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
    assert len(guarded.token) >= 43, "256 bits"


def test_token_that_others_may_read_or_that_is_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = make_token(path)
    assert make_token(path) == token
    path.chmod(0o640)
    with pytest.raises(UsageError, match="others may read") as refused:
        make_token(path)
    assert refused.value.hint == f"chmod 600 {path}"
    path.chmod(0o600)
    path.write_text("short\n")
    with pytest.raises(UsageError, match="32 or more"):
        make_token(path)


def test_every_call_needs_the_token(guarded: Served, stranger: httpx.Client) -> None:
    calls = [(method, path) for method, path in every_call() if path not in OPEN]
    assert len(calls) > 12
    for method, path in calls:
        answer = stranger.request(method, path)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert guarded.client.build_request("GET", "/").headers["authorization"] not in answer.text


def test_no_wrong_token_opens_anything(guarded: Served, stranger: httpx.Client) -> None:
    for wrong in ("x", guarded.token[:-1], guarded.token + "x", guarded.token.swapcase(), "\xe9" * 43, "\xe9"):
        shown = b"Bearer " + wrong.encode("latin-1")
        assert stranger.get(OTHERS, headers={b"Authorization": shown}).status_code == 401, wrong
    assert stranger.get(f"{OTHERS}?token={guarded.token}").status_code == 401, "in the address it would be logged"


def test_secrets_are_compared_in_constant_time() -> None:
    tree = ast.parse(inspect.getsource(access_module))
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    assert not [node for node in compared if any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops)]
    digests = [
        [ast.unparse(argument) for argument in node.args]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hmac.compare_digest"
    ]
    assert len(digests) == 2
    assert all(argument.startswith("_hash(") for pair in digests for argument in pair), "lengths show in nothing"


# Cookie and link


def test_link_logs_a_browser_in_once(guarded: Served, stranger: httpx.Client) -> None:
    link = new_link(guarded)
    for _ in range(2):
        assert stranger.head(link).status_code == 200
        assert stranger.get(link, headers={"Sec-Purpose": "prefetch;prerender"}).status_code == 503
    entered = stranger.get(link)
    assert (entered.status_code, entered.headers["location"]) == (303, "/"), "no code in the address of the page"
    name, *rest = (part.strip() for part in entered.headers["set-cookie"].split(";"))
    assert {part.lower() for part in rest} == {"httponly", "samesite=strict", "path=/", "max-age=2592000"}
    assert guarded.token not in name
    assert stranger.get(OTHERS).status_code == 200
    stranger.cookies.clear()
    again = stranger.get(link)
    assert again.status_code == 401 and "set-cookie" not in again.headers
    assert again.headers["content-type"].startswith("text/html")


def test_link_is_of_no_use_after_ten_minutes() -> None:
    time = 0.0
    access = Access("t" * 43, now=lambda: time)
    early, late = access.make_link(), access.make_link()
    time = LINK_SECONDS - 1.0
    assert access.use_link(early)
    time = LINK_SECONDS + 1.0
    assert not access.use_link(late)


def test_cookie_is_secure_behind_a_proxy_with_tls(guarded: Served, stranger: httpx.Client) -> None:
    answer = stranger.get(new_link(guarded), headers={"X-Forwarded-Proto": "https"})
    assert "secure" in answer.headers["set-cookie"].lower()


def test_cookie_counts_no_longer_after_logging_out(guarded: Served, stranger: httpx.Client) -> None:
    stranger.get(new_link(guarded))
    kept = dict(stranger.cookies)
    assert stranger.post("/logout").status_code == 204
    assert not stranger.cookies, "the browser is told to forget it"
    stranger.cookies.update(kept)
    assert stranger.get(OTHERS).status_code == 401


def test_what_a_browser_watches_ends_when_it_has_logged_out(
    guarded: Served, stranger: httpx.Client, marked: str
) -> None:
    stranger.get(new_link(guarded))
    cookie = "; ".join(f"{name}={value}" for name, value in stranger.cookies.items())
    paths = ("events", f"batches/{marked}/events", f"batches/{marked}/events?outcomes=1")
    watched = [Stream(guarded, path, Cookie=cookie, Authorization="") for path in paths]
    other = Stream(guarded, "events")
    assert [stream.status for stream in (*watched, other)] == [200] * 4
    assert stranger.post("/logout").status_code == 204
    deadline = time.monotonic() + SECONDS
    for stream in watched:
        for _ in stream.chunks():  # they end, and do not break off
            assert time.monotonic() < deadline, "it goes on"
        stream.close()
    guarded.create("pipe:title", [1], batch_id="seen-by-others")
    assert other.until("status", batch_id="seen-by-others")
    other.close()


def test_who_has_logged_out_stays_so_when_the_server_has_started_again(tmp_path: Path) -> None:
    path, token = tmp_path / "logged-out", "t" * 43
    before = Access(token, logouts=LogOuts(path))
    ended, other = before.cookie(), before.cookie()
    before.log_out(ended)
    assert path.stat().st_mode & 0o777 == 0o600
    assert ended.rpartition(".")[2] not in path.read_text(), "whoever reads it can make no cookie of it"
    after = Access(token, logouts=LogOuts(path))
    assert (after.is_cookie(ended), after.is_cookie(other)) == (False, True)
    path.write_text("{")
    spoilt = Access(token, logouts=LogOuts(path))
    assert not spoilt.is_cookie(ended) and not spoilt.is_cookie(other), "nobody knows any more who has logged out"
    anew = spoilt.cookie()
    assert spoilt.is_cookie(anew) and Access(token, logouts=LogOuts(path)).is_cookie(anew)


def test_so_many_logouts_are_kept_and_none_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "logged-out"
    logouts = LogOuts(path, most=10)
    first = logouts.expiry()
    ended = [f"{first + n}.aaaabbbbccccdddd" for n in range(25)]
    for name in [f"{first - 40 * 24 * 3600}.aaaabbbbccccdddd", *ended]:
        logouts.add(name)
    again = LogOuts(path, most=10)
    assert all(name in again for name in ended)
    assert len(json.loads(path.read_text())["names"]) <= 10
    assert f"{first + 30}.aaaabbbbccccdddd" not in again


def test_another_token_makes_cookies_void() -> None:
    before, after = Access("a" * 43), Access("b" * 43)
    cookie = before.cookie()
    assert before.is_cookie(cookie) and Access("a" * 43).is_cookie(cookie), "a restart alone does not"
    assert not after.is_cookie(cookie)
    for forged in ("", ".", "..", cookie[:-1], "9" + cookie, cookie.replace(".", "", 1), f"9999999999.x.{'0' * 64}"):
        assert not before.is_cookie(forged)


def test_browser_is_sent_to_log_in_and_a_program_is_told(stranger: httpx.Client) -> None:
    page = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    sent = stranger.get("/", headers=page)
    assert (sent.status_code, sent.headers["location"]) == (303, "/login")
    assert stranger.get("/batches/b", headers=page).headers["location"] == "/login?next=/batches/b"
    assert "<form" in stranger.get("/login", headers=page).text
    told = stranger.get("/api/v1/batches", headers=page)
    assert (told.status_code, told.headers["content-type"]) == (401, "application/problem+json")


# Rate limit


def test_failed_logins_are_limited_and_the_owner_is_never_locked_out(guarded: Served, stranger: httpx.Client) -> None:
    right = {"Authorization": f"Bearer {guarded.token}"}
    wrong = {"Authorization": "Bearer stale-token-of-an-old-script"}
    codes = [stranger.get(OTHERS, headers=wrong).status_code for _ in range(5)]
    codes += [stranger.post("/login", json={"token": "guess"}).status_code for _ in range(3)]
    codes += [stranger.get("/login?code=once-guessed").status_code for _ in range(2)]
    assert codes == [401] * 10

    def refused(call: Callable[[], httpx.Response]) -> httpx.Response:
        """The answer to a call of an address that has to wait, which it has for six seconds at most."""
        for _ in range(5):
            while len(codes) < 30 and stranger.get(OTHERS, headers=wrong).status_code == 401:
                codes.append(401)
            answer = call()
            if answer.status_code == 429:
                break
            codes.append(answer.status_code)
        return answer

    right_too = refused(lambda: stranger.post("/login", json={"token": guarded.token}))
    assert right_too.status_code == 429 and 0 < int(right_too.headers["retry-after"]) <= 60
    assert refused(lambda: stranger.get(OTHERS, headers=wrong)).status_code == 429
    assert refused(lambda: stranger.get("/login?code=once-guessed")).status_code == 429
    assert stranger.get(OTHERS, headers=right).status_code == 200
    address = stranger.headers["x-forwarded-for"]
    assert stranger.get(new_link_as(stranger, right)).status_code == 303
    assert stranger.get(OTHERS).status_code == 200, "with the cookie"
    elsewhere = {"X-Forwarded-For": "198.51.100.9"}
    stranger.cookies.clear()
    assert stranger.post("/login", json={"token": guarded.token}, headers=elsewhere).status_code == 204
    lines = [line for line in (guarded.home / ".server" / "server.log").read_text().splitlines() if address in line]
    failed = codes.count(401)
    assert failed <= len(lines) <= failed + 2 + 2 * (failed - 10), "each is told, and that the next ones are not"
    assert "stale-token" not in "".join(lines)


def new_link_as(client: httpx.Client, headers: dict[str, str]) -> str:
    url: str = client.post("/api/v1/login-links", headers=headers).json()["url"]
    return url


def test_memory_of_failed_logins_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR", "batchq")
    failed = FailedLogins(now=lambda: 0.0)
    for _ in range(20):
        failed.note("2001:db8::1", "wrong")
    assert failed.wait("2001:db8::2") > 0, "one of the same network"
    for n in range(MOST_ADDRESSES):
        failed.note(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", "wrong")
    assert len(vars(failed)["_forgotten"]) == MOST_ADDRESSES
    assert failed.wait("2001:db8::1") == 0, "the oldest is forgotten"


# Host, origin


FOREIGN = [
    *("evil.example", "evil.example:{port}", "localhost.evil.example", "", "0.0.0.0:{port}", "[::2]", "127.0.0.2"),
    *("localhost@evil.example", "localhost:{port}:1", "localhost:x", "localhost/static/", "localhost?", "a b", "\xe9"),
]
OWN = ["localhost", "LOCALHOST.:{port}", "127.0.0.1", "[::1]:{port}", "[0:0::1]", "[::ffff:127.0.0.1]"]


@pytest.mark.parametrize("host, status", [*((host, 421) for host in FOREIGN), *((host, 200) for host in OWN)])
def test_host_must_be_one_of_the_servers_names_however_it_is_written(guarded: Served, host: str, status: int) -> None:
    named = host.format(port=guarded.url.rpartition(":")[2])
    answer = by_hand(guarded, f"GET {OTHERS} HTTP/1.1", f"Authorization: Bearer {guarded.token}", host=named)
    assert answer.status == status
    assert (b"version" in answer.body) is (status == 200)


def test_a_host_header_cannot_stand_for_a_path(guarded: Served) -> None:
    for host in ("localhost/static/?", "localhost/healthz?", "localhost/login#"):
        assert by_hand(guarded, f"GET {OTHERS} HTTP/1.1", host=host).status in (400, 421)


@pytest.mark.parametrize(
    "head, status",
    [
        ("GET /api/v1/server HTTP/1.1\r\n", 400),
        ("GET /api/v1/server HTTP/1.0\r\n", 421),
        ("GET /api/v1/server HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n", 400),
        ("GET http://evil.example/api/v1/server HTTP/1.1\r\nHost: localhost\r\n", 400),
        ("GET http://localhost/api/v1/server HTTP/1.1\r\nHost: localhost\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n", 400),
        ("CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n", 400),
    ],
)
def test_requests_that_name_no_host_or_two_are_refused(guarded: Served, head: str, status: int) -> None:
    answer = ask(guarded.url, f"{head}Authorization: Bearer {guarded.token}\r\n\r\n".encode(), head.split()[0])
    assert answer.status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://{host}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://{host} http://evil.example"},
        {"Origin": "http://{host}.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
def test_page_of_another_origin_changes_nothing(
    guarded: Served, stranger: httpx.Client, headers: dict[str, str]
) -> None:
    stranger.get(new_link(guarded))
    shown = {name: value.format(host=guarded.url.removeprefix("http://")) for name, value in headers.items()}
    body = {"func": "pipe:title", "items": [1], "batch_id": "foreign"}
    assert stranger.post("/api/v1/batches", json=body, headers=shown).status_code == 403
    assert stranger.post("/login", json={"token": guarded.token}, headers=shown).status_code == 403
    assert guarded.client.get("/api/v1/batches/foreign").status_code == 404


def test_own_page_may_and_a_link_elsewhere_may_be_followed(guarded: Served, stranger: httpx.Client) -> None:
    stranger.get(new_link(guarded))
    own = {"Origin": guarded.url, "Sec-Fetch-Site": "same-origin"}
    assert stranger.post("/api/v1/login-links", headers=own).status_code == 201
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert stranger.get("/", headers=link).status_code == 200
    assert stranger.get("/", headers=link | {"Sec-Fetch-Dest": "iframe"}).status_code == 403


def test_no_page_of_another_origin_may_read_anything(guarded: Served) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    refused = guarded.client.options("/api/v1/batches", headers=asked)
    answers = [
        refused,
        guarded.client.options("/api/v1/batches"),
        guarded.client.get(OTHERS),
        guarded.client.get("/login"),
    ]
    assert refused.status_code == 403
    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control-")]


def test_reading_changes_nothing(guarded: Served, marked: str) -> None:
    before = guarded.batch(marked)
    code = new_link(guarded)
    for path in {path for method, path in every_call() if method == "GET" and path != "/login"}:
        with guarded.client.stream("GET", path) as answer:
            assert answer.status_code < 500, path
    assert guarded.batch(marked) == before
    assert guarded.client.get(code).status_code == 303, "the link is still good"
