"""New batches over HTTP: inline, uploaded, from an open folder; and what is refused, before anything is stored."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from served import Served
from waiting import wait_until


def results(server: Served, batch_id: str) -> list[Any]:
    """What its handler got, as `pipe:title` returns it."""
    command = [sys.executable, "-m", "batchq", "results", batch_id, "--home", str(server.home)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line)["result"]["title"] for line in said.split("\n") if line]


def upload(server: Served, body: bytes, **parameters: Any) -> Any:
    return server.client.post("/api/v1/batches/upload", params={"func": "pipe:title", **parameters}, content=body)


def folders(server: Served) -> set[str]:
    return {path.name for path in server.home.iterdir() if path.name[0] != "."}


def test_uploaded_table_runs_with_its_options_and_is_deleted_when_all_of_it_is_stored(server: Served) -> None:
    cut = upload(server, b'{"id": 1}\n{"id": 2}\n', name="two.jsonl", limit=1, batch_id="trial")
    assert cut.status_code == 201, cut.text
    server.wait_for("trial")
    table = gzip.compress(b"id,price\na1,7\na2,8\na3,9\n")
    made = upload(server, table, name="my ideas.csv.gz", csv_types="true", where="price > 7", batch_id="prices")
    assert made.status_code == 201, made.text
    assert made.headers["location"] == "/api/v1/batches/prices"
    assert made.json()["spec"]["source"]["name"] == "my ideas.csv.gz"
    assert server.wait_for("prices")["success_count"] == 2
    assert results(server, "prices") == [{"id": "a2", "price": 8}, {"id": "a3", "price": 9}]
    wait_until(lambda: not (server.home / "prices" / "input").exists())
    assert (server.home / "trial" / "input" / "two.jsonl").exists(), "--limit has left something to read"


def test_failed_items_run_again_although_the_upload_is_gone(server: Served) -> None:
    batch_id = server.create("pipe:fails", [{"n": n} for n in range(4)], retry_attempts=1)
    server.wait_for(batch_id)
    wait_until(lambda: not (server.home / batch_id / "input").exists())
    wait_until(lambda: server.batch(batch_id)["holder"] is None)
    retried = server.client.post(f"/api/v1/batches/{batch_id}/retry", json={"error": "ValueError"})
    assert retried.status_code == 200 and retried.json()["retried"] == 2, retried.text
    wait_until(lambda: server.batch(batch_id)["attempts"] == 6 and server.batch(batch_id)["state"] == "completed")
    assert server.client.post(f"/api/v1/batches/{batch_id}/retry", json={"timed_out": True}).json()["retried"] == 0


def test_file_in_an_open_folder_is_read_where_it_is(server: Served) -> None:
    (server.folder / "open" / "ideas.txt").write_text("one\ntwo\n")
    made = server.client.post("/api/v1/batches", json={"func": "pipe:title", "path": "ideas.txt"})
    assert made.status_code == 201, made.text
    done = server.wait_for(made.json()["batch_id"])
    assert done["success_count"] == 2
    assert not (server.home / done["batch_id"] / "input").exists()


def test_items_arrive_as_they_were_sent(server: Served) -> None:
    odd = ["\0", "\u2028", "<script>", 1e308, -0.0, 2**70, None, [], {"id": "\U0001f600"}, "\ud800"]
    made = server.client.post("/api/v1/batches", content=json.dumps({"func": "pipe:title", "items": odd}))
    assert made.status_code == 201, made.text
    batch_id = made.json()["batch_id"]
    done = server.wait_for(batch_id)
    assert done["success_count"] + done["failure_count"] == len(odd)
    found = results(server, batch_id)
    assert [each for each in odd[:9] if each not in found] == []


@pytest.mark.parametrize(
    "parameters, body, status, said",
    [
        ({"name": "ideas"}, b"x", 422, "input_format"),
        ({}, b"x", 422, "input_format"),
        ({"name": "ideas.jsonl"}, b"{no", 422, "ideas.jsonl, line 1"),
        ({"name": "ideas.csv.gz"}, b"not packed", 422, "ideas.csv.gz"),
        ({"name": "ideas.csv", "func": "pipe:forbidden"}, b"a\n", 403, "pipe:forbidden"),
        ({"name": "ideas.csv", "setup": "os:system"}, b"a\n", 403, "os:system"),
        ({"name": "ideas.csv", "then": "os:system"}, b"a\n", 403, "os:system"),
        ({"name": "ideas.csv", "on_finish": "true"}, b"a\n", 403, "runs a command"),
        ({"name": "ideas.csv", "out": "x"}, b"a\n", 403, "writes a file"),
        ({"name": "ideas.csv", "limit": "many"}, b"a\n", 422, "limit must be a whole number"),
        ({"name": "ideas.csv", "deadline": "never"}, b"a\n", 422, "deadline must be a time"),
    ],
)
def test_upload_that_cannot_be_is_refused_and_leaves_nothing(
    server: Served, parameters: dict[str, str], body: bytes, status: int, said: str
) -> None:
    before = folders(server)
    answer = upload(server, body, **parameters)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    problem = answer.json()
    assert problem["status"] == status and said in problem["detail"] + problem.get("hint", "")
    assert folders(server) == before


def test_upload_that_breaks_off_leaves_nothing(server: Served) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as caller:
        head = (
            "POST /api/v1/batches/upload?func=pipe:title&name=a.jsonl&batch_id=torn HTTP/1.1\r\n"
            f"Host: {host}:{port}\r\nAuthorization: Bearer {server.token}\r\nContent-Length: 5000000\r\n\r\n"
        )
        caller.sendall(head.encode() + b"{}\n" * 700_000)
        wait_until(lambda: (server.home / "torn" / "input" / "a.jsonl").exists())
        taken = upload(server, b"{}\n", name="b.jsonl", batch_id="torn")
        assert taken.status_code == 409
    wait_until(lambda: not (server.home / "torn").exists())
    assert upload(server, b"{}\n", name="b.jsonl", batch_id="torn").status_code == 201


def test_first_items_of_a_file_are_shown_before_it_is_uploaded(server: Served) -> None:
    answer = server.client.post("/api/v1/preview", params={"name": "a.csv", "size": 99}, content=b"id,b\nx,2\ny,3")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "schema": 1,
        "items": [{"line": 2, "id": "x", "item": {"id": "x", "b": "2"}}],
        "format": "csv",
        "problems": [],
        "cut": True,
    }
    assert not list((server.home / ".server").glob("preview-*"))
    large = server.client.post("/api/v1/preview", params={"name": "a.csv"}, content=b"x" * 1_048_577)
    assert large.status_code == 413 and "first 1,048,576 bytes" in large.json()["hint"]


def test_handlers_that_are_allowed_are_listed_without_being_run(server: Served) -> None:
    Path(server.folder / "trap.py").write_text("raise SystemExit('run')\n")
    listed = server.client.get("/api/v1/handlers").json()
    found = {each["target"]: each for each in listed["handlers"]}
    assert found["pipe:title"]["async"] is True and "pipe:forbidden" not in found
    assert "pipe:title" in listed["patterns"]


def test_path_that_is_not_there_is_a_problem_too(server: Served) -> None:
    lost = server.client.get("/api/v1/nosuch")
    assert lost.status_code == 404 and lost.json()["detail"] == "there is no /api/v1/nosuch"
    wrong = server.client.put("/api/v1/batches")
    assert wrong.status_code == 405 and wrong.headers["allow"] == "GET, HEAD, POST"
    assert server.client.get("/api/v1/batches/").headers["content-type"] == "application/problem+json"
