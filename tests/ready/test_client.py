"""The HTTP client of a worker, against a real server: errors in words, redirects, secrets, limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from troubled import Troubled

from batchq.engine.retry import is_transient
from batchq.errors import AnswerTooLarge, BadAnswer, BadRedirect, BatchqError, HttpError, NoAnswer
from batchq.ready.client import open_client
from batchq.ready.messages import Answer, Request
from batchq.ready.variables import Variables

SECRET = "s3cret/of-the+environment"


@pytest.fixture(scope="module")
def server() -> Iterator[Troubled]:
    with Troubled.listening() as server:
        yield server


def send(*requests: Request, max_response: int = 50_000, max_redirects: int = 3) -> Answer:
    """The answer to the last of them, sent with one client."""

    async def main() -> Answer:
        async with open_client(Variables({"KEY": SECRET}), max_response, max_redirects) as client:
            return [await client.send(request) for request in requests][-1]

    return asyncio.run(main())


def note(server: Troubled, trouble: str) -> Request:
    server.calls.clear()
    return Request(
        "POST", f"{server.url}/notes/1", {"Authorization": SECRET}, f'{{"n": 1, "trouble": "{trouble}"}}'.encode()
    )


@pytest.mark.parametrize(
    "trouble, kind, words, again",
    [
        ("busy", HttpError, "HTTP 429 Too Many Requests: slow down", True),
        ("broken", HttpError, "HTTP 500 Internal Server Error: failed for [redacted]", True),
        ("gone", HttpError, "HTTP 404 Not Found: no such note", False),
        ("half", NoAnswer, "no answer of 127.0.0.1:PORT: the answer broke off", True),
        ("large", AnswerTooLarge, "the answer has more than 50,000 bytes", False),
        ("bomb", AnswerTooLarge, "the answer has more than 50,000 bytes", False),
        ("garbled", BadAnswer, "HTTP 200: the answer is no JSON: Expecting value: {\"n\":", True),
    ],
)  # fmt: skip
def test_trouble_is_told_in_words_and_tried_again_where_that_can_help(
    server: Troubled, trouble: str, kind: type[BatchqError], words: str, again: bool
) -> None:
    with pytest.raises(kind) as told:
        send(note(server, trouble)).value()
    assert str(told.value) == words.replace("PORT", server.url.rpartition(":")[2])
    assert is_transient(told.value) is again


def test_places_where_nobody_answers_are_told_in_words(server: Troubled) -> None:
    port = server.url.rpartition(":")[2]
    for url, words in (
        ("http://127.0.0.1:1/", "no answer of 127.0.0.1:1: connection refused"),
        ("http://nosuch.invalid/", "no answer of nosuch.invalid: there is no such host"),
        (f"https://127.0.0.1:{port}/", f"no answer of 127.0.0.1:{port}: no secure connection: .*"),
    ):
        with pytest.raises(NoAnswer, match=f"^{words}$"):
            send(Request("GET", url))


def test_another_host_gets_no_secret_and_the_same_one_does(server: Troubled) -> None:
    headers = {"Authorization": "of the user", "X-Key": SECRET, "X-Plain": "1", "Content-Type": "text/plain"}
    for status, base, method, secrets in (
        (307, server.url, "POST", ["of the user", SECRET]),
        (307, server.elsewhere, "POST", [None, None]),
        (302, server.elsewhere, "GET", [None, None]),
        (303, "", "GET", ["of the user", SECRET]),
    ):
        server.calls.clear()
        url = f"{server.url}/to/{status}?at={base}/landed"
        answer = send(Request("POST", url, headers, b"body", frozenset({"x-key"}))).value()
        assert answer == {"method": method, "body": "body" if method == "POST" else ""}
        landed = server.calls["/landed"][0]
        assert [landed.headers.get(name) for name in ("authorization", "x-key")] == secrets
        assert landed.headers["x-plain"] == "1" and ("content-type" in landed.headers) == (method == "POST")
    with pytest.raises(BadRedirect, match="another host, which must not get the secret in the body"):
        send(Request("POST", f"{server.url}/to/307?at={server.elsewhere}/landed", {}, b"key", secret_body=True))


def test_redirects_end_where_they_lead_nowhere(server: Troubled) -> None:
    for place, words in (
        ("/to/302?at=/to/302", "and 3 redirects may be followed"),
        ("file:///etc/passwd", "which is no http address"),
        ("http://[", "which is no http address"),
    ):
        at = place if ":" in place else f"{server.url}/to/302?at=/to/302%3Fat=/to/302%253Fat=/to/302%25253Fat=/x"
        with pytest.raises(BadRedirect, match=words) as told:
            send(Request("GET", f"{server.url}/to/302?at={at}"))
        assert not is_transient(told.value)
    with pytest.raises(BadRedirect, match="HTTP 302: the answer redirects, and does not say where"):
        send(Request("GET", f"{server.url}/status/302"))
    with pytest.raises(BadRedirect, match="and 0 redirects may be followed"):
        send(Request("GET", f"{server.url}/to/301?at=/landed"), max_redirects=0)


def test_cookies_of_an_answer_are_not_sent_with_the_next_request(server: Troubled) -> None:
    server.calls.clear()
    send(Request("GET", f"{server.url}/twice"), Request("GET", f"{server.url}/twice"))
    assert ["cookie" in call.headers for call in server.calls["/twice"]] == [False, False]


def test_proxy_of_the_environment_is_used_and_netrc_is_not(
    server: Troubled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login ann password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.calls.clear()
    send(Request("GET", "http://nosuch.invalid/through"), Request("GET", f"{server.url}/direct"))
    assert (server.calls["/through"][0].host, server.calls["/direct"][0].host) == ("nosuch.invalid", "127.0.0.1")
    assert "authorization" not in server.calls["/through"][0].headers
    assert "authorization" not in server.calls["/direct"][0].headers
