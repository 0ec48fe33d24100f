"""The workers: a process in which time passes, items end, and parcels go to the process that writes.

    writer ── Orders: claims, committed, load ──▶ this ── slots: an item takes so many seconds ──▶ outcomes
           ◀── News: outcomes, finished, want ────

Each worker does what a real one does with its slots: it asks for items when it runs out of them, sends what it has to
say in parcels, and begins nothing while it has too much uncommitted.  Parcels are pickled one by one, as on a wire.
"""

from __future__ import annotations

import heapq
import pickle
import random
import time
from collections import deque
from multiprocessing.connection import Connection
from typing import Any, Final

from simulation.plan import GAP_SECONDS, Crowd

AHEAD_SECONDS: Final = 0.1
"""Items are asked for as far ahead, as `engine.ahead` does."""
TICK_SECONDS: Final = 0.002
NUMBER: Final = 1_000_000
"""The first worker's number is that of epoch 1."""


class Worker:
    """One of them."""

    __slots__ = ("backlog", "bytes", "dirty", "finished", "idle", "outcomes", "sizes", "want", "wanted")

    def __init__(self, slots: int) -> None:
        self.backlog: deque[tuple[int, int, int]] = deque()
        self.idle = slots
        self.want = self.wanted = 0
        self.sizes = 0
        self.bytes = 0
        self.outcomes: list[tuple[Any, ...]] = []
        self.finished: list[int] = []
        self.dirty = True


class Crowded:
    """All of them.

    Args:
        crowd: how many, and what they do.
        wire: to the process that writes.
        offered: outcomes a second at the beginning.
    """

    def __init__(self, crowd: Crowd, wire: Connection, offered: float) -> None:
        self._crowd = crowd
        self._wire = wire
        self._wait = crowd.wait(offered)
        self._workers = [Worker(crowd.slots) for _ in range(crowd.workers)]
        self._left: dict[int, int] = {}
        self._ends: list[tuple[float, int, int, int, int]] = []
        self._begun = 0
        self._rng = random.Random(1)
        self._base = time.time() - time.monotonic()

    def run(self) -> None:
        """Live until the writer says that it is over."""
        for number, worker in enumerate(self._workers):
            self._begin(number, worker, 0.0)
        sent = 0.0
        while self._obey():
            now = time.monotonic()
            self._end_items(now)
            if now - sent >= GAP_SECONDS:
                sent = now
                self._send()

    def _obey(self) -> bool:
        timeout = TICK_SECONDS
        while self._wire.poll(timeout):
            timeout = 0
            for order in pickle.loads(self._wire.recv_bytes()):
                if order is None:
                    return False
                if isinstance(order, float):
                    self._change(self._crowd.wait(order))
                else:
                    self._take(*order)
        return True

    def _change(self, wait: float) -> None:
        """Items take so long from now on, those in flight as much of it as they had left."""
        now, factor = time.monotonic(), wait / self._wait
        self._wait = wait
        self._ends = [(now + (end - now) * factor, *rest) for end, *rest in self._ends]
        heapq.heapify(self._ends)

    def _take(self, number: int, packed: bytes) -> None:
        """What one worker is told."""
        worker = self._workers[number]
        claims, committed, size = pickle.loads(packed)
        worker.sizes -= committed
        worker.bytes -= size
        for items in claims:
            worker.wanted = 0
            for message, seqs, _payloads in items:
                self._left[message] = len(seqs)
                worker.backlog.extend((seq, run, message) for seq, run in seqs)
        self._begin(number, worker, time.monotonic())

    def _begin(self, number: int, worker: Worker, now: float) -> None:
        """Fill the slots, and ask for more where that takes the last items."""
        crowd = self._crowd
        full = worker.sizes >= crowd.most or worker.bytes >= crowd.most_bytes
        while worker.idle and worker.backlog and not full:
            # The first items are at any point of their time, so that their ends are spread over all of it.
            share = self._rng.random() if self._begun < crowd.in_flight else 1.0
            self._begun += 1
            worker.idle -= 1
            heapq.heappush(self._ends, (now + share * self._wait, number, *worker.backlog.popleft()))
        want = max(worker.idle, int(crowd.slots / self._wait * AHEAD_SECONDS)) - len(worker.backlog)
        if want > worker.wanted:
            worker.want = worker.wanted = want
            worker.dirty = True

    def _end_items(self, now: float) -> None:
        ends = self._ends
        size = self._crowd.result_bytes
        ended_ms = int((self._base + now) * 1000)
        took_us = int(self._wait * 1e6)
        while ends and ends[0][0] <= now:
            _, number, seq, run, message = heapq.heappop(ends)
            worker = self._workers[number]
            result = f'"{seq:0{size - 2}d}"'  # each another one: a pickle holds equal texts once
            worker.outcomes.append((seq, run, 1, took_us, ended_ms, NUMBER + number + 1, result, None))
            left = self._left[message] = self._left[message] - 1
            if not left:
                del self._left[message]
                worker.finished.append(message)
            worker.idle += 1
            worker.sizes += 1
            worker.bytes += size
            worker.dirty = True
            self._begin(number, worker, now)

    def _send(self) -> None:
        parcels = []
        for number, worker in enumerate(self._workers):
            if worker.dirty:
                worker.dirty = False
                parcels.append((number, pickle.dumps((worker.outcomes, worker.finished, worker.want), protocol=5)))
                worker.outcomes, worker.finished, worker.want = [], [], 0
        if parcels:
            self._wire.send_bytes(pickle.dumps(parcels, protocol=5))


def crowded(crowd: Crowd, wire: Connection, offered: float) -> None:
    """Runs in a process of its own."""
    Crowded(crowd, wire, offered).run()
