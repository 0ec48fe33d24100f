"""What a chaos schedule does, made from an integer seed: a batch, its items, and the faults that hit it.

The same seed makes the same plan; when exactly each fault strikes depends on the machine, too.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

WEIGHTS: Final = {
    "kill worker": 5,
    "kill supervisor": 4,
    "kill everything": 4,
    "interrupt": 3,
    "terminate": 2,
    "pause": 3,
    "pause and go on": 2,
    "cancel": 1,
    "rival": 2,
    "sleep": 1,
    "set": 3,
}
"""Kinds of faults, and how often each is drawn; `chaos_run.Run` has a method for each."""
FULL_DISK: Final = {"full disk": 15}
CRASHING: Final = ("exits", "kills", "segfaults")
"""Items of these kinds end their process each time that they run."""
HANGING: Final = ("hangs", "blocks")
FAILING: Final = ("fails", "permanent")
OUT: Final = "out.jsonl"
HANG_TIMEOUT: Final = 1.0
"""Seconds; a hundred times as long as a harmless item takes."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: a key of `WEIGHTS`.
        starts: it strikes when so many more attempts have begun; None: by time.
        seconds: it strikes so long after the command was started, where `starts` is None.
        at_once: the next command does not wait for the end of the processes that are left.
        choice: which worker, by order, and the like.
    """

    kind: str
    starts: int | None
    seconds: float
    at_once: bool
    choice: int


@dataclass(frozen=True)
class Plan:
    """One schedule.

    Attributes:
        handler: ``in_loop`` or ``in_thread``.
        piped: the input comes by standard input.
        cap: outcomes uncommitted at most.
        timeout: seconds of an attempt.
    """

    seed: int
    handler: str
    piped: bool
    concurrency: int
    workers: int
    chunk_size: int
    cap: int
    retry_attempts: int
    timeout: float
    durability: str
    items: Sequence[dict[str, Any]]
    faults: Sequence[Fault]

    def options(self) -> list[str]:
        """For ``batchq start``."""
        values = {
            "-c": self.concurrency, "-w": self.workers, "--chunk-size": self.chunk_size,
            "--max-uncommitted": self.cap, "--retry-attempts": self.retry_attempts, "--retry-delay": 0.03,
            "--retry-max-delay": 0.1, "--timeout": self.timeout, "--durability": self.durability, "--grace": 0.5,
        }  # fmt: skip
        out = ["--out", OUT, "--overwrite"] if self.writes else []
        return ["--no-breaker", *out, *(str(word) for pair in values.items() for word in pair)]

    @property
    def writes(self) -> bool:
        """Whether its results go to a file while it runs: those of every other schedule do."""
        return self.seed % 2 == 0

    def describe(self) -> str:
        """In a line."""
        source = "standard input" if self.piped else "a file"
        faults = ", ".join(
            f"{fault.kind} at {f'{fault.starts} starts' if fault.starts else f'{fault.seconds:.2f} s'}"
            for fault in self.faults
        )
        return (
            f"{len(self.items)} items {self.handler} from {source}, {self.concurrency} at a time in {self.workers} "
            f"workers, chunks of {self.chunk_size}; {faults}"
        )


def make_plan(seed: int, full_disk: bool = False) -> Plan:
    """The plan of schedule number `seed`; `full_disk`: with faults that need a small disk."""
    rng = random.Random(seed)
    weights = {**WEIGHTS, **(FULL_DISK if full_disk else {})}
    count = rng.choice((30, 60, 120, 250, 400))
    handler = rng.choice(("in_loop", "in_thread"))
    concurrency = rng.choice((1, 4, 8, 12, 24)) if count < 250 else rng.choice((8, 12, 24))
    kinds = _kinds(rng, count)
    hanging = any(kind in HANGING for kind in kinds)
    items = [_item(rng, n, kind, concurrency / count) for n, kind in enumerate(kinds, 1)]
    return Plan(
        seed=seed,
        handler=handler,
        piped=rng.random() < 0.25,
        concurrency=concurrency,
        workers=min(rng.choice((1, 2, 2, 3)), concurrency),
        chunk_size=rng.choice((1, 3, 7, 50, 1000)),
        cap=rng.choice((4, 20, 1000)),
        retry_attempts=2,
        timeout=HANG_TIMEOUT if hanging else 60.0,
        durability=rng.choice(("normal", "normal", "full")),
        items=items,
        faults=_faults(rng, weights, count),
    )


def _kinds(rng: random.Random, count: int) -> list[str]:
    kinds = ["ok"] * count
    for kind, most in (("fails", 4), ("flaky", 8), ("permanent", 2), ("dies_once", 1)):
        for _ in range(rng.randint(0, most)):
            kinds[rng.randrange(count)] = kind
    if rng.random() < 0.35:
        kinds[rng.randrange(count)] = rng.choice(CRASHING)
    if rng.random() < 0.3:
        kinds[rng.randrange(count)] = rng.choice(HANGING)
    return kinds


def _item(rng: random.Random, n: int, kind: str, share: float) -> dict[str, Any]:
    # The whole batch takes about a second, whatever its size.
    seconds = min(0.05, rng.uniform(0, 2.0) * share)
    pad = "x" * rng.choice((0, 0, 0, 100, 5000))
    return {"id": f"i{n}", "n": n, "kind": kind, "seconds": seconds, "failures": 1, "pad": pad}


def _faults(rng: random.Random, weights: dict[str, int], count: int) -> list[Fault]:
    faults = []
    for _ in range(rng.randint(1, 3)):
        kind = rng.choices(list(weights), list(weights.values()))[0]
        by_time = rng.random() < 0.3
        faults.append(
            Fault(
                kind,
                starts=None if by_time else rng.randint(1, max(2, count // 2)),
                seconds=rng.uniform(0.0, 1.5),
                at_once=rng.random() < 0.6,
                choice=rng.randrange(1000),
            )
        )
        if kind == "cancel":
            break  # for good
    return faults
