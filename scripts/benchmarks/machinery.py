"""Cases of the machinery alone: handlers that cost nothing, so that all the time is reading, queueing and recording."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from benchmarks.by_hand import RETRY_SECONDS
from benchmarks.handlers import FAILURES
from benchmarks.measure import LARGE_BYTES, SMALL_BYTES, WORKERS, Bench, BenchError
from benchmarks.peers import timing
from benchmarks.rows import Finding, Missing, Racer, Target, against, race

CONCURRENCY: Final = 100
DEFAULT_CONCURRENCY: Final = 5
RETRIES: Final = ("--retry-delay", str(RETRY_SECONDS), "--retry-backoff", "1")


def rate(bench: Bench) -> Iterator[Finding]:
    """No-op items from a file to outcomes on disk: by hand, batchq, the floor and, with --peers, the peers."""
    count = bench.items(1_000_000)
    source = bench.input("small", count, SMALL_BYTES)
    workload = f"no-op, {SMALL_BYTES} bytes"
    racers = [
        _by_hand(bench, source, count, CONCURRENCY, "noop"),
        _batchq(bench, source, count, CONCURRENCY, "noop"),
        _by_hand(bench, source, count, DEFAULT_CONCURRENCY, "noop"),
        _batchq(bench, source, count, DEFAULT_CONCURRENCY, "noop"),
        _floor(bench, source, count, "noop"),
    ]
    for peer in timing.racers(bench, "noop", WORKERS):
        if isinstance(peer, Missing):
            yield peer
        else:
            racers.append(peer)
    hand, ours, hand_default, ours_default, floor, *others = rates = race(bench.runs, workload, racers)
    yield from rates
    what = f"{count:,} no-op items, durable, {WORKERS} workers, -c"
    at, by_default = f"{what} {CONCURRENCY}: items/s / ", f"{what} {DEFAULT_CONCURRENCY} (the default): items/s / "
    pattern = "the asyncio pattern in memory"
    yield against("rate/by-hand", at + pattern, ours, hand, Target(">=", 2.5))
    yield against("rate/by-hand-default", by_default + pattern, ours_default, hand_default, Target(">=", 1.5))
    yield against("rate/floor", at + "floor", ours, floor, Target(">=", 0.25), guard=True)
    yield against("rate/floor-default", by_default + "floor", ours_default, floor, guard=True)
    if others:
        fastest = max(others, key=lambda other: other.median)
        name = f"the fastest durable peer ({fastest.name})"
        yield against("rate/peer", at + name, ours, fastest, Target(">=", 20.0))
        yield against("rate/peer-default", by_default + name, ours_default, fastest)
    source.unlink()


def large(bench: Bench) -> Iterator[Finding]:
    """Items of 10 KB whose results are as large."""
    count = bench.items(20_000)
    source = bench.input("large", count, LARGE_BYTES)
    workload = f"{LARGE_BYTES:,} bytes, and as many of result"
    yield from _three(bench, "large", workload, source, count, "echo")


def retry(bench: Bench) -> Iterator[Finding]:
    """No-op items of which one in five fails twice before it succeeds."""
    count = bench.items(100_000)
    source = bench.input("retry", count, SMALL_BYTES)
    workload = f"no-op, 20% fail {FAILURES} times"
    yield from _three(bench, "retry", workload, source, count, "failing", (str(FAILURES + 1),), RETRIES)


def _three(
    bench: Bench,
    case: str,
    workload: str,
    source: Path,
    count: int,
    handler: str,
    attempts: tuple[str, ...] = (),
    settings: tuple[str, ...] = (),
) -> Iterator[Finding]:
    racers = [
        _by_hand(bench, source, count, CONCURRENCY, handler, *attempts),
        _batchq(bench, source, count, CONCURRENCY, handler, *settings),
        _floor(bench, source, count, handler, *settings),
    ]
    hand, ours, floor = rates = race(bench.runs, workload, racers)
    yield from rates
    what = f"{count:,} items, {workload}, -c {CONCURRENCY}: items/s / "
    yield against(f"{case}/by-hand", what + "the asyncio pattern in memory", ours, hand)
    yield against(f"{case}/floor", what + "floor", ours, floor, guard=True)
    source.unlink()


def _by_hand(bench: Bench, source: Path, count: int, concurrency: int, handler: str, *attempts: str) -> Racer:
    name = f"asyncio by hand, in memory, {concurrency} at a time"
    return Racer(name, "memory", count, lambda: bench.time_by_hand(source, concurrency, handler, *attempts))


def _batchq(bench: Bench, source: Path, count: int, concurrency: int, handler: str, *settings: str) -> Racer:
    def seconds() -> float:
        return bench.time_batch(source, count, handler, "-c", str(concurrency), *settings)

    return Racer(f"batchq, {WORKERS} workers, -c {concurrency}", "batchq", count, seconds)


def _floor(bench: Bench, source: Path, count: int, handler: str, *settings: str) -> Racer:
    """SQLite with the bytes of a batch, which is run here and so warms up what it is compared with."""
    home = bench.folder / f"kept-{source.stem}"
    bench.time_batch(source, count, handler, "-c", str(CONCURRENCY), *settings, home=home)
    database, copy = home / "bench" / "batch.db", bench.folder / "floor.db"

    def seconds() -> float:
        os.sync()
        found = bench.ask("floor", str(database), str(copy))
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{copy}{suffix}").unlink()
        if not found["items"] == found["outcomes"] == count:
            raise BenchError(f"the floor had {found['items']:,} items and {found['outcomes']:,} outcomes")
        bench.say(f"  floor, {count:,} items, {handler}: {found['seconds']:.2f} s")
        return float(found["seconds"])

    return Racer("floor: SQLite inserting the same bytes", "limit", count, seconds)
