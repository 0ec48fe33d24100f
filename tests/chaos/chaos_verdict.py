"""What must hold when a chaos schedule is over, whatever its faults were: the promise, item by item.

Nothing is lost       every item that was stored has an outcome (or the batch was cancelled), and all were stored
Recorded once         one row an item, the right one, and no attempt began behind it
Little runs again     after each crash, at most what was in flight and what was uncommitted
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from chaos_handler import error_of, value_of
from chaos_plan import CRASHING, HANGING, OUT, Plan
from chaos_run import Run
from chaos_witness import attempts

from batchq.store.batch import BatchStore
from batchq.store.connection import open_reader

ROWS: Final = """
SELECT i.seq, i.payload, i.deaths, (SELECT count(*) FROM attempts a WHERE a.seq = i.seq),
       o.success, o.attempts, o.error_type, o.error, o.result
FROM items i LEFT JOIN outcomes o ON o.seq = i.seq
"""
FAILURES: Final = {
    **dict.fromkeys(CRASHING, "WorkerCrashed"),
    **dict.fromkeys(HANGING, "ItemTimeout"),
    "fails": "ValueError",
    "permanent": "Permanent",
}
"""How items of each kind fail, by the end of the error's type; the others succeed."""


class Row(NamedTuple):
    """An item with its outcome, or with one of them."""

    seq: int
    payload: str
    deaths: int
    failed_attempts: int
    success: int | None
    attempts: int
    error_type: str | None
    error: str | None
    result: str | None


@dataclass
class Verdict:
    """What was found.

    Attributes:
        lost: items without an outcome, in a batch that was to have them all.
        twice: items with more than one outcome, or that ran behind it.
        again: runs beyond those that are recorded as attempts.
        beyond: how many of them the promise does not allow.
        crashed: harmless items that were killed from outside, alone, often enough to be blamed for it.
        wrong: everything else that is not as it should be, in words.
    """

    lost: int = 0
    twice: int = 0
    again: int = 0
    beyond: int = 0
    crashed: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """All that is against the promise, in words."""
        counts = {"lost": self.lost, "recorded or run twice": self.twice, "run again beyond the promise": self.beyond}
        return [f"{count} items {what}" for what, count in counts.items() if count] + self.wrong


def judge(run: Run) -> Verdict:
    """Look at everything that a finished run has left."""
    verdict = Verdict(wrong=list(run.wrong))
    plan = run.plan
    with closing(open_reader(run.database)) as connection:
        rows = [Row(*row) for row in connection.execute(ROWS)]
        outcomes = set(connection.execute("SELECT seq, run FROM outcomes"))
    by_n: dict[int, list[Row]] = {}
    for row in rows:
        by_n.setdefault(json.loads(row.payload)["n"], []).append(row)
    cancelled = run.state() == "cancelled"
    stored = _stored(verdict, run, by_n)
    for n in range(1, stored + 1):
        found = by_n[n]
        if len(found) > 1:
            verdict.twice += 1
        elif found[0].success is None:
            verdict.lost += not cancelled
        else:
            _look_at_outcome(verdict, plan, plan.items[n - 1], found[0], run.crashes)
    if plan.writes:
        _look_at_file(verdict, run, outcomes)
    _look_at_ledger(verdict, run, {n: found[0] for n, found in by_n.items()})
    _ask(verdict, run, rows)
    return verdict


def _look_at_file(verdict: Verdict, run: Run, outcomes: set[tuple[int, int]]) -> None:
    """The file of ``--out`` has each outcome once; of a batch cancelled while nobody ran it, perhaps not all."""
    path = run.folder / OUT
    *lines, rest = path.read_text().split("\n") if path.exists() else [""]
    there = Counter((line["seq"], line["run"]) for line in map(json.loads, lines))
    cancelled = run.state() == "cancelled"
    if max(there.values(), default=1) > 1 or not there.keys() <= outcomes or (rest and not cancelled):
        verdict.wrong.append(f"{OUT} has a line twice, one that is nobody's, or a torn one")
    if not cancelled and there.keys() != outcomes:
        verdict.wrong.append(f"{OUT} has {len(there)} of {len(outcomes)} outcomes")


def _stored(verdict: Verdict, run: Run, by_n: dict[int, list[Row]]) -> int:
    """How many items should be there: all, but of a pipe or a cancelled batch those up to where it was cut off."""
    total = len(run.plan.items)
    stored = len(by_n)
    if set(by_n) != set(range(1, stored + 1)):
        verdict.wrong.append("the items stored are not the first ones of the input")
    may_be_cut = run.state() == "cancelled" or (run.plan.piped and run.crashes)
    if stored != total and not may_be_cut:
        verdict.wrong.append(f"{stored} of {total} items were stored")
    return stored


def _look_at_outcome(verdict: Verdict, plan: Plan, item: dict[str, Any], row: Row, crashes: int) -> None:
    n, kind = item["n"], item["kind"]
    expected = FAILURES.get(kind)
    if row.success:
        attempts_made = 1 + (item["failures"] if kind == "flaky" else 0)
        right = expected is None and json.loads(row.result or "null") == value_of(n) and row.attempts == attempts_made
    elif row.error_type and row.error_type.endswith("WorkerCrashed") and kind not in CRASHING:
        # Killed from outside while it ran alone, which must have happened as often as it is blamed for.
        verdict.crashed += 1
        right = row.deaths >= 2 and crashes + (kind == "dies_once") >= 2
    else:
        right = bool(expected and row.error_type and row.error_type.endswith(expected))
        if kind in ("fails", "permanent"):
            right = right and row.error == error_of(n)
            right = right and row.attempts == (1 if kind == "permanent" else plan.retry_attempts)
    if not right:
        verdict.wrong.append(f"item {n} ({kind}) has the outcome {row[4:]}")


def _look_at_ledger(verdict: Verdict, run: Run, rows: dict[int, Row]) -> None:
    begun: Counter[int] = Counter()
    late: set[int] = set()
    for attempt in attempts(run.ledger):
        if attempt.word != "start":
            continue
        begun[attempt.n] += 1
        row = rows.get(attempt.n)
        if row is None:
            verdict.wrong.append(f"item {attempt.n} ran, and is not stored")
        elif attempt.seconds > run.observer.seen.get(row.seq, float("inf")):
            late.add(attempt.n)
    verdict.twice += len(late)
    if late:
        verdict.wrong.append(f"items ran behind their outcome: {sorted(late)[:10]}")
    idle = [n for n, row in rows.items() if row.success is not None and not begun[n]]
    if idle:
        verdict.wrong.append(f"items have an outcome and never ran: {idle[:10]}")
    kinds = {item["n"]: item["kind"] for item in run.plan.items}
    verdict.again = sum(max(0, count - _recorded(rows.get(n))) for n, count in begun.items())
    # Each run of an item that takes its process along is a crash of its own.
    blocking = sum(begun[n] for n, kind in kinds.items() if kind == "blocks")
    crashes = run.crashes + sum(begun[n] for n, kind in kinds.items() if kind in (*CRASHING, "dies_once"))
    # A worker that the machine itself has stopped for longer than the timeout is taken for one that hangs.
    hung = (run.home / "b1" / "batch.log").read_text().count(" hung for ")
    crashes += max(blocking, hung)
    verdict.beyond = max(0, verdict.again - crashes * (run.concurrency + run.plan.cap))


def _recorded(row: Row | None) -> int:
    if row is None:
        return 0
    # A batch may be cancelled while an item waits for its next attempt.
    return row.attempts if row.success is not None else row.failed_attempts


def _ask(verdict: Verdict, run: Run, rows: list[Row]) -> None:
    """What the commands say of it: one of them each time, since a command costs as much as fifty items."""
    with closing(BatchStore(run.database)) as store:
        verdict.wrong += store.check()
    ask = (_ask_check, _ask_counts, _ask_counts)[run.plan.seed % 3]
    ask(verdict, run, rows)
    if run.plan.seed % 4:
        return
    again = run.run("resume", "b1", "-q")
    if again.returncode != 0:
        verdict.wrong.append(f"resume of an ended batch: {again.returncode}, {again.stderr}")


def _ask_check(verdict: Verdict, run: Run, rows: list[Row]) -> None:
    check = run.run("check", "b1")
    if check.returncode != 0:
        verdict.wrong.append(f"check: {check.stdout}{check.stderr}")


def _ask_counts(verdict: Verdict, run: Run, rows: list[Row]) -> None:
    good = sum(1 for row in rows if row.success == 1)
    bad = sum(1 for row in rows if row.success == 0)
    command = ("status", "report")[run.plan.seed % 2]
    told = json.loads(run.run(command, "b1", "--json").stdout)
    counts = [told[key] for key in ("total_items", "success_count", "failure_count")]
    if counts != [len({row.seq for row in rows}), good, bad]:
        verdict.wrong.append(f"{command} says {counts}, the rows say {good} and {bad} of {len(rows)}")
