"""``results --format openai``: the outcomes of a batch file as a provider's batch service would write them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from batchq.errors import UsageError
from batchq.model import BatchRow
from batchq.store.rows import ResultRow

OPENAI: Final = "openai"
KIND: Final = "llm-batch"
_STATUS: Final = re.compile(r"HTTP (\d{3})\b[^:]*(?:: (.*))?", re.DOTALL)
_encode = json.JSONEncoder(ensure_ascii=False).encode


def openai_lines(batch: BatchRow, rows: Iterable[ResultRow], stage: int | None = None) -> Iterator[str]:
    """A line for each row: ``id``, ``custom_id``, ``response`` and ``error``.

    One of the last two is null, but where a server has answered with an error: then ``response`` tells its status.

    Args:
        batch: whose rows they are.
        rows: outcomes.
        stage: whose they are; None for the last one's.

    Raises:
        UsageError: they are those of something else than a batch file.
    """
    if batch.spec.work is None or batch.spec.work["kind"] != KIND:
        raise UsageError(
            f"{batch.batch_id} has no such results: it ran {batch.spec.target}",
            f"--format {OPENAI} is for batches that were started with --{KIND}.",
        )
    if batch.spec.stages and stage != 1:
        raise UsageError(
            f"{batch.batch_id} has stages after the first one, whose results are no responses",
            f"Say --format {OPENAI} --stage 1.",
        )
    for row in rows:
        head = f'"id": {_encode(f"batch_req_{batch.batch_id}_{row.seq}")}, "custom_id": {_encode(str(row.item_id))}'
        if row.success:
            yield f'{{{head}, "response": {row.result}, "error": null}}\n'
        else:
            error = {"code": row.error_type, "message": row.error}
            yield f'{{{head}, "response": {_response(row)}, "error": {_encode(error)}}}\n'


def _response(row: ResultRow) -> str:
    """What a server has answered, as far as the error tells it."""
    said = _STATUS.match(row.error or "") if row.error_type == "HttpError" else None
    if said is None:
        return "null"
    try:
        body = json.loads(said[2] or "null")
    except ValueError:  # no JSON, or more than an error keeps
        body = None
    return _encode({"status_code": int(said[1]), "request_id": "", "body": body})
