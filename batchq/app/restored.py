"""What the JSON of a batch tells, as the objects that it was made of: for who asks a server, and shows it as ever."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from batchq.app.items import AttemptDetails, ItemDetails
from batchq.app.rawjson import members
from batchq.app.report import BatchReport
from batchq.app.status import SERVED, BatchStatus
from batchq.app.watching import Look
from batchq.app.words import seconds_of
from batchq.model import QUEUED, RUNNING, SUCCESS, Tally
from batchq.spec import BatchSpec
from batchq.store.rows import ErrorGroup, Wait
from batchq.store.turns import Turn


def restored_status(told: Mapping[str, Any]) -> BatchStatus:
    """A status of which `BatchStatus.to_dict` has made `told`; what later releases add is ignored."""
    spec = BatchSpec.from_dict(told["spec"])
    groups = told.get("failure_groups", ())
    # The examples are told by their ids: any numbers will do to name them.
    names = dict(enumerate(example for group in groups for example in group["examples"]))
    status = BatchStatus(
        batch_id=told["batch_id"],
        state=told["state"],
        reason=told["reason"],
        holder=told["holder"],
        created_at=seconds_of(told["created_at"]),
        started_at=seconds_of(told["started_at"]),
        ended_at=seconds_of(told["completed_at"]),
        input_done=told["input_done"],
        tally=Tally(
            items=told["total_items"],
            success=told["success_count"],
            failed=told["failure_count"],
            attempts=told["attempts"],
            retries=told["retries"],
            recovered=told["recovered"],
            interruptions=told["interruptions"],
            reused=told.get("reused", 0),
        ),
        spec=spec,
        rate=told["items_per_second"],
        remaining_seconds=told["remaining_seconds"],
        groups=tuple(_groups(groups)),
        spent=told.get("spent", {}),
        exit_code=told.get("exit_code"),
        skipped=told.get("skipped", {}),
        names=names,
        turn=_turn(told),
        wait=Wait(seconds_of(wait["until"]), wait["rate"]) if (wait := told.get("wait")) else None,
    )
    return status._replace(without_rest=told["input_cut"] and not status.input_cut)


def restored_look(told: Mapping[str, Any]) -> Look:
    """A look of which `Look.to_dict` has made `told`."""
    return Look(restored_status(told), told.get("in_flight", 0), tuple(told.get("running", ())))


def restored_report(told: Mapping[str, Any]) -> BatchReport:
    """A report that `render.report_json` has written; `results` is empty."""
    known = {each.name for each in fields(BatchReport)}
    return BatchReport(**{name: value for name, value in told.items() if name in known})


def restored_item(batch_id: str, text: str) -> ItemDetails:
    """An item that `ItemDetails.to_json` has written; its payload and its result are the very same texts."""
    raw = members(text)
    payload, result = raw.pop("input"), raw.pop("result", None)
    told = {name: json.loads(value) for name, value in raw.items()}
    return ItemDetails(
        batch_id=batch_id,
        seq=told["seq"],
        item_id=told["id"],
        line=told["line"],
        status=told["status"],
        run=told["run"],
        payload=payload,
        result=result if told["status"] == SUCCESS else None,
        error_type=told.get("error_type"),
        error=told.get("error"),
        attempts=told["attempts"],
        duration=told["duration"],
        ended_at=told["ended_at"],
        history=[_attempt(each) for each in told["history"]],
        interruptions=told["interruptions"],
        stages=told.get("stages", 1),
    )


def _attempt(told: Mapping[str, Any]) -> AttemptDetails:
    return AttemptDetails(
        run=told["run"],
        number=told["attempt"],
        status=told["status"],
        started_at=told["started_at"],
        duration=told["duration"],
        worker=told["worker"],
        error_type=told.get("error_type"),
        error=told.get("error"),
        traceback=told.get("traceback", ""),
        wait=told.get("wait"),
        stage=told.get("stage", 1),
        result=json.dumps(told["result"], ensure_ascii=False) if "result" in told else None,
    )


def _turn(told: Mapping[str, Any]) -> Turn:
    is_wanted = told.get("wanted", False)  # what it is stored as, only its server knows
    state = RUNNING if is_wanted and told["state"] != QUEUED else told["state"]
    served = next((number for number, name in SERVED.items() if name == told.get("served")), 0)
    return Turn(state, told.get("priority", 0), served=served, left=not is_wanted)


def _groups(told: list[dict[str, Any]]) -> list[ErrorGroup]:
    found, number = [], 0
    for group in told:
        until = number + len(group["examples"])
        first, last = (round(seconds_of(group[name]) * 1000) for name in ("first", "last"))
        found.append(
            ErrorGroup(
                group["error_type"],
                group["error"],
                group["frame"],
                group["failed"],
                group["attempts"],
                first,
                last,
                list(range(number, until)),
            )
        )
        number = until
    return found
