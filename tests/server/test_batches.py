"""Batches over HTTP: made, listed, steered, deleted."""

from __future__ import annotations

from served import Served


def test_batch_of_inline_items_runs_to_its_end(server: Served) -> None:
    batch_id = server.create("pipe:title", [{"n": n} for n in range(20)])
    done = server.wait_for(batch_id)
    assert (done["state"], done["success_count"], done["total_items"]) == ("completed", 20, 20)


def test_handler_that_is_not_allowed_is_refused(server: Served) -> None:
    answer = server.client.post("/api/v1/batches", json={"func": "pipe:forbidden", "items": [1]})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert "pipe:forbidden" in answer.json()["detail"]
