"""What errors advise is of use to whoever is told: commands on the command line, calls and fields over the API."""

from __future__ import annotations

import pytest

from batchq import errors
from batchq.app.wording import as_calls, as_commands
from batchq.errors import BatchqError, StoreError
from batchq.server.told import told

BATCH = "/api/v1/batches/b1"


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (errors.BatchNotFound("b1", "/home"), "GET /api/v1/batches"),
        (errors.BatchExists("b1"), f"POST {BATCH}/resume"),
        (errors.BatchBusy("b1", "process 12"), f"GET {BATCH}"),
        (errors.FileDamaged("b1/batch.db", "b1", "malformed"), f"GET {BATCH}/results"),
        (errors.DiskFull("/home", "b1", 0), f"POST {BATCH}/resume"),
        (errors.StorageFailed("b1/batch.db", "no"), "POST /api/v1/batches/{batch_id}/resume"),
        (
            StoreError("b1/batch.db", "lost", "Put a copy of it back, or delete the batch: batchq rm b1"),
            f"DELETE {BATCH}",
        ),
    ],
)
def test_commands_are_calls_over_the_api_and_commands_again_with_server(error: BatchqError, call: str) -> None:
    hint = told(error)["hint"]
    assert call in hint and "batchq " not in hint and "--" not in hint
    assert as_commands(hint) == error.hint


@pytest.mark.parametrize(
    "hint",
    [
        errors.SealBroken("b1", has_setup=True).hint,
        errors.HomeError("/home", "no").hint,
        "`batchq resume b1 --input-ended` goes on with what was stored of it.",
        "`batchq results b1 -o FILE` writes the others when the batch has ended.",
    ],
)
def test_what_only_a_command_can_do_is_not_advised_over_the_api(hint: str) -> None:
    assert as_calls(hint) == ""


def test_options_are_fields_and_what_the_owner_can_do_is_said_as_it_is() -> None:
    assert as_calls("Say --input-format csv|jsonl.") == "Say input_format csv|jsonl."
    assert as_commands("Say input_format csv|jsonl.") == "Say --input-format csv|jsonl."
    own = "`batchq serve --root` opens a folder."
    assert as_commands(as_calls(own)) == own
