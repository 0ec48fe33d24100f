"""Results and reports over real connections: what the command line prints, and never half of it unnoticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import psutil
import pytest
from served import Served
from waiting import wait_until
from wire import Wire

from batchq.app.results import Wanted, text_of
from batchq.store.home import Home
from batchq.store.reading import reading

pytestmark = pytest.mark.slow

COUNT = 2000
SMALL = 4096
"""Bytes that the system keeps for a client that does not read."""


@pytest.fixture(scope="module")
def big(server: Served) -> str:
    """A batch of 2,000 results of 6 KB, some 12 MB."""
    items = [{"id": f"i{n}", "n": n, "text": "ü" + "x" * 6000} for n in range(COUNT)]
    batch_id = server.create("pipe:title", items, workers=1)
    assert server.wait_for(batch_id)["success_count"] == COUNT
    return batch_id


@pytest.fixture(scope="module")
def half(server: Served) -> str:
    """A batch of 50 items of which every second one has failed."""
    batch_id = server.create("pipe:fails", [{"id": f"i{n}", "n": n} for n in range(1, 51)], retry_attempts=1, workers=1)
    server.wait_for(batch_id, "completed")
    return batch_id


def expected(server: Served, batch_id: str, **options: Any) -> bytes:
    """What `batchq results` prints."""
    with reading(Home.at(str(server.home)).find(batch_id).database) as reader:
        return "".join(text_of(reader, Wanted(**options))).encode()


@pytest.mark.parametrize(
    "query, options, kind",
    [
        ("", {}, "application/x-ndjson"),
        ("?only=failed&with_input=1", {"only": "failed", "with_input": True}, "application/x-ndjson"),
        ("?format=csv&flatten=1&with_input", {"form": "csv", "flatten": True, "with_input": True}, "text/csv"),
        ("?format=tsv&raw=1", {"form": "tsv", "raw": True}, "text/tab-separated-values"),
    ],
)
def test_results_are_those_of_the_command(
    server: Served, half: str, query: str, options: dict[str, Any], kind: str
) -> None:
    answer = server.client.get(f"/api/v1/batches/{half}/results{query}")
    assert answer.headers["content-type"].startswith(kind)
    form = options.get("form", "jsonl")
    assert answer.headers["content-disposition"] == f'attachment; filename="{half}-results.{form}"'
    assert answer.content == expected(server, half, **options)
    assert answer.content


def test_failed_items_come_as_an_input(server: Served, half: str) -> None:
    answer = server.client.get(f"/api/v1/batches/{half}/results?as_input=1&only=failed")
    assert [json.loads(line)["n"] for line in answer.text.splitlines()] == list(range(1, 51, 2))


def test_results_come_as_parquet(server: Served, half: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    answer = server.client.get(f"/api/v1/batches/{half}/results?format=parquet")
    assert parquet.read_table(BytesIO(answer.content)).num_rows == 50


@pytest.mark.parametrize(
    "form, holds",
    [("json", '"failure_count": 25'), ("text", "25 failed"), ("csv", "idea_id,status"), ("html", "<!doctype")],
)
def test_report_comes_in_each_format(server: Served, half: str, form: str, holds: str) -> None:
    answer = server.client.get(f"/api/v1/batches/{half}/report?format={form}")
    assert holds in answer.text
    assert answer.headers["content-disposition"].startswith("attachment; ")
    policy = answer.headers["content-security-policy"]
    assert ("sandbox" in policy) == (form == "html")
    assert "<script" not in answer.text or form != "html"


def test_report_lists_as_many_failures_as_asked_for(server: Served, half: str) -> None:
    assert len(server.client.get(f"/api/v1/batches/{half}/report?failures=3").json()["failures"]) == 3


def let_in(server: Served, path: str) -> Wire:
    """A client that does not read, as soon as there is room: those of a test before may not have left yet."""
    opened: list[Wire] = []

    def is_in() -> bool:
        wire = Wire(server, path, SMALL)
        if wire.status == 503:
            wire.close()
            return False
        opened.append(wire)
        return True

    wait_until(is_in)
    return opened[0]


def test_no_more_downloads_at_a_time_than_there_is_room_for(server: Served, big: str) -> None:
    waiting = [let_in(server, f"batches/{big}/results") for _ in range(4)]
    refused = server.client.get(f"/api/v1/batches/{big}/results")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert "downloads" in refused.json()["detail"]
    assert server.client.get(f"/api/v1/batches/{big}").status_code == 200
    for one in waiting:
        one.close()
    # Whoever leaves makes room: the work for him ends.
    wait_until(lambda: server.client.get(f"/api/v1/batches/{big}/results?only=failed").status_code == 200)


def test_slow_client_costs_no_memory(server: Served, big: str) -> None:
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    slow = [let_in(server, f"batches/{big}/results?with_input=1") for _ in range(3)]  # 24 MB each
    assert sum(map(len, slow[0].chunks())) == len(expected(server, big, with_input=True))
    assert process.memory_info().rss - before < 80 * 1024 * 1024
    for one in slow:
        one.close()


def test_download_that_fails_midway_does_not_look_whole(server: Served, big: str) -> None:
    wait_until(lambda: server.batch(big)["holder"] is None)
    wire = let_in(server, f"batches/{big}/results")
    chunks: Iterator[bytes] = wire.chunks()
    assert (wire.status, next(chunks)[:9]) == (200, b'{"seq": 1')
    folder = Home.at(str(server.home)).find(big)
    files = [path for path in (folder.database, folder.database.with_name("batch.db-wal")) if path.exists()]
    whole = {path: path.read_bytes() for path in files}
    try:
        for path, content in whole.items():
            with path.open("r+b") as file:
                file.seek(len(content) // 4)
                file.write(b"\xff" * (len(content) - len(content) // 4))
        with pytest.raises(ConnectionError):
            list(chunks)
    finally:
        wire.close()
        for path, content in whole.items():
            with path.open("r+b") as file:
                file.write(content)
    assert server.client.get("/healthz").status_code == 200


def test_head_of_a_download_has_no_body(server: Served, big: str) -> None:
    answer = server.client.head(f"/api/v1/batches/{big}/results?format=csv")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
