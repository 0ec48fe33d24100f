"""Times one run of a peer, in the peers' environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import SMALL_BYTES, Bench, BenchError
from benchmarks.peers.roster import PEERS, Peer
from benchmarks.rows import Measure, Missing, Racer


def racers(bench: Bench, handler: str, slots: int) -> Iterator[Racer | Missing]:
    """Every peer as one who does the same work, or why it does not; none without `--peers`."""
    environment = bench.peers
    if environment is None:
        return
    for peer in PEERS:
        items = peer.noop_items if handler == "noop" else peer.wait_items
        reason = environment.lacking(peer) or ("" if items else peer.no_wait)
        if reason:
            yield Missing(peer.title, reason)
            continue
        count = bench.items(items)
        source = bench.input(f"peer-{count}", count, SMALL_BYTES)
        yield Racer(peer.title, "peer", count, _timer(bench, environment.python, peer, source, handler, slots))


def _timer(bench: Bench, python: Path, peer: Peer, source: Path, handler: str, slots: int) -> Measure:
    def seconds() -> float:
        found = bench.ask("peers", peer.name, str(source), handler, str(slots), python=str(python))
        if f"peer-{found['items']}" != source.stem:
            raise BenchError(f"{peer.title} had {found['items']:,} items")
        bench.say(f"  {peer.title}, {found['items']:,} items, {handler}, {slots}: {found['seconds']:.2f} s")
        return float(found["seconds"])

    return seconds
