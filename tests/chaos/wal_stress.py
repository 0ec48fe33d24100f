"""Stresses one batch's file: is a write-ahead log of this SQLite safe the way that batchq uses it?

    scripts/wal-stress [--minutes 60] [--seed N] [--json]

SQLite before 3.51.3 can damage a file, or lose commits, when a commit resets the log beside a checkpoint.  batchq
checkpoints only under the write lock, which should close that hole; this program tries to open it.

    conductor ── fills the input, kills a writer at random, takes over what it held, starts another
       ├── 6 writers    Recorder: claim, record, ack, put back, in many small commits
       ├── 2 readers    follow the outcomes and chain a digest of every row that they have seen
       └── 1 checkpointer, a thousand times as busy as a supervisor; killed at random, too

Every minute: SQLite's integrity check, the invariants behind `batchq check`, and how much the log holds.  At the end:
every item has one outcome, no row that a reader has ever seen was lost or changed, and no item was handed out twice
without having been put back or released.  Exits with 1, and keeps the folder, where any of it is broken.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from batches import make_records, make_spec
from stress_roles import chain

from batchq.engine.failures import plain_failure
from batchq.model import Failure
from batchq.store.batch import BatchStore, create_batch
from batchq.store.filler import Filler

WRITERS: Final = 6
READERS: Final = 2
AHEAD: Final = 3000
"""Items stored and not done: there is always something to claim, also while the file is checked."""
CHUNK_SIZE: Final = 20
MOST_LOG_BYTES: Final = 64 * 1024 * 1024
"""Four times the size at which a supervisor checkpoints: beyond it the log is not bounded."""
SETTLE_SECONDS: Final = 2.0
KILL_SECONDS: Final = (0.1, 2.0)
ENDING_SECONDS: Final = 120.0
ROLES: Final = Path(__file__).with_name("stress_roles.py")


@dataclass
class Figures:
    """What was done and found.

    Attributes:
        most_log_bytes: the most that the write-ahead log held, but for the time of a check.
        worst_commit: seconds from the wish of a writer to commit until it had.
        broken: what was found broken, in words.
    """

    minutes: float = 0.0
    items: int = 0
    claims: int = 0
    commits: int = 0
    checkpoints: int = 0
    kills: int = 0
    taken_over: int = 0
    checks: int = 0
    most_log_bytes: int = 0
    worst_commit: float = 0.0
    broken: tuple[str, ...] = ()

    def line(self) -> str:
        """For people."""
        return (
            f"{self.minutes:6.1f} min  {self.items} items, {self.claims} handed out, {self.commits} commits, "
            f"{self.checkpoints} checkpoints, {self.kills} kills, {self.checks} checks, "
            f"log at most {self.most_log_bytes / 1e6:.1f} MB, worst commit {self.worst_commit * 1000:.0f} ms; "
            + ("; ".join(self.broken) or "nothing broken")
        )


class Stress:
    """One file under stress.

    Args:
        folder: the batch's.
        seed: of everything random.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._rng = random.Random(seed)
        self._database = folder / "batch.db"
        create_batch(self._database, "stress", make_spec(chunk_size=CHUNK_SIZE))
        self._store = BatchStore(self._database)
        self._store.move("supervise")
        self._epoch = self._store.begin_session()
        self._filler = Filler(self._database, "normal", CHUNK_SIZE, 0)
        self._stored = 0
        self._started = 0
        self._released: Counter[int] = Counter()
        self._writers: dict[str, subprocess.Popen[bytes]] = {}
        self._others: dict[str, subprocess.Popen[bytes]] = {}
        self._began = self._checked = time.monotonic()
        self.figures = Figures()
        self._broken: list[str] = []

    def run(self, seconds: float, check_every: float, say: bool) -> Figures:
        """Stress it for so long, finish the batch, and look at everything; the figures."""
        self._start_all()
        end, check_at, kill_at = self._began + seconds, self._began + check_every, self._began + 1.0
        try:
            while not self._broken and ((now := time.monotonic()) < end or not self._is_enough(now - end)):
                self._tick()
                if now >= kill_at:
                    self._kill()
                    kill_at = now + self._rng.uniform(*KILL_SECONDS)
                if now >= check_at:
                    check_at += check_every
                    self._check()
                    self._gather()
                    if say:
                        print(self.figures.line(), flush=True)
                time.sleep(0.01)
            if not self._broken:
                self._finish()
        finally:
            for process in [*self._writers.values(), *self._others.values()]:
                process.kill()
                process.wait()
        self._check()
        self._look_back()
        self._gather()
        self._filler.close()
        self._store.close()
        return self.figures

    def _is_enough(self, late: float) -> bool:
        """Whether there was stress: on a slow machine processes take seconds until they do something."""
        self._gather()
        done = self.figures
        counts = (done.commits, done.checkpoints, done.kills, done.taken_over, done.most_log_bytes)
        return late > ENDING_SECONDS or (min(counts) > 0 and done.checks >= 2)

    def _start(self, role: str, *more: str) -> subprocess.Popen[bytes]:
        self._started += 1
        notes = str(self._folder / f"{role}-{self._started}.notes")
        seed = str(self._rng.randrange(2**32))
        return subprocess.Popen([sys.executable, str(ROLES), role, str(self._database), notes, seed, *more])

    def _start_writer(self) -> None:
        claimant = str(self._started + 1)
        self._writers[claimant] = self._start("writer", claimant, str(self._epoch), str(WRITERS))

    def _start_all(self) -> None:
        for _ in range(WRITERS):
            self._start_writer()
        for index in range(READERS):
            self._others[f"reader {index}"] = self._start("reader")
        self._others["checkpointer"] = self._start("checkpoint")

    def _tick(self) -> None:
        done = self._store.progress().tally.done
        if self._stored - done < AHEAD:
            payloads = [json.dumps("x" * self._rng.randrange(400)) for _ in range(300)]
            self._filler.store(make_records(payloads, self._stored + 1), "", _failure)
            self._stored += len(payloads)
        # A check reads for seconds, and no log starts afresh beside a reader: what it makes grow is its own.
        if time.monotonic() > self._checked + SETTLE_SECONDS:
            self.figures.most_log_bytes = max(self.figures.most_log_bytes, self._store.wal_bytes())
        for name, process in [*self._writers.items(), *self._others.items()]:
            if process.poll() is not None:
                self._broken.append(f"{name} ended by itself with {process.returncode}")

    def _kill(self) -> None:
        self.figures.kills += 1
        if self._rng.random() < 0.15:
            _end(self._others["checkpointer"])
            self._others["checkpointer"] = self._start("checkpoint")
            return
        claimant = self._rng.choice(sorted(self._writers))
        _end(self._writers.pop(claimant))
        claims = self._store.queue.claims_of(claimant)
        held = [seq for _, first, last, _ in claims for seq in range(first, last + 1)]
        unfinished = self._store.without_outcome(held)
        self._released.update(unfinished)
        self.figures.taken_over += len(unfinished)
        self._store.take_over(claimant, unfinished)
        self._start_writer()

    def _finish(self) -> None:
        """Let the writers do what is stored, and end the batch: then they leave by themselves."""
        self._store.end_input()
        deadline = time.monotonic() + ENDING_SECONDS
        while not self._store.complete():
            if time.monotonic() > deadline:
                self._broken.append(f"the batch did not end: {self._store.progress()}")
                return
            time.sleep(0.02)
        for claimant, writer in self._writers.items():
            if writer.wait(ENDING_SECONDS) != 0:
                self._broken.append(f"writer {claimant} left with {writer.returncode}")
        for name, process in self._others.items():
            process.send_signal(signal.SIGTERM)
            if process.wait(ENDING_SECONDS) != 0:
                self._broken.append(f"{name} left with {process.returncode}")

    def _check(self) -> None:
        self.figures.checks += 1
        self._broken += self._store.check()
        self._checked = time.monotonic()

    def _look_back(self) -> None:
        """What was handed out and seen all along, against what the file says now."""
        balance: Counter[int] = Counter()
        for word, number, *_ in self._notes("writer-"):
            if word in ("given", "back"):
                balance[int(number)] += 1 if word == "given" else -1
        balance.subtract(self._released)
        doubled = [seq for seq, count in balance.items() if count > 1]
        if doubled:
            self._broken.append(f"{len(doubled)} items were handed out twice, the first is {doubled[0]}")
        last, digest = 0, b""
        for upto, expected in sorted((int(note[1]), note[2]) for note in self._notes("reader-") if note[1] != "0"):
            last, digest = chain(self._database, last, digest, upto)
            if (last, digest.hex()) != (upto, expected):
                self._broken.append(f"outcomes that a reader has seen up to number {upto} are lost or changed")
                break

    def _notes(self, prefix: str) -> Iterator[list[str]]:
        for path in self._folder.glob(f"{prefix}*.notes"):
            yield from map(str.split, path.read_text().splitlines())

    def _gather(self) -> None:
        figures = self.figures
        figures.minutes = (time.monotonic() - self._began) / 60
        figures.items = self._store.progress().tally.done
        figures.claims = figures.commits = figures.checkpoints = 0
        for path in self._folder.glob("*.notes"):
            text = path.read_text()
            figures.claims += text.count("given ")
            commits, worst = _last(text, "commits ", "0 0")
            figures.commits += int(commits)
            figures.worst_commit = max(figures.worst_commit, float(worst))
            figures.checkpoints += int(_last(text, "checkpoints ", "0")[0])
        if figures.most_log_bytes > MOST_LOG_BYTES:
            self._broken.append(f"the log grew to {figures.most_log_bytes} bytes")
        figures.broken = tuple(dict.fromkeys(self._broken))


def _last(text: str, word: str, default: str) -> list[str]:
    """What stands behind `word` the last time."""
    _, found, rest = text.rpartition(word)
    return (rest.split("\n", 1)[0] if found else default).split()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _failure(reason: str) -> Failure:
    return plain_failure("InvalidInput", reason, reason)


def main(arguments: Sequence[str] | None = None) -> int:
    """Stress a file of its own in the temporary folder; 1 where something broke."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="batchq-wal-stress-"))
    seconds = options.minutes * 60
    figures = Stress(folder, options.seed).run(seconds, min(60.0, seconds / 3), say=not options.json)
    print(json.dumps(asdict(figures)) if options.json else figures.line(), flush=True)
    if figures.broken:
        print(f"seed {options.seed}; everything is kept in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
