"""Power cuts, played: what a batch's file holds when the last writes to its log have not reached the disk.

    scripts/chaos power-cut --runs 100 [--seed N] [--jobs 2]

All processes of a running batch are stopped at a random moment, batch.db and its log are copied as they are (the
shared index is not: it would not survive), and the batch goes on.  The copied log is cut off at a random byte, or a
block of it is overwritten.  The copy must open and pass `batchq check`, and `batchq resume` must give every item
exactly one outcome, without running an item again whose outcome was left.  With ``--durability full`` only what lies
behind the last commit that a reader could see is cut: nothing that was reported as done may be missing.  (Whether that
commit was really synced, no program can see from here: that is SQLite's promise.)
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import chaos_handler
import psutil
from chaos_witness import attempts, starts, used_log
from command import Bench, ended, kill, members
from waiting import wait_until

from batchq.store.connection import open_reader

ITEMS: Final = 200
MOMENTS: Final = 2
CUTS: Final = 2
"""Copies of each moment, cut differently."""
BLOCK: Final = 512
OUTCOMES: Final = "SELECT n, seq, run, success, ended_ms, result FROM outcomes ORDER BY n"


@dataclass
class Cut:
    """What came of all the cuts of one run.

    Attributes:
        cuts: copies that were cut and resumed.
        bytes: taken from their logs, altogether.
        outcomes: that were gone with them, altogether.
    """

    seed: int
    cuts: int = 0
    bytes: int = 0
    outcomes: int = 0
    wrong: list[str] = field(default_factory=list)
    folder: Path | None = None


@dataclass(frozen=True)
class Moment:
    """A running batch's file at one moment, with what a reader then saw in it.

    Attributes:
        rows: outcomes, in the order of their numbers.
        reported: bytes of the log up to the last commit that is visible.
    """

    database: Path
    rows: Sequence[Any]
    reported: int

    @property
    def log(self) -> Path:
        """The copy of the log."""
        return self.database.with_name("batch.db-wal")


class PowerCut(Bench):
    """One batch, and the copies of it that lost power."""

    def prepare(self, seed: int) -> None:
        """Draw everything random."""
        self.rng = random.Random(seed)
        self.full = seed % 2 == 0
        self.cut = Cut(seed)
        self.made = 0  # when the file was written last: at its making, until the first checkpoint
        self.handler = self.rng.choice(("in_loop", "in_thread"))
        self.folder.joinpath("ledger").mkdir()
        rng = self.rng
        items = [
            {
                "id": f"i{n}",
                "n": n,
                "kind": "ok",
                "seconds": rng.random() * 0.04,
                "pad": "x" * rng.choice((0, 50, 9000)),
            }
            for n in range(1, ITEMS + 1)
        ]
        (self.folder / "input.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))

    def perform(self) -> Cut:
        """Run the batch, and cut the power of copies of it."""
        rng = self.rng
        options = ("-c", "8", "-w", str(rng.choice((1, 2))), "--chunk-size", str(rng.choice((3, 50))), "-q")
        target = f"{chaos_handler.__file__}:{self.handler}"
        more = ("--max-uncommitted", str(rng.choice((4, 1000))), "--durability", "full" if self.full else "normal")
        gate = self.ledger / chaos_handler.GATE
        gate.write_text("0")
        process = self.begin("start", "input.jsonl", "--func", target, "--id", "b1", *options, *more)
        moments = []
        try:
            for number in range(MOMENTS):
                many = starts(self.ledger) + rng.randint(1, ITEMS // MOMENTS - 20)
                gate.write_text(str(many))  # so that it is still at work when we come to stop it
                wait_until(lambda many=many: starts(self.ledger) >= many or process.poll() is not None)  # type: ignore[misc]
                self.made = self.made or self.database.stat().st_mtime_ns
                if process.poll() is None:
                    moments += self._copy(process, number)
            gate.unlink()
            if ended(process) != 0:
                self.cut.wrong.append("the batch itself did not succeed")
        finally:
            kill(members(process.pid))
        for moment in moments:
            for _ in range(CUTS):
                self._lose_power(moment)
        return self.cut

    def _copy(self, process: subprocess.Popen[str], number: int) -> list[Moment]:
        found = members(process.pid)
        self.rng.shuffle(found)
        for each in found:
            each.suspend()
        try:
            wait_until(lambda: all(each.status() == psutil.STATUS_STOPPED for each in found))
            if self.database.stat().st_mtime_ns != self.made:
                return []  # a checkpoint has synced the log: no power cut can take it away any more
            copy = self.folder / f"moment-{number}" / "batch.db"
            copy.parent.mkdir()
            for name in ("batch.db", "batch.db-wal"):
                shutil.copy(self.database.with_name(name), copy.with_name(name))
            return [Moment(copy, _rows(self.database), used_log(self.database))]
        except psutil.NoSuchProcess:
            return []  # the batch ended just then
        finally:
            for each in found:
                each.resume()

    def _lose_power(self, moment: Moment) -> None:
        cut = self.cut
        cut.cuts += 1
        place = Bench(self.folder / f"cut-{cut.cuts}")
        shutil.copytree(moment.database.parent, place.database.parent)
        log = place.database.with_name("batch.db-wal")
        self._damage(log, moment)
        place.ledger.mkdir()
        how = f"cut {cut.cuts}, {log.stat().st_size} of {moment.log.stat().st_size} bytes left: "
        checked = place.run("check", "b1")
        left = _rows(place.database)
        if checked.returncode != 0:
            cut.wrong.append(f"{how}check: {checked.stdout}{checked.stderr}")
        common = min(len(left), len(moment.rows))
        if left[:common] != moment.rows[:common]:
            cut.wrong.append(f"{how}outcomes have changed")
        lost = len(moment.rows) - common
        cut.outcomes += lost
        if self.full and lost:
            cut.wrong.append(f"{how}{lost} outcomes that had been reported are missing")
        resumed = place.run("resume", "b1", "-q", **{chaos_handler.LEDGER: str(place.ledger)})
        if resumed.returncode != 0:
            cut.wrong.append(f"{how}resume: {resumed.returncode}, {resumed.stderr}")
        self._look(place, left, how)

    def _damage(self, log: Path, moment: Moment) -> None:
        """Cut the log off, or lose a block in the middle: the disk wrote what lay behind it first."""
        size = log.stat().st_size
        at = self.rng.randint(min(moment.reported, size) if self.full else 0, size)
        self.cut.bytes += size - at
        if self.rng.random() < 0.3 and at < size:
            with log.open("r+b") as file:
                file.seek(at)
                file.write(bytes(min(BLOCK, size - at)))
        else:
            os.truncate(log, at)

    def _look(self, place: Bench, left: Sequence[Any], how: str) -> None:
        wrong = self.cut.wrong
        if place.outcomes() != {n: (1, chaos_handler.value_of(n)) for n in range(1, ITEMS + 1)}:
            wrong.append(f"{how}an item has no outcome, or two, or a wrong one")
        if _rows(place.database)[: len(left)] != left:
            wrong.append(f"{how}outcomes that were left have changed")
        again = {attempt.n for attempt in attempts(place.ledger)} & {row[1] for row in left}
        if again:
            wrong.append(f"{how}{len(again)} items ran again behind their outcome")
        wrong += [how + broken for broken in place.broken_invariants()]

    def environment(self, **more: str) -> dict[str, str]:
        """With the folder of the ledgers."""
        return super().environment(**{chaos_handler.LEDGER: str(self.ledger), **more})


def _rows(database: Path) -> list[Any]:
    with closing(open_reader(database)) as connection:
        return connection.execute(OUTCOMES).fetchall()


def run(seed: int) -> Cut:
    """The run of a seed, in a folder of its own, which is kept where something is wrong."""
    folder = Path(tempfile.mkdtemp(prefix=f"batchq-power-cut-{seed}-"))
    bench = PowerCut(folder)
    bench.prepare(seed)
    cut = bench.perform()
    if cut.wrong:
        cut.folder = folder
    else:
        shutil.rmtree(folder)
    return cut


def failure(cut: Cut) -> str:
    """What is wrong, and how to see it again."""
    lines = [f"power cut {cut.seed} is against the promise; everything is kept in {cut.folder}"]
    return "\n".join([*lines, *cut.wrong, f"again: scripts/chaos power-cut --seed {cut.seed} --runs 1"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Many runs; 1 where one is against the promise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; even ones are durability full")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    options = parser.parse_args(arguments)
    os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="batchq-power-cut-config-")
    broken = cuts = lost = size = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        for cut in pool.map(run, range(options.seed, options.seed + options.runs)):
            cuts, lost, size = cuts + cut.cuts, lost + cut.outcomes, size + cut.bytes
            if cut.wrong:
                broken += 1
                print(failure(cut), file=sys.stderr, flush=True)
    print(f"{options.runs} runs, {broken} broken; {cuts} cuts took {size} bytes of logs and {lost} outcomes with them")
    shutil.rmtree(os.environ["XDG_CONFIG_HOME"])
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
