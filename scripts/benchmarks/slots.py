"""Cases of handlers that wait: what is lost of the slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from benchmarks.handlers import LONG_WAIT_SECONDS, WAIT_SECONDS
from benchmarks.measure import SMALL_BYTES, WORKERS, Bench
from benchmarks.peers import timing
from benchmarks.rows import Finding, Missing, Racer, Target, against, alternate, race, spread

TARGETS: Final = {10: None, 100: None, 1000: Target(">=", 0.97), 5000: None}
"""By slots. At 50 ms, 5,000 slots would have to start and record 100,000 items a second."""
FEW, MANY = 20, 60
"""Items per slot; the difference between the two leaves out what a start costs."""
LONG_FEW, LONG_MANY = 4, 12
PEER_SLOTS: Final = 100


def wait(bench: Bench) -> Iterator[Finding]:
    """A handler that waits 50 ms, in 10 to 5,000 slots: the ideal against the marginal time of many over few items."""
    for slots, target in TARGETS.items():
        yield from _marginal(bench, "wait", max(10, bench.items(slots)), slots, (FEW, MANY), target)


def wait_long(bench: Bench) -> Iterator[Finding]:
    """A handler that waits 1 s, in 5,000 slots."""
    target = Target(">=", 0.95)
    yield from _marginal(bench, "wait_long", bench.items(5000), 5000, (LONG_FEW, LONG_MANY), target)


def wait_peers(bench: Bench) -> Iterator[Finding]:
    """The 50 ms handler in 100 slots, by hand, batchq and, with --peers, the peers: items/s; the ideal is 2,000."""
    count = bench.items(20_000)
    source = bench.input("wait-all", count, SMALL_BYTES)
    racers = [
        Racer("asyncio by hand, in memory", "memory", count, lambda: bench.time_by_hand(source, PEER_SLOTS, "wait")),
        Racer(
            f"batchq, {WORKERS} workers",
            "batchq",
            count,
            lambda: bench.time_batch(source, count, "wait", "-c", str(PEER_SLOTS)),
        ),
    ]
    for peer in timing.racers(bench, "wait", PEER_SLOTS):
        if isinstance(peer, Missing):
            yield peer
        else:
            racers.append(peer)
    workload = f"{WAIT_SECONDS * 1000:.0f} ms wait, {PEER_SLOTS} slots"
    hand, ours, *others = rates = race(bench.runs, workload, racers)
    yield from rates
    yield against("wait_peers/by-hand", f"{count:,} items, {workload}: items/s / the asyncio pattern", ours, hand)
    if others:
        fastest = max(others, key=lambda other: other.median)
        what = f"{count:,} items, {workload}: items/s / the fastest durable peer ({fastest.name})"
        yield against("wait_peers/peer", what, ours, fastest)


def _marginal(
    bench: Bench, handler: str, slots: int, full: int, per_slot: tuple[int, int], target: Target | None
) -> Iterator[Finding]:
    """Slots scale with the items, so that the ideal stays the same."""
    few, many = (share * slots for share in per_slot)
    sources = {count: bench.input(f"wait-{count}", count, SMALL_BYTES) for count in (few, many)}
    seconds = WAIT_SECONDS if handler == "wait" else LONG_WAIT_SECONDS
    ideal = (many - few) * seconds / slots

    def ours(count: int) -> Callable[[], float]:
        return lambda: bench.time_batch(sources[count], count, handler, "-c", str(slots))

    def hand(count: int) -> Callable[[], float]:
        return lambda: bench.time_by_hand(sources[count], slots, handler)

    columns = alternate(bench.runs, hand(few), ours(few), hand(many), ours(many))
    what = f"{seconds * 1000:,.0f} ms wait, {slots:,} slots, marginal time of {many:,} over {few:,} items: ideal / "
    for name, whose, low, high in (("batchq", "batchq", 1, 3), ("by-hand", "the asyncio pattern in memory", 0, 2)):
        shares = [ideal / (b - a) for a, b in zip(columns[low], columns[high], strict=True)]
        details = {"ideal_seconds": ideal, "few_seconds": columns[low], "many_seconds": columns[high]}
        mine = name == "batchq"
        key = f"{handler}/{name}-{full}"
        yield spread(key, what + whose, shares, "x", target if mine else None, details, guard=mine)
    for source in sources.values():
        source.unlink()
