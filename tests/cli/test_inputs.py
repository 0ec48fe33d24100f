"""`batchq start` over real files: several and compressed ones, a choice of records, huge ones; the rest by `resume`."""

from __future__ import annotations

import gzip
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from command import Bench, wait_until_gone
from waiting import wait_until

from batchq.app.request import StartRequest
from batchq.app.source import source_of
from batchq.app.status import status_of
from batchq.app.text import status_text
from batchq.errors import UsageError
from batchq.store.home import Home
from batchq.store.reading import reading
from batchq.store.rows import ResultRow

HANDLERS = """
import json, os, time
def ident(item): return item["id"] if isinstance(item, dict) else item
def size(item): return len(json.dumps(item))
def gated(item):
    while item["id"] >= 60 and not os.path.exists(os.environ["GATE"]): time.sleep(0.01)
    return item["id"]
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    return Bench(tmp_path)


def results(bench: Bench) -> list[ResultRow]:
    """What is recorded of batch b1 now; read here, since a command would take a second."""
    if not bench.database.exists():
        return []
    with reading(bench.database) as reader:
        return list(reader.results())


def values(bench: Bench) -> list[Any]:
    return [json.loads(row.result or "null") for row in results(bench)]


def test_several_files_are_one_batch_and_what_was_left_out_is_told(bench: Bench) -> None:
    (bench.folder / "a.csv").write_text("id;price\n1;5\n2;50\n2;7\n")
    (bench.folder / "b.jsonl.gz").write_bytes(gzip.compress(b'{"id": 3, "price": 1}\n{"id": 4}\n'))
    asked = ["--where", "price < 10", "--unique", "id", "--select", "id", "--csv-types", "-w", "1"]
    done = bench.run("start", "*.csv", "b.*", "--func", "handlers:size", "--id", "b1", "--json", *asked)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["total_items"] == 3 and report["left_out"] == {"where": 2}
    assert [(row.item_id, row.result) for row in results(bench)] == [(1, "9"), (2, "9"), (3, "9")]
    status = status_of(Home(bench.home).find("b1"))
    assert status.to_dict()["skipped"] == {"where": 2}
    assert "2 by --where" in status_text(status)


def test_after_a_kill_what_was_left_out_stays_so_and_nothing_runs_twice(bench: Bench) -> None:
    for name, numbers in [("a.jsonl", range(50)), ("b.jsonl", range(25, 100))]:
        lines = "".join(json.dumps({"id": n, "pad": "x" * 2000}) + "\n" for n in numbers)
        (bench.folder / name).write_text(lines * 40)
    asked = ["a.jsonl", "b.jsonl", "--unique", "id", "--id", "b1", "-w", "1", "-c", "1"]
    process = bench.begin("start", *asked, "--func", "handlers:gated")
    wait_until(lambda: len(results(bench)) >= 50)
    os.killpg(process.pid, signal.SIGKILL)
    (bench.folder / "gate").touch()
    process.communicate()
    wait_until_gone(process.pid)
    done = bench.run("resume", "b1", "--json")
    assert done.returncode == 0, done.stderr
    assert values(bench) == list(range(100))
    assert json.loads(done.stdout)["left_out"] == {"unique": 5000 - 100}
    assert bench.broken_invariants() == []


def test_rest_of_a_limited_input_follows_in_the_same_batch_also_after_its_end(bench: Bench) -> None:
    bench.write_input(30)
    first = bench.run("start", "input.jsonl", "--func", "handlers:ident", "--id", "b1", "--limit", "20", "-w", "1")
    assert first.returncode == 0 and len(results(bench)) == 20
    rest = bench.run("resume", "b1", "--all", "--json")
    assert rest.returncode == 0, rest.stderr
    assert json.loads(rest.stdout)["total_items"] == 30
    assert values(bench) == [f"i{n}" for n in range(1, 31)]
    assert bench.broken_invariants() == []
    assert "nothing left to do" in bench.run("resume", "b1", "--all").stderr


def test_huge_records_work_or_fail_alone_with_the_limit_in_words(bench: Bench) -> None:
    huge = json.dumps({"id": "huge", "text": "x" * 50_000_000})
    wide = json.dumps({"id": "wide", **{f"f{n}": n for n in range(100_000)}})
    deep = '{"id": "deep", "v": ' + "[" * 10_000 + "]" * 10_000 + "}"
    over = json.dumps({"id": "over", "text": "y" * 70_000_000})
    lines = ['{"id": 1}', huge, '{"id": 2}', wide, '{"id": 3}', deep, '{"id": 4}', over, '{"id": 5}']
    (bench.folder / "a.jsonl").write_text("\n".join(lines))
    done = bench.run("start", "a.jsonl", "--func", "handlers:ident", "--id", "b1", "-w", "1")
    assert done.returncode in (0, 1), done.stderr
    assert [value for value in values(bench) if value not in (None, "deep")] == [1, "huge", 2, "wide", 3, 4, 5]
    rows = {row.seq: row for row in results(bench)}
    assert "larger than 64M (--max-item-size raises that limit)" in str(rows[8].error)
    # Later Pythons read such depths.
    assert rows[6].success or "nested too deeply" in str(rows[6].error)


@pytest.mark.parametrize(
    "asked, said",
    [
        ({"input": ("nothing*.jsonl",)}, r"nothing\*\.jsonl: matches no file"),
        ({"where": "id >"}, "--where, column 5: invalid syntax"),
        ({"encoding": "klingon"}, "--encoding must be the name of an encoding"),
        ({"max_item_size": "2G"}, "--max-item-size must be at most 500M"),
        ({"select": "a,,b"}, "--select must be fields with commas"),
        ({"seed": 3}, "--seed must be beside --sample or --shuffle"),
        ({"skip": -1}, "--skip must be"),
        ({"sample": 0}, "--sample must be"),
    ],
)
def test_input_that_cannot_be_meant_is_refused_in_words(tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(UsageError, match=said):
        source_of(StartRequest(**{"input": str(tmp_path / "a.jsonl"), "func": "f:g", **asked}))


def test_expression_that_is_none_starts_nothing(bench: Bench) -> None:
    bench.write_input(1)
    done = bench.run("start", "input.jsonl", "--func", "handlers:ident", "--where", "id ** 2 > 3")
    assert done.returncode == 2 and done.stderr.startswith("batchq: --where, column 1: 'id ** 2'")
    assert not bench.home.exists() or not any(bench.home.iterdir())


def test_input_that_was_given_up_is_told_ever_after(bench: Bench) -> None:
    whole = gzip.compress(
        b"".join(b'{"id": %d, "noise": "%s"}\n' % (n, os.urandom(30).hex().encode()) for n in range(9))
    )
    (bench.folder / "cut.jsonl.gz").write_bytes(whole[:-100])
    begun = bench.run("start", "cut.jsonl.gz", "--func", "handlers:ident", "--id", "b1", "-q", "-w", "1")
    assert begun.returncode == 3 and "--input-ended" in begun.stderr, begun.stderr
    done = bench.run("resume", "b1", "--input-ended", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["state"], report["input_cut"]) == (0, "completed", True)
    assert 0 < report["total_items"] < 9
    status = status_of(Home(bench.home).find("b1"))
    assert status.to_dict()["input_cut"] and "cut off" in status_text(status)
    again = bench.run("resume", "b1", "--json")
    assert json.loads(again.stdout)["input_cut"] and "cut off" in bench.run("report", "b1").stdout
