"""Times one run of a peer, in the peers' environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.measure import SMALL_BYTES, Bench, BenchError
from benchmarks.peers.roster import PEERS, Peer
from benchmarks.rows import Measure, Missing, Racer

TRIAL_ITEMS: Final = 20


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
        # What does not work shows before anything is measured, and keeps nothing else from being measured.
        try:
            _timer(bench, environment.python, peer, TRIAL_ITEMS, handler, slots)()
        except BenchError as error:
            yield Missing(peer.title, f"it does not work here: {str(error).splitlines()[-1]}")
            continue
        count = bench.items(items)
        yield Racer(peer.title, "peer", count, _timer(bench, environment.python, peer, count, handler, slots))


def _timer(bench: Bench, python: Path, peer: Peer, count: int, handler: str, slots: int) -> Measure:
    source = bench.input(f"peer-{count}", count, SMALL_BYTES)

    def seconds() -> float:
        found = bench.ask("peers", peer.name, str(source), handler, str(slots), python=str(python))
        if found["items"] != count:
            raise BenchError(f"{peer.title} had {found['items']:,} items")
        bench.say(f"  {peer.title}, {found['items']:,} items, {handler}, {slots}: {found['seconds']:.2f} s")
        return float(found["seconds"])

    return seconds
