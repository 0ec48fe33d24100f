"""The process that writes: the real store, with a real `Recorder` for each worker, and one clerk, as a supervisor has.

wire ── parcels ──▶ hear ──▶ Recorder 1..W ── Clerk, a thread ── transactions ──▶ batch.db ◀── checkpoints ── look
     ◀── orders ─── give ◀── claims, commits ──┘
"""

from __future__ import annotations

import multiprocessing
import pickle
import queue
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from batchq.engine.failures import plain_failure
from batchq.engine.supervisor import CHECKPOINT_BYTES
from batchq.model import Outcome, Record
from batchq.spec import BatchSpec, SourceSpec
from batchq.store.batch import BatchStore, create_batch
from batchq.store.chunks import Claim
from batchq.store.clerk import Clerk
from batchq.store.filler import Filler
from batchq.store.reading import BatchReader
from batchq.store.recorder import Recorder, RecorderSettings
from simulation.plan import Crowd, Step
from simulation.workers import crowded

PAYLOAD_BYTES: Final = 200
FILL_ITEMS: Final = 2000
CHUNK_SIZE: Final = 50
LOOK_SECONDS: Final = 0.25
MOST_CHECKED: Final = 50_000
READY_SECONDS: Final = 60.0
SAMPLE: Final = 50
"""Of so many outcomes of a commit one tells how long it took to get there."""


class Writer:
    """Runs a batch whose workers are simulated.

    Args:
        folder: of the batch.
        crowd: the workers.
        items: of the batch.
        offered: outcomes a second at the beginning.
    """

    def __init__(self, folder: Path, crowd: Crowd, items: int, offered: float) -> None:
        _allow_files()
        self._crowd = crowd
        database = folder / "batch.db"
        self._store, epoch = _made(database, items)
        self._reader = BatchReader.open(database)
        self._orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._commits = [0] * crowd.workers
        self._wal = 0
        self._claimed = 0
        self._waits: list[float] = []
        self._ended = threading.Event()

        self._clerk = Clerk(database, "normal", stays=True)
        self._recorders = [self._recorder(database, number, epoch) for number in range(crowd.workers)]
        self._wire, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=crowded, args=(crowd, theirs, offered), daemon=True)

    def _recorder(self, database: Path, number: int, epoch: int) -> Recorder:
        crowd = self._crowd
        settings = RecorderSettings(
            database, "normal", f"w{number}", epoch, crowd.workers, CHUNK_SIZE, max_uncommitted=crowd.most
        )
        return Recorder(
            settings,
            partial(self._deliver, number),
            lambda: None,
            self._fail,
            partial(self._committed, number),
            clerk=self._clerk,
        )

    @contextmanager
    def running(self) -> Iterator[Writer]:
        """Workers and recorders at work."""
        self._process.start()
        for recorder in self._recorders:
            recorder.start()
        threads = [threading.Thread(target=work, daemon=True) for work in (self._hear, self._give, self._look)]
        for thread in threads:
            thread.start()
        try:
            self._until_ready()
            yield self
        finally:
            self._orders.put(None)
            self._process.join(10)
            self._ended.set()
            for recorder in self._recorders:
                recorder.close()
            for recorder in self._recorders:
                recorder.join(30)
            self._clerk.close()
            for thread in threads:
                thread.join(10)
            self._process.kill()

    def close(self) -> list[str]:
        """Let go of the file; what is broken in it, in words."""
        # With very many messages in flight to look at each of them takes minutes.
        broken = self._store.check() if self._reader.tally().items <= MOST_CHECKED else []
        self._store.close()
        self._reader.close()
        return broken

    def _until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while self._claimed < self._crowd.in_flight:
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {self._claimed:,} items were claimed in {READY_SECONDS:g} s")
            time.sleep(0.02)

    def step(self, offered: float, settle: float, seconds: float) -> Step:
        """Let so many outcomes a second be offered, and measure for so many seconds, after some to settle."""
        self._orders.put(float(offered))
        time.sleep(settle)
        self._waits.clear()
        self._wal = 0
        before = self._now()
        time.sleep(seconds)
        after = self._now()
        elapsed, done, commits, cpu = (late - early for early, late in zip(before, after, strict=True))
        waits = sorted(self._waits)
        middle, most = (waits[int(share * len(waits))] if waits else None for share in (0.5, 0.99))
        return Step(
            offered,
            round(done / elapsed, 1),
            round(commits / elapsed, 1),
            *(None if wait is None else round(max(0.0, wait), 3) for wait in (middle, most)),
            round(cpu / elapsed, 2),
            self._wal,
        )

    def _now(self) -> tuple[float, int, int, float]:
        return time.monotonic(), self._reader.tally().done, sum(self._commits), time.process_time()

    # Threads ---------------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        """Hand what workers say to their recorders."""
        with suppress(EOFError, OSError):
            while not self._ended.is_set():
                if not self._wire.poll(LOOK_SECONDS):
                    continue
                for number, packed in pickle.loads(self._wire.recv_bytes()):
                    recorder = self._recorders[number]
                    outcomes, finished, wanted = pickle.loads(packed)
                    for outcome in outcomes:
                        recorder.record(Outcome._make(outcome))
                    for message in finished:
                        recorder.finish(message)
                    if wanted:
                        recorder.want(wanted)

    def _give(self) -> None:
        """Tell workers what they have got, and what is committed; whatever has come meanwhile in one go."""
        over = False
        while not over:
            orders = [self._orders.get()]
            with suppress(queue.Empty):
                while True:
                    orders.append(self._orders.get_nowait())
            told: list[Any] = [each for each in orders if isinstance(each, float)]
            each_worker: dict[int, list[Any]] = defaultdict(lambda: [[], 0, 0])
            for order in orders:
                if isinstance(order, tuple):
                    number, claim, committed, size = order
                    here = each_worker[number]
                    here[0] += [claim] if claim else []
                    here[1] += committed
                    here[2] += size
            told += [(number, pickle.dumps(tuple(here), protocol=5)) for number, here in each_worker.items()]
            over = None in orders
            with suppress(OSError):
                self._wire.send_bytes(pickle.dumps(told + [None] * over, protocol=5))

    def _look(self) -> None:
        """What a supervisor does beside: it looks at the counts, and copies the log into the file."""
        store = self._store
        while not self._ended.wait(LOOK_SECONDS):
            store.progress()
            size = store.wal_bytes()
            self._wal = max(self._wal, size)
            if size >= CHECKPOINT_BYTES:
                store.checkpoint()

    # What recorders say, each in its thread ----------------------------------------------------------------------

    def _deliver(self, number: int, claim: Claim) -> None:
        packed = [
            (chunk.message_id, [(item.seq, item.run) for item in items], [item.payload for item in items])
            for chunk, items in claim.chunks
        ]
        self._claimed += sum(len(seqs) for _, seqs, _ in packed)
        self._orders.put((number, packed, 0, 0))

    def _committed(self, number: int, done: Any) -> None:
        outcomes: Sequence[Outcome] = getattr(done, "outcomes", done)
        if not outcomes:
            return
        self._commits[number] += 1
        now_ms = time.time() * 1000
        self._waits += [(now_ms - outcome.ended_ms) / 1000 for outcome in outcomes[::SAMPLE]]
        self._orders.put((number, None, len(outcomes), sum(len(outcome.result or "") for outcome in outcomes)))

    def _fail(self, error: Exception) -> None:
        print(f"a recorder failed: {error}", file=sys.stderr)


def _made(database: Path, items: int) -> tuple[BatchStore, int]:
    """The file of a batch of so many items, all of them stored, and the number of its session."""
    source = SourceSpec(path="simulated.jsonl", name="simulated.jsonl", format="jsonl")
    folder = str(database.parent)
    create_batch(
        database, "simulated", BatchSpec(target="simulated:wait", folder=folder, cwd=folder, python="", source=source)
    )
    store = BatchStore(database)
    store.move("supervise")
    epoch = store.begin_session()
    filler = Filler(database, "normal", CHUNK_SIZE, 0)
    for first in range(1, items + 1, FILL_ITEMS):
        numbers = range(first, min(first + FILL_ITEMS, items + 1))
        records = [Record(_payload(n), None, n, n * PAYLOAD_BYTES, n + 1) for n in numbers]
        filler.store(records, "", lambda reason: plain_failure("InvalidInput", reason, reason))
        if store.wal_bytes() >= CHECKPOINT_BYTES:
            store.checkpoint()
    filler.close()
    store.end_input()
    return store, epoch


def _payload(number: int) -> str:
    return f'{{"id": {number}, "text": "{"x" * (PAYLOAD_BYTES - 30)}"}}'


def _allow_files() -> None:
    """Each recorder has four open files."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
