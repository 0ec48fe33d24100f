"""Batches of several stages: what a stage has given is kept, and only what has not succeeded runs again."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import ledger
import pytest
import staged
from batches import make_batch, make_spec
from command import Bench, ended, kill, members, wait_until_gone
from earlier import make_earlier
from sinks import run_items
from waiting import wait_until

from batchq.app.item_text import item_text
from batchq.app.items import find_items
from batchq.app.restored import restored_item
from batchq.app.results import Wanted, of_stage, text_of
from batchq.app.verbs import check_work
from batchq.config import RetryConfig
from batchq.context import Context
from batchq.engine.failures import plain_failure
from batchq.engine.job import Job
from batchq.engine.retry import RetryHandler
from batchq.engine.work import opened
from batchq.errors import TargetError, UsageError
from batchq.handlers import Handler
from batchq.model import FailedAttempt, Item, Outcome, StageResult
from batchq.ready import Work
from batchq.redaction import Redaction
from batchq.store.batch import BatchStore
from batchq.store.chunks import ChunkQueue
from batchq.store.connection import open_reader, open_writer, transaction
from batchq.store.home import BatchFolder
from batchq.store.outcomes import Group, OutcomeWriter
from batchq.store.reading import reading
from batchq.store.repair import repair
from batchq.store.rerun import rerun
from batchq.store.seal import Seal

STAGED = Path(staged.__file__)


def started(bench: Bench, second: str, *options: str) -> tuple[str, ...]:
    stages = ("--func", f"{STAGED}:title", "--then", f"{STAGED}:{second}")
    return ("start", "input.jsonl", *stages, "--id", "b1", "-w", "1", *options)


def stages_kept(bench: Bench) -> int:
    if not bench.database.exists():
        return 0
    with closing(open_reader(bench.database)) as connection:
        count: int = connection.execute("SELECT count(*) FROM stages").fetchone()[0]
    return count


def test_stage_whose_result_is_committed_never_runs_again_after_everything_is_killed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(6)
    process = bench.begin(*started(bench, "held", "-c", "4"))
    wait_until(lambda: stages_kept(bench) == 4)
    wait_until(lambda: Counter(word for word, _ in ledger.read(bench.ledger))["held"] == 4)
    kill(members(process.pid))
    ended(process)
    wait_until_gone(process.pid)

    resumed = bench.run("resume", "b1", "--then", f"{STAGED}:script")
    assert resumed.returncode == 0, resumed.stderr
    assert "staged.py:script has changed since the batch began" in resumed.stderr
    runs = Counter(ledger.read(bench.ledger))
    assert {(word, n): count for (word, n), count in runs.items() if word != "held"} == {
        (word, n): 1 for word in ("title", "script") for n in range(1, 7)
    }
    results = {n: (1, [f"t{n}", f"i{n}", 2, 1, f"{n}:2"]) for n in range(1, 7)}
    assert bench.outcomes() == results
    assert bench.broken_invariants() == []
    with reading(bench.database) as reader:
        kept = [json.loads(line) for text in text_of(reader, Wanted(stage=1)) for line in text.splitlines()]
        assert [(row["seq"], row["result"]["title"]) for row in kept] == [(n, f"t{n}") for n in range(1, 7)]
        assert [row.seq for row in of_stage(reader, 2)] == [row.seq for row in reader.results()]
        with pytest.raises(UsageError, match="no stage 3: the batch has stages 1 to 2"):
            of_stage(reader, 3)
        with pytest.raises(UsageError, match="no stage 0"):
            list(text_of(reader, Wanted(stage=0)))


def test_only_the_stage_that_has_failed_is_tried_again_and_retried(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(2)
    options = ("--retry-attempts", "2", "--retry-delay", "0.01", "--json", "-q")
    failed = bench.run(*started(bench, "refused", *options))
    assert failed.returncode == 1, failed.stderr
    report = json.loads(failed.stdout)
    assert [(row["seq"], row["attempts"], row["stage"]) for row in report["failures"]] == [(2, 2, 2)]
    assert report["recovered"] == 1
    assert Counter(ledger.read(bench.ledger)) == {
        **{("title", n): 1 for n in (1, 2)},
        **{("refused", n): 2 for n in (1, 2)},
    }

    (tmp_path / "gate").touch()
    retried = bench.run("retry", "b1", "-q")
    assert retried.returncode == 0, retried.stderr
    assert Counter(ledger.read(bench.ledger))[("title", 2)] == 1
    assert bench.outcomes()[2] == (2, ["t2", 1, "2:r2:2"])
    assert bench.broken_invariants() == []
    (item,) = find_items(BatchFolder(bench.home / "b1"), "#2")
    told = [(attempt.run, attempt.stage, attempt.number, attempt.status) for attempt in item.history]
    assert told == [(1, 1, 1, "success"), (1, 2, 1, "failed"), (1, 2, 2, "failed"), (2, 2, 1, "success")]
    shown = item_text(item)
    assert "Stage 1, attempt 1 of run 1 at " in shown and '"title": "t2"' in shown
    assert "as stage 2, attempt 1: ConnectionError: no script for t2" in shown
    assert restored_item("b1", item.to_json()).history[0].result == '{"n": 2, "title": "t2"}'


def test_stages_may_be_sync_and_async_and_each_has_its_own_attempts_and_timeout() -> None:
    async def first(item: Any) -> dict[str, Any]:
        await asyncio.sleep(0.2)
        return {"first": item}

    def second(got: Any, ctx: Context) -> list[Any]:
        if ctx.attempt == 1:
            raise ValueError("once")
        return [got, ctx.payload, ctx.stage]

    async def third(got: Any, ctx: Context) -> list[Any]:
        await asyncio.sleep(0.2 if ctx.attempt == 2 or got[1] != 0 else 30)
        return [*got, ctx.attempt, ctx.idempotency_key]

    retry = RetryConfig(max_attempts=2, initial_delay=0.01)
    # All stages together take longer than the limit of one attempt.
    sink = asyncio.run(run_items(first, range(3), timeout=0.5, retry=retry, then=[second, third]))
    assert {seq: json.loads(outcome.result) for seq, outcome in sink.outcomes.items()} == {
        n + 1: [{"first": n}, n, 2, 1 if n else 2, f"u:{n + 1}:3"] for n in range(3)
    }
    assert [(attempt.seq, attempt.stage, attempt.number) for attempt in sink.attempts if attempt.seq == 1] == [
        (1, 2, 1),
        (1, 3, 2),
    ]
    assert sorted((result.seq, result.stage, result.attempts) for result in sink.stages) == [
        (seq, stage, stage) for seq in (1, 2, 3) for stage in (1, 2)
    ]


def test_redelivered_item_begins_at_its_first_stage_without_a_result(tmp_path: Path) -> None:
    database = make_batch(tmp_path, ['"a"', '"b"'], stages=("later:one", "later:two"))
    failure = plain_failure("ValueError", "no", "no")
    with closing(open_writer(database)) as connection:
        with transaction(connection):
            results = [StageResult(1, stage, 1, 1, 500, 9, 7, f'"r{stage}"') for stage in (1, 2)]
            attempts = [FailedAttempt(1, 1, n, 9, 1000, 7, 0, failure, stage) for n, stage in ((1, 1), (2, 3))]
            OutcomeWriter(connection).write(Group([], attempts, results))
            # A second result of a stage is refused: what came after was made of the first.
            OutcomeWriter(connection).write(Group([], (), [results[0]._replace(result='"other"')]))
            ChunkQueue(connection, "c", 1).claim(2)
            ChunkQueue(connection).resume_unack_tasks()
        with transaction(connection):
            _, items = ChunkQueue(connection, "c", 1, stages=2).claim(2).chunks[0]
        assert [(item.stage, item.payload, item.tries, item.attempts, item.spent_us) for item in items] == [
            (3, '"r2"', 1, 2, 3000),
            (1, '"b"', 0, 0, 0),
        ]
        assert items[0].payloads == ('"r2"', '"a"')
        with transaction(connection):
            ChunkQueue(connection).resume_unack_tasks()
            _, items = ChunkQueue(connection, "c", 1, stages=1).claim(2).chunks[0]
        # Of fewer stages than it has done already, the last one runs.
        assert [(item.stage, item.payload) for item in items] == [(2, '"r1"'), (1, '"b"')]
    with closing(BatchStore(database)) as store:
        assert tuple(store.standing(1, 2)) == (1, 2, 3000, 2, 1)
        assert tuple(store.standing(1, 1)) == (1, 2, 3000, 1, 1)
        assert store.check() == []
    with closing(open_writer(database)) as connection:
        connection.execute("UPDATE stages SET seq = 9 WHERE stage = 2")
    with closing(BatchStore(database)) as store:
        assert store.check() == ["1 results of stages are of no item"]
    assert repair(database, "normal", 50) == []


def test_retry_begins_at_an_earlier_stage_where_it_is_told_to(tmp_path: Path) -> None:
    database = make_batch(tmp_path, ['"a"', '"b"'], stages=("later:one", "later:two"))
    failure = plain_failure("ValueError", "no", "no")
    with closing(open_writer(database)) as connection:
        with transaction(connection):
            results = [StageResult(seq, stage, 1, 1, 500, 9, 7, f'"r{stage}"') for seq in (1, 2) for stage in (1, 2)]
            failed = [Outcome(seq, 1, 1, 2000, 9, 7, None, failure) for seq in (1, 2)]
            OutcomeWriter(connection).write(Group(failed, (), results))
            ChunkQueue(connection, "c", 1).claim(2)
            ChunkQueue(connection, "c", 1).ack_all([1])
        assert rerun(database, "normal", lambda row: row.seq == 1, from_stage=2) == 1
        assert rerun(database, "normal", lambda row: row.seq == 2) == 1
        with transaction(connection):
            chunks = ChunkQueue(connection, "c", 1, stages=2).claim(2).chunks
        items = [item for _, here in chunks for item in here]
        assert [(item.run, item.stage, item.payload, item.tries, item.spent_us) for item in items] == [
            (2, 2, '"r1"', 0, 0),
            (2, 3, '"r2"', 0, 0),
        ]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_file_without_stages_is_shown_as_before(tmp_path: Path, version: int) -> None:
    database = make_batch(tmp_path, ["1"])
    with closing(open_writer(database)) as connection, transaction(connection):
        failed = FailedAttempt(1, 1, 1, 9, 1000, 7, None, plain_failure("ValueError", "no", "no"))
        OutcomeWriter(connection).record([], [failed])
    make_earlier(database, version)
    (item,) = find_items(BatchFolder(tmp_path), 1)
    assert [(attempt.stage, attempt.number, attempt.error) for attempt in item.history] == [(1, 1, "no")]
    open_writer(database).close()  # as resume does: it knows of stages then, and tells the same
    assert find_items(BatchFolder(tmp_path), 1) == [item]


def test_resource_is_shared_by_functions_and_not_with_ready_made_work() -> None:
    async def resources(work: Work) -> list[Any]:
        async with opened(work) as (first, later):
            return [first, *(stage.resource for stage in later)]

    handler = Handler.of(lambda item: item)
    client, database = (lambda: nullcontext("client")), (lambda: nullcontext("database"))
    assert asyncio.run(resources(Work(handler, client, stages=(handler, handler)))) == ["client"] * 3
    for setup, found in ((database, "database"), (nullcontext, None)):
        work = Work(handler, client, stages=(handler,), stages_setup=setup)
        assert asyncio.run(resources(work)) == ["client", found]
    assert asyncio.run(resources(Work(handler, client))) == ["client"]


def test_what_may_not_be_shown_is_hidden_at_each_stage() -> None:
    item = Item(1, "a", '{"key": "s3cret"}', 1, 0).after_stage('{"key": "t0ken"}', 5)
    job = Job(Handler.of(print), RetryHandler(RetryConfig()), None, redaction=Redaction(["key"]))
    failure = job.failed_attempt(item, ValueError("no s3cret, no t0ken"), 0.1, None).failure
    assert failure.error == "no [redacted], no [redacted]"


def test_later_stage_is_checked_sealed_and_part_of_what_changes(tmp_path: Path) -> None:
    path = tmp_path / "stages_here.py"
    path.write_text("def one(item):\n    return item\n\n\ndef two(item):\n    return item\n")
    spec = make_spec(f"{path}:one", tmp_path, stages=(f"{path}:two",))
    with pytest.raises(TargetError, match="no 'too'"):
        check_work(make_spec(f"{path}:one", tmp_path, stages=(f"{path}:too",)))
    alone = make_spec(f"{path}:one", tmp_path)
    assert check_work(spec).fingerprint not in (None, check_work(alone).fingerprint)
    seal = Seal(tmp_path)
    assert seal.fits(seal.over(spec, None), spec, None)
    assert not seal.fits(seal.over(alone, None), spec, None)
