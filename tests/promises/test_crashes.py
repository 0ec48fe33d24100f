"""Whatever is killed, whenever: nothing is lost, nothing is recorded twice, little runs again, nothing stays behind."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import ledger
import pytest
from command import Bench, ended, kill, members, wait_until_gone, workers
from waiting import wait_until

pytestmark = pytest.mark.slow

ITEMS = 150
SLOTS = 8
CAP = 20
OPTIONS = ("-c", str(SLOTS), "-w", "2", "--chunk-size", "7", "--max-uncommitted", str(CAP), "-q")
RANDOM_RUNS = 8
PROBED = [
    ("before-commit", 3),  # between an outcome and its commit
    ("before-commit", 6),
    ("committed", 4),
    ("claimed", 1),  # between claim and start
    ("claimed", 4),
    ("filling", 1),  # inside a fill transaction
    ("filling", 2),
    ("checkpoint", 1),
]


class Watched:
    """One batch that is killed and resumed, and what must hold whatever happened."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder)
        self.kills = 0
        self.recorded: list[tuple[int, set[int]]] = []

    def note_recorded(self) -> None:
        """Remember what is committed now, and how far the ledger is: none of it may begin behind that."""
        committed = set(self.bench.outcomes())
        self.recorded.append((len(ledger.read(self.bench.ledger)), committed))

    def resume_to_the_end(self) -> None:
        done = self.bench.run("resume", "b1", "-q")
        assert done.returncode == 0, done.stderr

    def check(self) -> None:
        outcomes = self.bench.outcomes()
        expected = {n: (1, n * n) for n in range(1, self.bench.items + 1)}
        assert outcomes == expected, "an item has no outcome, or two, or a wrong one"
        assert self.bench.broken_invariants() == []
        notes = ledger.read(self.bench.ledger)
        for length, committed in self.recorded:
            again = {n for word, n in notes[length:] if word == "start"} & committed
            assert not again, f"recorded items ran again: {again}"
        starts = Counter(n for word, n in notes if word == "start")
        repeats = sum(starts.values()) - self.bench.items
        assert repeats <= self.kills * (SLOTS + CAP), f"{repeats} repeats after {self.kills} kills"


@pytest.mark.parametrize("seed", range(RANDOM_RUNS))
def test_batch_survives_kills_at_random_moments(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    watched = Watched(tmp_path)
    bench = watched.bench
    bench.write_input(ITEMS)
    victim = ("supervisor", "worker", "everything")[seed % 3]
    process = bench.start(("waits", "blocks")[seed % 2], *OPTIONS)
    for _ in range(rng.randint(1, 2)):
        already = len(ledger.read(bench.ledger))
        moment = already + rng.randint(1, 2 * ITEMS // 3)
        wait_until(
            lambda moment=moment, process=process: (
                len(ledger.read(bench.ledger)) >= moment or process.poll() is not None
            )
        )
        if process.poll() is not None:
            break
        watched.note_recorded()
        watched.kills += 1
        if victim == "worker":
            found = workers(process.pid)  # asked once: it may end meanwhile
            kill(rng.sample(found, 1) if found else [])
            continue
        if victim == "everything":
            kill(members(process.pid))
        process.kill()
        ended(process)
        session = process.pid
        process = bench.begin("resume", "b1", "-q")
        wait_until_gone(session)
    stderr = process.communicate(timeout=120)[1]
    if process.returncode != 0:
        assert victim != "worker", stderr
        watched.resume_to_the_end()
    wait_until_gone(process.pid)
    watched.check()


@pytest.mark.parametrize(("point", "count"), PROBED)
def test_batch_survives_a_kill_at_the_worst_moment(point: str, count: int, tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    bench = watched.bench
    # A checkpoint needs a log of 16 MB, and a second fill transaction more than 2,000 items or 8 MB.
    bench.write_input(200, pad=100_000) if point in ("checkpoint", "filling") else bench.write_input(ITEMS)
    witness = tmp_path / "witness"
    process = bench.start("waits", *OPTIONS, BATCHQ_PROBE=f"{point}:{count}", BATCHQ_PROBE_WITNESS=str(witness))
    process.communicate(timeout=120)
    assert witness.exists(), "the kill did not happen"
    watched.kills = 1
    if point in ("checkpoint", "filling"):
        assert process.returncode == -9
        watched.note_recorded()
        if count == 1 and point == "filling":
            assert bench.outcomes() == {}
        watched.resume_to_the_end()
    else:
        assert process.returncode == 0, "a worker's death must not end the batch"
    wait_until_gone(process.pid)
    watched.check()
