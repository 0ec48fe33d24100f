"""Items over HTTP: pages, searches, one with its attempts; failures, history and log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from served import Served
from waiting import wait_until

ODD_IDS = ["a/b/../c", "50%", "ü ☕", "a?b=c&d", "#5", "..", 'quote"d', " ", "<script>"]


def get(server: Served, path: str, **query: Any) -> dict[str, Any]:
    """A JSON answer; NaN and infinities, which JSON does not have, are an error."""
    answer = server.client.get(f"/api/v1/batches/{path}", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} in {path}"))
    assert found["schema"] == 1
    return found


def pages(server: Served, batch_id: str, **query: Any) -> Iterator[dict[str, Any]]:
    """The items of all pages."""
    cursor = 0
    while cursor is not None:
        page = get(server, f"{batch_id}/items", cursor=cursor, **query)
        yield from page["items"]
        assert page["next"] is None or page["next"] > cursor
        cursor = page["next"]


@pytest.fixture(scope="module")
def half(server: Served) -> str:
    """A batch of 50 items of which every second one has failed, twice."""
    items = [{"id": f"i{n}", "n": n} for n in range(1, 51)]
    batch_id = server.create("pipe:fails", items, retry_attempts=2, retry_delay=0.01, workers=1)
    server.wait_for(batch_id, "completed")
    return batch_id


def test_pages_have_each_item_once_in_the_order_of_the_input(server: Served, half: str) -> None:
    assert [item["seq"] for item in pages(server, half, limit=7)] == list(range(1, 51))


def test_pages_by_status_have_what_has_it(server: Served, half: str) -> None:
    failed = list(pages(server, half, status="failed", limit=10))
    assert [item["id"] for item in failed] == [f"i{n}" for n in range(1, 51, 2)]
    assert {(item["status"], item["error_type"], item["attempts"]) for item in failed} == {("failed", "ValueError", 2)}
    succeeded = list(pages(server, half, status="success", limit=10))
    assert [item["id"] for item in succeeded] == [f"i{n}" for n in range(2, 51, 2)]
    assert list(pages(server, half, status="pending")) == []


def test_search_finds_ids_errors_payloads_and_places(server: Served, half: str) -> None:
    assert {item["id"] for item in pages(server, half, q="I4")} == {"i4", *(f"i{n}" for n in range(40, 50))}
    assert [item["id"] for item in pages(server, half, q='"n": 17,')] == []
    assert [item["id"] for item in pages(server, half, q='"n": 17}')] == ["i17"]
    assert [item["id"] for item in pages(server, half, q="#17")] == ["i17"]
    ones = {item["id"] for item in pages(server, half, error="ValueError: <script>alert(1)</script> 1")}
    assert ones == {f"i{n}" for n in range(1, 51, 2) if n % 3 == 1}
    assert {item["id"] for item in pages(server, half, error="</script> 1", q="i7", status="failed")} == {"i7"}
    assert list(pages(server, half, error="script", status="success")) == []
    assert list(pages(server, half, q="100%")) == []


def test_pending_items_are_found_behind_those_that_are_done(server: Served) -> None:
    items = [{"id": f"i{n}", "n": n} for n in range(1, 301)]
    batch_id = server.create("pipe:gated", items, concurrency=2, workers=1)
    wait_until(lambda: [server.batch(batch_id)[name] for name in ("success_count", "in_flight")] == [3, 2])
    waiting = list(pages(server, batch_id, status="pending", limit=100))
    assert [item["id"] for item in waiting] == [f"i{n}" for n in range(4, 301)]
    assert {item["status"] for item in waiting} == {"pending", "running"}
    assert [item["status"] for item in pages(server, batch_id, status="success")] == ["success"] * 3
    server.client.post(f"/api/v1/batches/{batch_id}/cancel")
    (server.folder / "gate").touch()


@pytest.mark.parametrize("item_id", ODD_IDS)
def test_item_of_any_id_is_found(server: Served, odd: str, item_id: str) -> None:
    url = f"{server.url}/api/v1/batches/{odd}/items/{quote(item_id, safe='')}"
    # httpx keeps what is quoted; as a browser does it takes `..` for the folder above, which #N gets around.
    url = url if item_id != ".." else url.replace("..", "%236")
    found = server.client.get(url).json()["items"]
    assert [(item["id"], item["input"]["id"]) for item in found][-1:] == [(item_id, item_id)]


@pytest.fixture(scope="module")
def odd(server: Served) -> str:
    """A batch whose ids are odd."""
    batch_id = server.create("pipe:title", [{"id": item_id} for item_id in ODD_IDS], workers=1)
    server.wait_for(batch_id, "completed")
    return batch_id


def test_one_of_two_failed_items_of_an_id_runs_again_by_its_place(server: Served) -> None:
    items = [{"id": "twin", "n": 1}, {"id": "twin", "n": 3}, {"id": "#7", "n": 5}, {"id": "#1", "n": 7}]
    batch_id = server.create("pipe:fails", items, retry_attempts=1, workers=1)

    def runs() -> list[int]:
        server.wait_for(batch_id, "completed")
        return [get(server, f"{batch_id}/items/%23{seq}")["items"][0]["run"] for seq in range(1, 5)]

    assert runs() == [1, 1, 1, 1]
    for named, run in (
        ("#2", [1, 2, 1, 1]),
        ("#7", [1, 2, 2, 1]),  # an id, as there is no such place
        ("#1", [2, 2, 2, 1]),  # the place, as it is to `show`
        ("twin", [3, 3, 2, 1]),
    ):
        answer = server.client.post(f"/api/v1/batches/{batch_id}/retry", json={"items": [named]})
        assert answer.status_code == 200, answer.text
        assert runs() == run, named


def test_item_tells_each_attempt_with_its_traceback(server: Served, half: str) -> None:
    server.client.post(f"/api/v1/batches/{half}/retry", json={"items": ["i3"]})
    server.wait_for(half, "completed")
    (item,) = get(server, f"{half}/items/i3")["items"]
    assert [(each["run"], each["attempt"], each["status"]) for each in item["history"]] == [
        (1, 1, "failed"),
        (1, 2, "failed"),
        (2, 1, "failed"),
        (2, 2, "failed"),
    ]
    assert "raise ValueError" in item["history"][0]["traceback"]
    missing = server.client.get(f"/api/v1/batches/{half}/items/i333")
    assert missing.status_code == 404
    assert "i33" in missing.json()["hint"] + missing.json()["detail"]


def test_what_may_not_be_shown_is_neither_shown_nor_found(server: Served) -> None:
    items = [{"id": f"i{n}", "n": n, "key": "s3cret-of-mine"} for n in range(1, 5)]
    batch_id = server.create("pipe:fails", items, redact=["key"], retry_attempts=1, workers=1)
    server.wait_for(batch_id, "completed")
    answers = [f"items/i{n}" for n in range(1, 5)] + ["items", "failures", "history", "log", "report?format=json"]
    answers += ["results?with_input=1", "results?with_input=1&flatten=1", "results?with_input=1&format=csv"]
    for path in answers:
        answer = server.client.get(f"/api/v1/batches/{batch_id}/{path}")
        assert answer.status_code == 200
        assert "s3cret" not in answer.text
    assert list(pages(server, batch_id, q="s3cret")) == []
    assert server.client.get(f"/api/v1/batches/{batch_id}/results?as_input=1").status_code == 403


def test_failures_are_grouped(server: Served, half: str) -> None:
    groups = get(server, f"{half}/failures")["groups"]
    assert [(group["error_type"], group["failed"]) for group in groups] == [("ValueError", 25)]
    assert len(set(groups[0]["examples"]) & {f"i{n}" for n in range(1, 51, 2)}) == 5
    assert get(server, f"{half}/failures", limit=1)["groups"] == groups[:1]


def test_history_counts_all_outcomes(server: Served, half: str) -> None:
    history = get(server, f"{half}/history")
    assert sum(each["success"] for each in history["intervals"]) == 25
    assert sum(each["failed"] for each in history["intervals"]) >= 25
    assert {each["seconds"] for each in history["intervals"]} == {1}
    assert max(each["latency"] or 0 for each in history["intervals"]) > 0
    assert sum(each["count"] for each in history["latency"]) == 50
    assert 0 < history["percentiles"]["p50"] <= history["percentiles"]["p90"] <= history["percentiles"]["p99"]
    assert sum(each["retries"] for each in history["intervals"]) >= 25
    assert history["tries"] == [
        {"attempts": 1, "success": 25, "failed": 0},
        {"attempts": 2, "success": 0, "failed": 25},
    ]


def test_log_has_the_last_lines(server: Served, half: str) -> None:
    wait_until(lambda: server.batch(half)["holder"] is None)
    lines = get(server, f"{half}/log")["lines"]
    assert lines and get(server, f"{half}/log", lines=1)["lines"] == lines[-1:]
    assert get(server, f"{half}/log", lines=0)["lines"] == []


def test_nan_never_gets_into_json(server: Served) -> None:
    batch_id = server.create(
        "pipe:odd_numbers", [{"id": f"i{n}", "n": n} for n in range(5)], retry_attempts=1, workers=1
    )
    server.wait_for(batch_id, "completed")
    assert [item["status"] for item in pages(server, batch_id)].count("failed") == 4
    for n in range(5):
        get(server, f"{batch_id}/items/i{n}")
    for path in ("", "/failures", "/history", "/report", "/log"):
        get(server, batch_id + path)
    lines = server.client.get(f"/api/v1/batches/{batch_id}/results").text.splitlines()
    assert len(lines) == 5
    for line in lines:
        json.loads(line, parse_constant=lambda name: pytest.fail(name))


@pytest.mark.parametrize(
    "path, detail",
    [
        ("items?limit=0", "limit must be"),
        ("items?limit=501", "limit must be"),
        ("items?cursor=-1", "cursor must be"),
        ("items?status=broken", "status must be one of success, failed, pending"),
        ("items?page=2", "not known here: page"),
        (f"items?q={'x' * 1001}", "1000 characters"),
        ("failures?limit=x", "limit must be"),
        ("log?lines=5001", "lines must be"),
        ("results?format=xml", "format must be one of"),
        ("results?flatten=maybe", "flatten must be"),
        ("results?as_input=1&flatten=1", "as_input"),
        ("results?stage=1&only=failed", "only"),
        ("results?stage=2&format=parquet", "there is no stage 2"),
        ("report?format=pdf", "format must be one of"),
        ("report?format=csv&failures=3", "failures is of use with json and html only"),
    ],
)
def test_parameter_that_cannot_be_used_is_refused_in_words(server: Served, half: str, path: str, detail: str) -> None:
    answer = server.client.get(f"/api/v1/batches/{half}/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize("path", ["items", "items/i1", "failures", "history", "log", "results", "report", "events"])
def test_batch_that_does_not_exist_is_not_found(server: Served, path: str) -> None:
    assert server.client.get(f"/api/v1/batches/none-such/{path}").status_code == 404
