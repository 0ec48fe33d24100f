"""Outcomes of a batch on a server as they are recorded, in the form that was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator

from batchq.app.flatten import flat_line
from batchq.app.rawjson import elements, members
from batchq.app.render import results_csv, results_jsonl
from batchq.app.results import JSONL, SEPARATORS, Wanted
from batchq.model import FAILED, SUCCESS
from batchq.remote.client import Client
from batchq.remote.events import follow
from batchq.remote.following import goes_on
from batchq.store.rows import ResultRow


def follow_outcomes(client: Client, path: str, wanted: Wanted) -> Iterator[str]:
    """The outcomes as they are committed, until nobody runs the batch, nor is to; as text in pieces.

    Args:
        client: of the server.
        path: of the batch.
        wanted: which, and how.

    Raises:
        BatchNotFound: there is no such batch.
    """
    client.get(path)
    return _follow(client, path, wanted)


def _follow(client: Client, path: str, wanted: Wanted) -> Iterator[str]:
    which: str | int = FAILED if wanted.only == FAILED else 1
    as_it_is = wanted.form == JSONL and not (wanted.only or wanted.with_input or wanted.flatten)
    header = wanted.form != JSONL
    is_first = True  # a stream begins with the status, before the outcomes that it counts
    for event in follow(client, f"{path}/events", outcomes=which):
        if event is None:
            client.get(path, patient=True)  # waits for the server; the next events tell what came meanwhile
            is_first = True
        elif event.name == "outcome" and as_it_is:
            yield f"{{{wanted.start}{event.data[1:]}\n"
        elif event.name == "outcome":
            row = row_of(event.data)
            if wanted.only in (None, row.status):
                payload = _payload(client, path, row.seq) if wanted.with_input else None
                yield _text(row._replace(payload=payload), wanted, header)
                header = False
        elif event.name == "status":
            if not is_first and not goes_on(json.loads(event.data)):
                return
            is_first = False


def _payload(client: Client, path: str, seq: int) -> str:
    """The item itself, which events do not have: it may be large, and few ask for it."""
    return members(elements(members(client.get_text(f"{path}/items/%23{seq}", patient=True))["items"])[0])["input"]


def row_of(text: str) -> ResultRow:
    """The outcome that a line of `results` tells; its result is the very same text.

    Example:
        >>> row_of('{"seq": 1, "run": 1, "id": "a", "line": 1, "status": "success", "result": {"n":1}, '
        ...        '"attempts": 1, "duration": 0.25}').result
        '{"n":1}'
    """
    raw = members(text)
    result = raw.pop("result", None)
    told = {name: json.loads(value) for name, value in raw.items()}
    return ResultRow(
        seq=told["seq"],
        item_id=told["id"],
        line=told["line"],
        success=int(told["status"] == SUCCESS),
        result=result,
        error_type=told.get("error_type"),
        error=told.get("error"),
        attempts=told["attempts"],
        duration_us=round(told["duration"] * 1e6),
        ended_ms=0,
        payload=None,
        run=told["run"],
    )


def _text(row: ResultRow, wanted: Wanted, with_header: bool) -> str:
    if wanted.form != JSONL:
        separator = SEPARATORS[wanted.form]
        return "".join(results_csv([row], wanted.with_input, wanted.raw, separator, True, with_header))
    if wanted.flatten:
        return flat_line(row, wanted.start)
    return "".join(results_jsonl([row], wanted.with_schema))
