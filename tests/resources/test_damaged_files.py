"""A batch.db that is cut, overwritten or another one's: an error that names it, never a wrong report."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import ledger
import pytest
from command import LEDGER_FILE, Bench, kill, members, wait_until_gone
from said import say
from waiting import wait_until

pytestmark = pytest.mark.slow

READING = (["status", "b1"], ["results", "b1"], ["report", "b1", "--json"])
RUNNING = (["resume", "b1", "-q"],)
STEERING = (["pause", "b1"], ["check", "b1", "--repair"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Two finished batches, b1 and b2."""
    made = Bench(tmp_path_factory.mktemp("finished"))
    made.write_input(200, pad=300)
    for batch_id in ("b1", "b2"):
        done = made.run("start", "input.jsonl", "--func", f"{LEDGER_FILE}:waits", "--id", batch_id, "-q", "-c", "50")
        assert done.returncode == 0, done.stderr
    for name in ("batch.db-wal", "batch.db-shm"):
        (made.home / "b1" / name).unlink(missing_ok=True)
    return made


@pytest.fixture
def bench(finished: Bench, tmp_path: Path) -> Bench:
    """A copy of them."""
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    return Bench(tmp_path, finished.items)


def cut(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def cut_in_its_header(database: Path) -> None:
    os.truncate(database, 60)


def emptied(database: Path) -> None:
    os.truncate(database, 0)


def missing(database: Path) -> None:
    database.unlink()


def replaced_by_text(database: Path) -> None:
    database.write_text("hello\n" * 5000)


def replaced_by_another_database(database: Path) -> None:
    database.unlink()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE batch (id)")


def replaced_by_another_batch(database: Path) -> None:
    shutil.copy(database.parent.parent / "b2" / "batch.db", database)


def random_bytes(database: Path) -> None:
    with database.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(database.stat().st_size - 8192))


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        cut_in_its_header,
        emptied,
        missing,
        replaced_by_text,
        replaced_by_another_database,
        replaced_by_another_batch,
        random_bytes,
    ],
)
def test_spoilt_file_is_named_by_every_command(
    bench: Bench, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(bench.database)
    for arguments in (*READING, *RUNNING, *STEERING):
        if arguments in RUNNING:
            done = bench.run(*arguments)
            code, out, err = done.returncode, done.stdout, done.stderr
        else:
            code, out, err = say(capsys, bench.home, *arguments)
        assert code in (1, 2, 74), (arguments, out, err)
        assert str(bench.database) in err, (arguments, err)
        assert "Traceback" not in err and "fault of batchq" not in err
        assert len(err.splitlines()) == 2 and not out, (arguments, err, out)
    listed = say(capsys, bench.home, "status", "--json")
    assert listed.code == 0
    assert [batch["batch_id"] for batch in json.loads(listed.out)["batches"]] == ["b2"], "it harms no other"
    assert str(bench.database) in listed.err, "it is not passed over in silence"
    assert "batchq rm b1" not in listed.err or f"batchq rm b1 --home {bench.home}" in listed.err
    assert say(capsys, bench.home, "log", "b1").code == 0
    assert say(capsys, bench.home, "rm", "b1", "--yes").code == 0
    assert not (bench.home / "b1").exists() and (bench.home / "b2" / "batch.db").exists()


def test_hole_in_the_middle_is_told_and_never_reported_over(bench: Bench) -> None:
    size = bench.database.stat().st_size
    with bench.database.open("r+b") as file:
        file.seek(size // 4 // 4096 * 4096)
        file.write(bytes(size // 2))
    for verb in ("results", "report"):
        done = bench.run(verb, "b1")
        assert (done.returncode, done.stdout) == (2, "") and str(bench.database) in done.stderr, done.stderr
    checked = bench.run("check", "b1", "--repair")
    assert checked.returncode in (1, 2) and "malformed" in checked.stderr, checked.stderr
    assert "mends" not in checked.stderr, "nothing is promised that cannot be"


def test_log_of_another_batch_is_told(bench: Bench) -> None:
    text = "".join(json.dumps({"n": n, "pad": "x" * 3000}) + "\n" for n in range(200))
    (bench.folder / "more.jsonl").write_text(text)
    process = bench.begin("start", "more.jsonl", "--func", f"{LEDGER_FILE}:held", "--id", "b3", "-q", "-c", "1")
    log = bench.home / "b3" / "batch.db-wal"
    wait_until(lambda: log.exists() and log.stat().st_size > 200_000)
    shutil.copy(log, bench.database.with_name("batch.db-wal"))
    kill(members(process.pid))
    process.communicate()
    wait_until_gone(process.pid)
    for arguments in (*READING, *RUNNING):
        done = bench.run(*arguments)
        assert (done.returncode, done.stdout) == (2, "") and str(bench.database) in done.stderr, done.stderr


def test_file_that_is_spoilt_while_its_batch_runs_halts_it_and_nobody_is_told_to_go_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(200)
    process = bench.start("held", "-c", "4", "-w", "2", "-q")
    wait_until(lambda: len(ledger.read(bench.ledger)) == 4)
    for path in (bench.database, bench.database.with_name("batch.db-wal")):
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"?" * (path.stat().st_size - 4096))
    (bench.folder / "gate").touch()
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode in (2, 74) and "Traceback" not in stderr, stderr
    assert str(bench.database) in stderr and "Go on with" not in stderr, stderr
    wait_until_gone(process.pid)
