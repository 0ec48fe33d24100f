"""What the server tells Prometheus, read by Prometheus' own parser."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import Served

pytestmark = pytest.mark.slow


def samples(server: Served) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Each number by its name and labels."""
    answer = server.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(answer.text))
    assert all(family.type != "unknown" and family.documentation for family in families)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    """One number."""
    return found[name, frozenset(labels.items())]


def test_batches_requests_and_the_process_are_told(server: Served) -> None:
    batch_id = server.create("pipe:flaky", [{"n": n} for n in range(4)], retry_delay=0.01, workers=1)
    server.wait_for(batch_id, "completed")
    before = samples(server)
    assert value(before, "batchq_batches", state="completed") == 1
    assert value(before, "batchq_items", batch_id=batch_id, status="success") == 4
    assert value(before, "batchq_items", batch_id=batch_id, status="pending") == 0
    assert value(before, "batchq_attempts_total", batch_id=batch_id) == 8
    assert value(before, "batchq_retries_total", batch_id=batch_id) == 4
    assert value(before, "batchq_in_flight", batch_id=batch_id) == 0
    assert value(before, "process_resident_memory_bytes") > 1_000_000
    for path in (f"batches/{batch_id}", f"batches/{batch_id}/items/item-1", "batches/none", "wrong/path", "batches"):
        server.client.get(f"/api/v1/{path}")
    server.client.get(f"/api/v1/batches/{batch_id}", headers={"Authorization": "Bearer wrong"})
    after = samples(server)
    one = {"method": "GET", "route": "/api/v1/batches/{batch_id}"}
    name = "batchq_http_requests_total"
    assert value(after, name, **one, status="200") - value(before, name, **one, status="200") == 1
    assert value(after, name, **one, status="404") == 1
    assert value(after, name, method="GET", route="/api/v1/batches/{batch_id}/items/{item:path}", status="200") == 1
    assert value(after, name, method="any", route="other", status="404") == 1
    assert value(after, name, method="any", route="other", status="401") == 1


def test_numbers_need_the_token(server: Served) -> None:
    assert server.client.get("/metrics", headers={"Authorization": ""}).status_code == 401


def test_no_caller_adds_numbers_by_methods_that_do_not_exist(server: Served) -> None:
    def call(method: str) -> None:
        for path in ("/healthz", "/login", "/static/js/api.js"):
            assert server.client.request(method, path, headers={"Authorization": ""}).status_code == 405

    def counted() -> set[frozenset[tuple[str, str]]]:
        return {labels for name, labels in samples(server) if name == "batchq_http_requests_total"}

    call("ODD")
    before = counted() | counted()  # the first one is counted itself
    for number in range(10):
        call(f"ODD{number}")
    assert counted() == before
    assert {"method": "other", "route": "/healthz", "status": "405"} in [dict(labels) for labels in before]
