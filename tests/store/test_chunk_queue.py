"""The chunk queue among processes: no item is given twice, none is lost, whoever dies."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import claimant as claimant_program
import pytest
from batches import fill, make_batch, make_records
from waiting import wait_until

from batchq.engine.failures import plain_failure
from batchq.model import FailedAttempt, Outcome
from batchq.store.batch import BatchStore
from batchq.store.chunks import ChunkQueue, Claim, ranges
from batchq.store.connection import Connection, transaction
from batchq.store.due import Due
from batchq.store.outcomes import OutcomeWriter
from batchq.store.recorder import Recorder, RecorderSettings

Opener = Callable[[Path], Connection]
Supervised = Callable[[Path], BatchStore]


MESSAGES = 20_000
ITEMS_EACH = 2


def _ledger(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.mark.slow
def test_four_claimants_of_which_two_are_killed_get_every_item_once(tmp_path: Path, supervised: Supervised) -> None:
    total = MESSAGES * ITEMS_EACH
    database = make_batch(tmp_path, [], chunk_size=ITEMS_EACH)
    records = make_records([str(n) for n in range(1, total + 1)])
    for start in range(0, total, 30_000):
        fill(database, records[start : start + 30_000], ITEMS_EACH, start)
    names = ["k1", "k2", "s1", "s2"]
    ledgers = {name: tmp_path / f"{name}.ledger" for name in names}
    gate = tmp_path / "gate"
    # Until two are killed none has more than a quarter: there is something to claim all the time.
    processes = {
        name: subprocess.Popen(
            [sys.executable, claimant_program.__file__, database, name, ledgers[name], str(total // 4 - 100), gate]
        )
        for name in names
    }
    killed_after = random.Random(11)
    for name in ("k1", "k2"):
        target = killed_after.randint(1000, 5000)
        wait_until(lambda name=name, target=target: len(_ledger(ledgers[name])) > target)
        processes[name].send_signal(signal.SIGKILL)
        processes[name].wait()
    gate.touch()
    store = supervised(database)
    for name in ("k1", "k2"):
        held = [seq for _, first, last, _ in store.queue.claims_of(name) for seq in range(first, last + 1)]
        assert 0 < len(held) <= 2 * claimant_program.WANT
        store.take_over(name, held)
    for name in ("s1", "s2"):
        assert processes[name].wait(timeout=120) == 0

    given = Counter(seq for path in ledgers.values() for seq in _ledger(path))
    twice = {seq for seq, count in given.items() if count > 1}
    by_killed = set(_ledger(ledgers["k1"])) | set(_ledger(ledgers["k2"]))
    assert set(given) == set(range(1, total + 1)), "an item was lost"
    assert twice <= by_killed and len(twice) <= 4 * claimant_program.WANT, "an item was given twice"
    assert store.check() == []
    assert store.tally().success == total
    store.end_input()
    assert store.complete()


def test_lowest_items_come_first_also_after_they_were_put_back(tmp_path: Path, opened: Opener) -> None:
    database = make_batch(tmp_path, [str(n) for n in range(1, 101)], chunk_size=10)
    connection = opened(database)
    queue = ChunkQueue(connection, "w", epoch=1)
    with transaction(connection):
        first = queue.claim(15)
        queue.give_back(first.chunks[1][0].message_id, 13)
        again = queue.claim(3)
    assert [item.seq for _, items in first.chunks for item in items] == list(range(1, 16))
    assert [item.seq for _, items in again.chunks for item in items] == [13, 14, 15]


def test_what_is_put_back_in_part_leaves_a_range_claimed_and_remembers_its_attempts(
    tmp_path: Path, supervised: Supervised, opened: Opener
) -> None:
    database = make_batch(tmp_path, [str(n) for n in range(1, 11)], chunk_size=10)
    store = supervised(database)
    connection = opened(database)
    queue = ChunkQueue(connection, "w", epoch=1)
    now_ms = int(time.time() * 1000)
    failed = FailedAttempt(9, 1, 1, now_ms, 0, 1, 60_000, plain_failure("ConnectionError", "not yet", "not yet"))
    with transaction(connection):
        ((chunk, _),) = queue.claim(10).chunks
        OutcomeWriter(connection).record([Outcome(4, 1, 1, 5, 0, 1, "4", None)], [failed])
        queue.put_back(chunk.message_id, [1, 2, 5, 9])
    assert store.check() == []
    assert [(first, last) for _, first, last, _ in queue.claims_of("w")] == [(3, 10)], "5 and 9 are within it"
    with transaction(connection):
        queue.put_back(chunk.message_id, [8, 9, 10])
        taken = queue.claim(10)
    assert [item.seq for _, items in taken.chunks for item in items] == [1, 2, 8, 9, 10]
    waits = {item.seq: (item.attempts, item.wait_ms) for _, items in taken.chunks for item in items}
    assert waits[9][0] == 1 and 50_000 < waits[9][1] <= 60_000
    assert waits[1] == waits[10] == (0, 0)
    assert store.check() == []


def test_last_item_of_a_chunk_may_end_while_the_others_are_put_back(tmp_path: Path, supervised: Supervised) -> None:
    database = make_batch(tmp_path, ["1", "2", "3"])
    store = supervised(database)
    claims: SimpleQueue[Claim] = SimpleQueue()
    recorder = Recorder(RecorderSettings(database, "normal", "w", 1, 1, 10), claims.put, lambda: None, pytest.fail)
    recorder.start()
    recorder.want(3)
    ((chunk, _),) = claims.get(timeout=30).chunks
    outcome = Outcome(3, 1, 1, 5, 0, 1, "3", None)
    recorder.take(Due([outcome], finished=[chunk.message_id], put_back=[(chunk.message_id, [1, 2])]))
    recorder.close()
    assert recorder.join(30)
    assert store.check() == []
    assert store.queue.any_ready()


def test_each_of_very_many_claimants_gets_what_it_wants_while_there_is_plenty_then_its_share(
    tmp_path: Path, opened: Opener
) -> None:
    ready = 3000
    connection = opened(make_batch(tmp_path, [str(n) for n in range(1, ready + 1)], chunk_size=10))
    queue = ChunkQueue(connection, "w", epoch=1)
    taken: list[int] = []
    while ready:
        with transaction(connection):
            claim = queue.claim(20, claimants=40, chunk_size=10)
        assert claim.items == min(20, -(-ready // 40))
        taken += [item.seq for _, items in claim.chunks for item in items]
        ready -= claim.items
    assert taken == list(range(1, 3001))


def test_no_claimant_takes_more_than_its_share(tmp_path: Path, opened: Opener) -> None:
    database = make_batch(tmp_path, [str(n) for n in range(1, 61)])
    connection = opened(database)
    with transaction(connection):
        claim = ChunkQueue(connection, "w", epoch=1).claim(1000, claimants=3)
    assert claim.items == 20


def test_a_claim_is_bounded_in_bytes_but_never_empty(tmp_path: Path, opened: Opener) -> None:
    large = json.dumps("x" * 5_000_000)
    database = make_batch(tmp_path, [large] * 4)
    connection = opened(database)
    queue = ChunkQueue(connection, "w", epoch=1)
    with transaction(connection):
        assert queue.claim(4).items == 1


def test_payloads_of_any_text_come_back_as_they_were(tmp_path: Path, opened: Opener) -> None:
    payloads = [json.dumps(text, ensure_ascii=False) for text in ("é", "漢字", "🙂 x", "", 'a"b', "\u2028", "\x00")]
    database = make_batch(tmp_path, payloads)
    connection = opened(database)
    with transaction(connection):
        claim = ChunkQueue(connection, "w", epoch=1).claim(100)
    assert [item.payload for _, items in claim.chunks for item in items] == payloads


def test_a_claimant_of_an_older_epoch_gets_nothing(tmp_path: Path, opened: Opener) -> None:
    database = make_batch(tmp_path, ["1"])
    connection = opened(database)
    with transaction(connection):
        assert not ChunkQueue(connection, "w", epoch=0).claim(1).open


def test_ack_of_a_chunk_taken_over_changes_nothing(tmp_path: Path, opened: Opener, supervised: Supervised) -> None:
    database = make_batch(tmp_path, ["1", "2"])
    store = supervised(database)
    connection = opened(database)
    queue = ChunkQueue(connection, "old", epoch=1)
    with transaction(connection):
        chunk = queue.claim(2).chunks[0][0]
    store.take_over("old", [1, 2])
    with transaction(connection):
        queue.ack_all([chunk.message_id])
    assert store.check() == []
    assert store.queue.any_ready()
    assert store.tally().interruptions == 2


def test_items_with_an_outcome_are_not_given_again(tmp_path: Path, opened: Opener, supervised: Supervised) -> None:
    database = make_batch(tmp_path, ["1", "2", "3"])
    store = supervised(database)
    connection = opened(database)
    queue = ChunkQueue(connection, "w", epoch=1)
    with transaction(connection):
        queue.claim(3)
        OutcomeWriter(connection).record([Outcome(2, 1, 1, 5, 0, 1, "2", None)])
    store.take_over("w", [1, 3])
    with transaction(connection):
        claim = queue.claim(3)
    assert [item.seq for _, items in claim.chunks for item in items] == [1, 3]
    assert store.check() == []


def test_suspects_leave_their_chunk_for_their_own_lane(tmp_path: Path, opened: Opener, supervised: Supervised) -> None:
    database = make_batch(tmp_path, [str(n) for n in range(1, 11)])
    store = supervised(database)
    connection = opened(database)
    queue = ChunkQueue(connection, "w", epoch=1)
    with transaction(connection):
        queue.claim(10)
    store.take_over("w", [3, 4], {3: 1, 4: 1})
    with transaction(connection):
        alone = queue.claim(10, lane=1)
        others = queue.claim(10)
    assert [item.seq for _, items in alone.chunks for item in items] == [3, 4]
    assert [item.seq for _, items in others.chunks for item in items] == [1, 2, *range(5, 11)]
    assert store.check() == []


@pytest.mark.slow
def test_the_cost_of_a_claim_does_not_grow_with_the_chunks_that_are_done(tmp_path: Path, opened: Opener) -> None:
    database = make_batch(tmp_path, [str(n) for n in range(1, 20_001)], chunk_size=1)
    connection = opened(database)
    queue = ChunkQueue(connection, "w", epoch=1)
    steps: list[int] = []
    for _ in range(200):
        counter = [0]

        def count(counter: list[int] = counter) -> int:
            counter[0] += 1
            return 0

        connection.set_progress_handler(count, 10)
        with transaction(connection):
            claim = queue.claim(100, chunk_size=1)
            queue.ack_all([chunk.message_id for chunk, _ in claim.chunks])
        connection.set_progress_handler(None, 10)
        steps.append(counter[0])
    assert claim.items == 100
    assert max(steps[-20:]) <= 1.2 * max(steps[:20]), "virtual machine steps per claim and ack"


def test_ranges_join_neighbours() -> None:
    assert ranges([]) == []
    assert ranges([5, 6, 8]) == [(5, 6), (8, 8)]
