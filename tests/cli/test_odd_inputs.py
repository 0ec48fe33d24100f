"""A batch with more workers than items, whose records repeat their ids."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import ledger
from command import Bench, workers
from waiting import wait_until

import batchq
from batchq.store.connection import open_reader

IDS = ["a", "b", "a", "1", 1, None, None]


def test_no_worker_is_idle_from_the_start_and_items_of_one_id_are_told_apart(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    records = [{"n": n} | ({} if item_id is None else {"id": item_id}) for n, item_id in enumerate(IDS, 1)]
    (tmp_path / "input.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    process = bench.start("held", "-w", "16", "-c", "64", "--chunk-size", "1")
    wait_until(lambda: len(ledger.read(bench.ledger)) == len(IDS))
    assert 1 <= len(workers(process.pid)) <= len(IDS)
    (tmp_path / "gate").touch()
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, "7 succeeded" in stdout) == (0, True), stderr
    assert stderr.count("1 item has an id that an earlier item has; all run, told apart by seq") == 1

    rows = list(batchq.open("b1", home=bench.home).results())
    assert [row["idea_id"] for row in rows] == ["a", "b", "a", "1", 1, "item-6", "item-7"]
    assert [row["seq"] for row in rows] == list(range(1, 8))
    with closing(open_reader(bench.database)) as connection:
        messages = connection.execute("SELECT count(*) FROM ack_queue_chunks").fetchone()[0]
    assert messages == 0, "what is done leaves nothing in the queue"
