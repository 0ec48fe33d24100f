"""Batches of ``--llm`` against a server on this machine that is in trouble, and what that server saw.

Three runs: one that the rate limits, one whose server answers 429 with ``Retry-After: 2``, and one that is killed again
and again.  A fifth of the items is answered 500, with half an answer, silence, a slow drip or no JSON at first.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SUPPORT: Final = Path(__file__).parent.parent / "tests" / "support"
sys.path.insert(0, str(SUPPORT))

from chat_server import BUSY, TROUBLES, ChatServer, always, begun_while_held, most_in, troubled  # noqa: E402
from command import Bench, ended, kill, members, wait_until_gone  # noqa: E402
from waiting import wait_until  # noqa: E402

PERIOD: Final = 2.0
"""Seconds of the rate, and of the windows in which calls are counted."""
HOLD: Final = 2.0
GRACE: Final = 0.1
THINKS: Final = 0.1
"""Seconds that the model takes in the run that is killed."""


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        items: of each run.
        share: of the items that are in trouble.
        rate: calls in `PERIOD`.
        at_once: in flight.
        kills: of the third run.
        seed: of the moments at which it is killed.
    """

    items: int
    share: float
    rate: int
    at_once: int
    kills: int
    seed: int


def main() -> int:
    """Run all three; 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.2, help="of the items that are in trouble")
    parser.add_argument("--rate", type=int, default=200, help=f"calls in {PERIOD:g} s")
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    plan = Plan(**vars(parser.parse_args()))
    with ChatServer().listening() as server:
        kept = [run(server, plan) for run in (limited, held, killed)]
    return 0 if all(kept) else 1


def limited(server: ChatServer, plan: Plan) -> bool:
    """The rate is all that slows it down."""
    server.reset(troubled(plan.share, tuple(how for how in TROUBLES if how != BUSY)))
    return _trouble("rate", server, plan)


def held(server: ChatServer, plan: Plan) -> bool:
    """The server answers 429, too."""
    server.reset(troubled(plan.share), retry_after=f"{HOLD:g}")
    return _trouble("429", server, plan)


def _trouble(name: str, server: ChatServer, plan: Plan) -> bool:
    limits = ("--rate", f"{plan.rate}/{PERIOD:g}s", "--timeout", "2", "--retry-delay", "0.2")

    def run(bench: Bench) -> int:
        process = bench.begin(*_start(server, plan), *limits, "-q")
        process.communicate()
        return process.returncode

    seconds, wrong = _timed(plan, run)
    most = most_in([call.at for call in server.calls], PERIOD)
    since = begun_while_held(server.calls, HOLD)
    hows = ", ".join(f"{count:,} {how}" for how, count in Counter(call.how for call in server.calls).most_common())
    print(
        f"{name}: {plan.items:,} items, {wrong} wrong or missing, {seconds:.1f} s; {len(server.calls):,} calls: {hows}"
    )
    print(f"  most calls in any {PERIOD:g} s: {most} of {plan.rate} allowed")
    if any(call.how == BUSY for call in server.calls):
        late = since[0] if since else 0.0
        over = sum(each > GRACE for each in since)
        print(f"  within {HOLD:g} s of a 429: {over} calls began after {GRACE:g} s; the last one after {late:.3f} s")
    return not wrong and most <= plan.rate * 1.05 and not any(each > GRACE for each in since)


def killed(server: ChatServer, plan: Plan) -> bool:
    """All its processes are killed, and it is resumed, again and again."""
    server.reset(always(), seconds=THINKS)
    rng = random.Random(plan.seed)

    def run(bench: Bench) -> int:
        process = bench.begin(*_start(server, plan), "-q")
        for _ in range(plan.kills):
            more = len(server.calls) + rng.randrange(plan.items // (2 * plan.kills), plan.items // plan.kills)
            wait_until(lambda more=more: len(server.calls) >= more)
            kill(members(process.pid))
            wait_until_gone(process.pid)
            ended(process)
            process = bench.begin("resume", "b1", "-q")
        return ended(process)

    seconds, wrong = _timed(plan, run)
    repeated = sum(server.paid.values()) - len(server.paid)
    print(f"kill: {plan.items:,} items, {wrong} wrong or missing, {seconds:.1f} s; killed {plan.kills} times")
    print(f"  paid calls repeated: {repeated}, at most {plan.kills * plan.at_once} were in flight")
    return not wrong and repeated <= plan.kills * plan.at_once


def _start(server: ChatServer, plan: Plan) -> Sequence[str]:
    asked = ("--llm", "Write a title for: {n}", "--model", "small", "--base-url", server.url)
    return ("start", "input.jsonl", *asked, "--id", "b1", "-c", str(plan.at_once), "-w", "2")


def _timed(plan: Plan, run: Callable[[Bench], int]) -> tuple[float, int]:
    """Seconds that a run took, and items without their right result."""
    with tempfile.TemporaryDirectory(prefix="batchq-llm-") as folder:
        bench = Bench(Path(folder))
        bench.write_input(plan.items)
        started = time.monotonic()
        run(bench)
        seconds = time.monotonic() - started
        rows = map(json.loads, bench.run("results", "b1").stdout.splitlines())
        titles = {row["id"]: row.get("result") for row in rows}
    return seconds, sum(titles.get(f"i{n}") != f"About {n}" for n in range(1, plan.items + 1))


if __name__ == "__main__":
    sys.exit(main())
