"""Batches with everything that a report can show, made by hand: hours of work in a few milliseconds."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from batches import fill, make_batch, make_records

from batchq.engine.failures import plain_failure
from batchq.model import FailedAttempt, Failure, Outcome
from batchq.store.batch import BatchStore
from batchq.store.connection import open_plain, open_writer, transaction
from batchq.store.outcomes import OutcomeWriter

BEGIN = 1_795_762_800
"""2026-11-26 07:00:00 UTC."""
NASTY = "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">&\"'\x1b\x00"
SPANS = ((0, 1500), (1800, 2700), (30_000, 31_200))
"""Seconds from the begin in which somebody worked: a short pause, and a night."""
ERRORS = (
    ("httpx.ReadTimeout", "the read operation timed out after 30 s", "pipeline.py:41 in ask"),
    ("openai.RateLimitError", "429: you are sending requests too quickly; please wait", "pipeline.py:41 in ask"),
    ("KeyError", "KeyError('topic')", "pipeline.py:12 in make_title"),
    ("ValueError", NASTY, f"{NASTY}.py:1 in run"),
)


def make_reported(folder: Path, items: int = 2000, failing: float = 0.06, seed: int = 7) -> Path:
    """The file of a completed batch of so many items, of which a share has failed, with ids that are markup."""
    rng = random.Random(seed)
    database = make_batch(folder, [])
    records = [
        record._replace(item_id=f"{NASTY}{record.line}" if record.line % 40 == 7 else f"idea-{record.line}")
        for record in make_records(["{}"] * items)
    ]
    fill(database, records)
    worked = sum(end - start for start, end in SPANS)
    outcomes, attempts = [], []
    for seq in range(1, items + 1):
        outcome, failed = _outcome(rng, seq, _moment(worked * (seq - 0.5) / items), rng.random() < failing)
        outcomes.append(outcome)
        attempts += failed
    with closing(open_writer(database)) as connection, transaction(connection):
        writer = OutcomeWriter(connection)
        for start in range(0, items, 500):
            some = {outcome.seq for outcome in outcomes[start : start + 500]}
            writer.record(outcomes[start : start + 500], [each for each in attempts if each.seq in some])
        connection.execute("DELETE FROM ack_queue_chunks")  # nothing is left to run
        end(connection, "completed")
    return database


def end(connection: Any, state: str, reason: str | None = None) -> None:
    """Let the batch stand as it would after the last span."""
    connection.execute("UPDATE batch SET input_done = 1")
    connection.execute("DELETE FROM sessions")
    for epoch, (start, stop) in enumerate(SPANS, 1):
        row = (epoch, BEGIN + start, (stop - start) * 1000)
        connection.execute("INSERT INTO sessions (epoch, pid, started_at, active_ms) VALUES (?, 1, ?, ?)", row)
    connection.execute(
        "UPDATE batch SET state = ?, reason = ?, started_at = ?, ended_at = ?",
        (state, reason, BEGIN, BEGIN + SPANS[-1][1] if state in ("completed", "cancelled", "failed") else None),
    )


def set_state(database: Path, state: str, reason: str | None = None) -> None:
    """Let a batch stand in `state`."""
    with closing(BatchStore(database)) as store, transaction(store.connection):
        end(store.connection, state, reason)


def made_at(home: Path, ages: Mapping[str, float]) -> None:
    """Batches without items that have completed, none of which was run.

    Args:
        home: of which batches.
        ages: seconds since each was made, by its id.
    """
    (apart := home.with_name("made") / "whole").mkdir(parents=True)
    set_state(make_batch(apart, []), "completed")
    now = time.time()  # one for all: their order is that of their ages, however long each of them takes
    for name, age in ages.items():
        made = shutil.copytree(apart, apart.with_name(name))
        with closing(open_plain(made / "batch.db")) as connection:
            connection.execute("UPDATE batch SET batch_id = ?, created_at = ?", (name, now - age))
        made.rename(home / name)
    shutil.rmtree(apart.parent)


def _outcome(rng: random.Random, seq: int, ended_ms: int, fails: bool) -> tuple[Outcome, list[FailedAttempt]]:
    spent = int(rng.lognormvariate(13.6, 0.55))
    tries = 1 + (rng.random() < 0.12) + (rng.random() < 0.03)
    worker = 100_000 * (1 + (seq % 3)) + 1 + (rng.random() < 0.46)
    failure = None
    failed = 3 if fails else tries - 1
    attempts = []
    for number in range(1, failed + 1):
        failure = _failure(rng)
        last = fails and number == failed
        attempts.append(FailedAttempt(seq, 1, number, ended_ms - 1, spent, worker, None if last else 1000, failure))
    if not fails:
        return Outcome(seq, 1, tries, spent * tries, ended_ms, worker, '{"title": "Tea"}', None), attempts
    return Outcome(seq, 1, 3, spent * 3, ended_ms, worker, None, failure), attempts


def _failure(rng: random.Random) -> Failure:
    kind, message, frame = rng.choices(ERRORS, weights=(8, 5, 2, 1))[0]
    return plain_failure(kind, message, message)._replace(frame=frame, fingerprint=f"{kind}{frame}")


def _moment(worked: float) -> int:
    """Milliseconds since 1970 at which so many seconds were worked."""
    for start, stop in SPANS:
        if worked <= stop - start:
            return int(1000 * (BEGIN + start + worked))
        worked -= stop - start
    return int(1000 * (BEGIN + SPANS[-1][1]))
