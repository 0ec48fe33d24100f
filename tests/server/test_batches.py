"""Batches over HTTP: made, listed, steered, deleted."""

from __future__ import annotations

import pytest
from reported import made_at
from served import Served
from waiting import wait_until


def test_batch_of_inline_items_runs_to_its_end(server: Served) -> None:
    batch_id = server.create("pipe:title", [{"n": n} for n in range(20)])
    done = server.wait_for(batch_id)
    assert (done["state"], done["success_count"], done["total_items"]) == ("completed", 20, 20)


def test_handler_that_is_not_allowed_is_refused(server: Served) -> None:
    answer = server.client.post("/api/v1/batches", json={"func": "pipe:forbidden", "items": [1]})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert "pipe:forbidden" in answer.json()["detail"]


@pytest.mark.parametrize("chosen", [{}, {"state": "completed"}, {"q": "-OF-"}])
def test_pages_neither_repeat_nor_miss_a_batch_while_others_come_and_go(server: Served, chosen: dict[str, str]) -> None:
    there = "-".join(chosen) or "all"
    names = [f"{there}-of-{nth}" for nth in range(7)]
    made_at(server.home, {name: 1000 + nth for nth, name in enumerate(names)})

    def page(cursor: str | None = None, limit: int = 2) -> tuple[list[str], str | None]:
        asked = {"limit": limit, **chosen, **({"cursor": cursor} if cursor else {})}
        answer = server.client.get("/api/v1/batches", params=asked)
        assert answer.status_code == 200, answer.text
        return [each["batch_id"] for each in answer.json()["batches"]], answer.json()["next"]

    wait_until(lambda: set(names) <= set(page(limit=500)[0]))
    seen, cursor = page()
    while names[1] not in seen:
        assert cursor is not None
        more, cursor = page(cursor)
        seen += more
    made_at(server.home, {f"{there}-of-new": 0})
    for gone in (names[0], names[4]):
        server.client.delete(f"/api/v1/batches/{gone}").raise_for_status()
    wait_until(lambda: f"{there}-of-new" in page(limit=500)[0])
    while cursor is not None:
        more, cursor = page(cursor)
        assert 0 < len(more) <= 2
        seen += more
    assert [name for name in seen if name.startswith(there)] == [name for name in names if name != names[4]]
    assert len(seen) == len(set(seen))
    server.client.delete(f"/api/v1/batches/{there}-of-new").raise_for_status()
    for name in names[1:4] + names[5:]:
        server.client.delete(f"/api/v1/batches/{name}").raise_for_status()
