"""The file of ``--out``, of batches made by hand: what crashes and people do to it, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from batches import make_batch, make_spec

from batchq.app.outfile import check_new, outfile_of, write_rest
from batchq.engine.failures import plain_failure
from batchq.errors import OutputError, OutputFailed, UsageError
from batchq.model import Outcome
from batchq.store.connection import open_writer, transaction
from batchq.store.home import BatchFolder
from batchq.store.outcomes import OutcomeWriter
from batchq.store.reading import PAGE_ROWS
from batchq.store.seal import Seal
from batchq.store.written import WrittenStore

ITEMS = 3 * PAGE_ROWS


@pytest.fixture
def database(tmp_path: Path) -> Path:
    (tmp_path / "b1").mkdir()
    return make_batch(tmp_path / "b1", ["{}"] * ITEMS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def record(database: Path, *seqs: int, run: int = 1, failed: bool = False) -> None:
    failure = plain_failure("ValueError", "no", "no") if failed else None
    made = [Outcome(seq, run, 1, 5, 0, 1, None if failed else json.dumps("Ä" * (seq % 50)), failure) for seq in seqs]
    with closing(open_writer(database)) as connection, transaction(connection):
        OutcomeWriter(connection).record(made)


def write(
    database: Path, out: Path, meanwhile: Callable[[], None] = lambda: None, durability: str = "normal"
) -> list[str]:
    """One session that writes the file; what it had to note."""
    notes: list[str] = []
    level = threading.Event()
    outfile = outfile_of(make_spec(out=str(out)))
    assert outfile is not None
    outfile.begin(BatchFolder(database.parent), durability, notes.append, level.set)
    outfile.look()
    assert level.wait(60)
    meanwhile()
    outfile.finish()
    outfile.finish()
    if outfile.fault is not None:
        raise outfile.fault
    with closing(WrittenStore(database)) as store:
        assert (store.position() or ())[:2] == (store.last_commit(), out.stat().st_size), (
            "what is noted is not what is there"
        )
    return notes


def seqs(out: Path) -> list[int]:
    """Of each line, which has to be whole."""
    if out.suffix == ".csv":
        return [int(row["seq"]) for row in csv.DictReader(io.StringIO(out.read_text()), strict=True)]
    return [json.loads(line)["seq"] for line in out.read_text().split("\n")[:-1]]


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_sessions_write_each_outcome_once_in_the_order_of_the_commits(database: Path, out: Path, name: str) -> None:
    out = out.with_name(name)
    record(database, 3, 1)
    assert write(database, out, lambda: record(database, 2)) == []
    record(database, *range(ITEMS, 4, -1))
    assert write(database, out, lambda: record(database, 4), "full") == []
    assert seqs(out) == [3, 1, 2, *range(ITEMS, 4, -1), 4]


def test_item_that_ran_again_has_a_further_line(database: Path, out: Path) -> None:
    record(database, 1, 2, failed=True)
    write(database, out)
    with closing(open_writer(database)) as connection:
        connection.execute("UPDATE items SET run = 2 WHERE seq = 1")
    record(database, 1, run=2)
    write(database, out)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(each["seq"], each["run"], each["status"]) for each in lines] == [
        (1, 1, "failed"),
        (2, 1, "failed"),
        (1, 2, "success"),
    ]
    whole = out.read_bytes()
    out.unlink()
    write(database, out)
    assert out.read_bytes() == whole, "written anew, it is another file"


def test_what_a_crash_left_behind_the_noted_end_is_cut_off(database: Path, out: Path) -> None:
    record(database, 1, 2)
    write(database, out)
    with out.open("a") as file:
        file.write('{"seq": 3, "run": 1}\n{"seq": 4, "id": "torn')
    record(database, 3)
    assert write(database, out) == []
    assert seqs(out) == [1, 2, 3]


@pytest.mark.parametrize("harm", [Path.unlink, lambda out: os.truncate(out, 0)], ids=["gone", "emptied"])
def test_file_that_is_gone_is_written_anew_with_a_note(
    database: Path, out: Path, harm: Callable[[Path], object]
) -> None:
    record(database, 1, 2)
    write(database, out)
    harm(out)
    record(database, 3)
    notes = write(database, out)
    assert len(notes) == 1 and str(out) in notes[0] and "anew" in notes[0]
    assert seqs(out) == [1, 2, 3]


def append(out: Path) -> None:
    with out.open("a") as file:
        file.write('{"mine": 1}\n')


@pytest.mark.parametrize(
    "harm",
    [
        lambda out: os.truncate(out, 70),
        lambda out: out.write_text("something else of somebody else's, and longer than the file was before\n" * 9),
        append,
    ],
    ids=["shortened", "another", "added-to"],
)
def test_file_that_somebody_else_has_changed_is_left_as_it_is(
    database: Path, out: Path, harm: Callable[[Path], object]
) -> None:
    record(database, 1, 2)
    write(database, out)
    harm(out)
    now = out.read_bytes()
    record(database, 3)
    with pytest.raises(OutputFailed, match="no longer what this batch has written") as error:
        write(database, out)
    assert "Move it away" in error.value.hint and out.read_bytes() == now
    out.rename(out.with_name("moved"))
    assert len(write(database, out)) == 1 and seqs(out) == [1, 2, 3]


def test_file_that_another_batch_is_writing_is_refused(database: Path, out: Path) -> None:
    def begin_another() -> None:
        with pytest.raises(OutputError, match="another batch is writing it"):
            check_new(str(out), True, [])
        with pytest.raises(OutputFailed, match="another batch is writing it"):
            write(database, out)

    write(database, out, begin_another)
    assert check_new(str(out), True, []) == str(out)


def test_file_that_is_deleted_meanwhile_is_missed_at_the_end(database: Path, out: Path) -> None:
    record(database, 1)
    outfile = outfile_of(make_spec(out=str(out)))
    assert outfile is not None
    level = threading.Event()
    outfile.begin(BatchFolder(database.parent), "normal", print, level.set)
    outfile.look()
    assert level.wait(60)
    out.unlink()
    assert not outfile.is_level(1) and outfile.fault is not None
    outfile.finish()
    assert "deleted or replaced" in str(outfile.fault)
    write(database, out)
    assert seqs(out) == [1]


def test_file_of_a_finished_batch_is_the_users(database: Path, out: Path) -> None:
    record(database, 1)
    write(database, out)
    append(out)
    now = out.read_bytes()
    spec = make_spec(out=str(out))
    write_rest(BatchFolder(database.parent), spec, print)
    assert out.read_bytes() == now
    out.unlink()
    write_rest(BatchFolder(database.parent), spec, print)
    assert seqs(out) == [1]


def test_file_of_an_earlier_batch_is_replaced(database: Path, out: Path) -> None:
    out.write_text("an old line\n" * 100)
    record(database, 1)
    assert write(database, out) == []
    assert seqs(out) == [1]


def test_batch_without_outcomes_makes_a_file_without_lines(database: Path, out: Path) -> None:
    write(database, out)
    assert out.read_bytes() == b""
    write(database, out.with_name("second.csv"))


def test_file_that_can_no_longer_be_opened_is_told(database: Path, out: Path) -> None:
    outfile = outfile_of(make_spec(out=str(out)))
    out.mkdir()
    assert outfile is not None
    with pytest.raises(OutputFailed, match=r"out\.jsonl") as error:
        outfile.begin(BatchFolder(database.parent), "normal", print, lambda: None)
    assert "batchq resume b1" in error.value.hint
    with pytest.raises(OutputError, match="no regular file"):
        outfile_of(make_spec(out=str(out)))


def test_what_cannot_be_written_is_refused_before_anything_begins(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("{}\n")
    other = tmp_path / "other.jsonl"
    other.write_text("{}\n")
    for name, reason in {
        "out.parquet": "grows",
        "out.jsonl.gz": "grows",
        "out": "grows",
        "nosuch/out.csv": "no folder",
        "in.jsonl": "the input",
    }.items():
        with pytest.raises(OutputError, match=reason):
            check_new(str(tmp_path / name), True, [str(source)])
    with pytest.raises(OutputError, match="exists already") as error:
        check_new(str(other), False, [str(source)])
    assert "--overwrite" in error.value.hint
    assert check_new(str(other), True, [str(source)]) == str(other)
    with pytest.raises(UsageError, match="--out"):
        check_new(None, True, [str(source)])


def test_file_is_part_of_what_the_seal_covers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    seal = Seal(tmp_path)
    plain, mine = make_spec(), make_spec(out="/home/me/titles.jsonl")
    assert seal.fits(seal.over(mine, None), mine, None)
    assert not seal.fits(seal.over(mine, None), replace(mine, out="/home/me/.profile"), None)
    assert not seal.fits(seal.over(plain, None), mine, None)
    assert not seal.fits(seal.over(mine, None), replace(plain, on_finish=mine.out), None)
