"""The chunk queue: persist-queue's ack queue in the batch's own file, with a claim that is atomic.

    ready ──claim──▶ unacked ──ack──▶ acked ──purge──▶ gone
      ▲                 │
      └─ give back, put back, release (its claimant is dead)

A message is a range of ``seq``; payloads are stored once, with the items.  persist-queue selects and marks in
two transactions behind a thread lock, which several processes cannot share, and commits with every call.  Here
each method joins the transaction that its caller has open.  Everything that touches a private part of
persist-queue stands in this class (``tests/store/test_persist_queue.py`` guards those parts).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from persistqueue.sqlackqueue import SQLiteAckQueue

from batchq.model import ACTIVE, Chunk, Item, Reached
from batchq.store.connection import SQL, Connection
from batchq.store.portions import Part, choose, items_in

LANE_ALL: Final = 0
"""Chunks that any worker may claim."""
LANE_ALONE: Final = 1
"""Suspects that run one at a time in a process of their own; lanes above it hold groups of suspects."""
FEW_CLAIMANTS: Final = 16
"""Up to so many, what is ready is looked through for the fair share of each."""
PLENTY: Final = 1000
"""Ready messages that are enough for any number of claimants: shares matter only near the end."""
READY: Final = "1"
UNACKED: Final = "2"
ACKED: Final = "5"


class _RangeSerializer:
    """Messages as JSON text: pickle, the default, would make a file from elsewhere into code."""

    def dumps(self, value: Any) -> str:
        return json.dumps(value)

    def loads(self, text: str) -> Any:
        return json.loads(text)


@dataclass(frozen=True)
class Claim:
    """What one claim handed out.

    Attributes:
        open: False when this claimant may claim no more: the batch is not active, or has a newer supervisor.
        chunks: the messages taken, each now unacked in the claimant's name, with the items that it still holds.
    """

    open: bool
    chunks: Sequence[tuple[Chunk, Sequence[Item]]] = field(default=())

    @property
    def items(self) -> int:
        """How many items were handed out."""
        return sum(len(items) for _, items in self.chunks)


class ChunkQueue(SQLiteAckQueue):
    """The chunks of one batch, on a connection that belongs to somebody else.

    Args:
        connection: an open connection to the batch's file; it is never closed here.
        claimant: the name in which chunks are claimed.
        epoch: the supervisor's epoch in which this claimant was started.
        stages: of an item before its last one; 0 for none.

    Example:
        with transaction(connection):
            claim = ChunkQueue(connection, "1.1", epoch=1).claim(want=10, claimants=2)
    """

    def __init__(self, connection: Connection, claimant: str = "", epoch: int = 0, stages: int = 0) -> None:
        self._shared = connection
        self.claimant = claimant
        self.epoch = epoch
        self._stages = stages
        super().__init__("", auto_resume=False, name="chunks", serializer=_RangeSerializer())

    # What persist-queue calls, made to join the caller's transaction -----------------------------------------

    def _init(self) -> None:
        """Adopts the shared connection: the table stands in the schema, and counting all rows costs too much."""
        self._conn: Any = self._shared
        self._getter: Any = self._shared
        self._putter: Any = self._shared
        self.tran_lock = threading.Lock()
        self.action_lock = threading.Lock()
        self.put_event = threading.Event()
        self.total = 0

    def _insert_into(self, data: str, timestamp: float) -> int | None:
        first, last = json.loads(data)
        return self.put_range(first, last, timestamp=timestamp)

    def _update(self, key: int, data: str) -> None:
        first, last = json.loads(data)
        self._shared.execute(SQL["move_chunk"], (key, first, last))

    def _delete(self, key: int, op: str = "=") -> None:
        self._shared.execute(SQL["delete_chunk"], (key,))

    def _mark_ack_status(self, key: int, status: str) -> None:
        claimant = self.claimant if status == UNACKED else None
        self._shared.execute(SQL["mark_chunk"], (key, int(status), claimant))

    def _count(self) -> int:
        count: int = self._shared.execute(SQL["count_ready"]).fetchone()[0]
        return count

    def resume_unack_tasks(self) -> None:
        """Put every unacked chunk back; only a supervisor that holds the batch's lock may."""
        self._shared.execute(SQL["release_all_claims"])

    def clear_acked_data(self, max_delete: int = 1000, keep_latest: int = 1000, clear_ack_failed: bool = False) -> None:
        """Delete all acked messages: their outcomes are the record, nothing needs them."""
        self._shared.execute(SQL["purge_acked"])

    @property
    def size(self) -> int:
        """Ready messages, counted in the file: other processes change it."""
        return self._count()

    def close(self) -> None:
        """Leaves the shared connection open."""
        self._getter = self._putter = None

    # What batchq calls ---------------------------------------------------------------------------------------

    def put_range(
        self,
        first: int,
        last: int,
        size: int = 0,
        lane: int = LANE_ALL,
        redelivered: bool = False,
        timestamp: float | None = None,
    ) -> int | None:
        """Add the items `first` to `last`, of together about `size` bytes, as one ready message."""
        now = time.time() if timestamp is None else timestamp
        return self._shared.execute(SQL["insert_chunk"], (first, last, size, lane, int(redelivered), now)).lastrowid

    def put_ranges(self, ranges: Iterable[tuple[int, int, int, bool]]) -> None:
        """Add many messages: (first, last, bytes, redelivered) each."""
        now = time.time()
        self._shared.executemany(
            SQL["insert_chunk"],
            ((first, last, size, LANE_ALL, int(again), now) for first, last, size, again in ranges),
        )

    def is_open(self) -> bool:
        """Whether this claimant may claim: the batch is active, and no newer supervisor has taken it over."""
        epoch, state = self._shared.execute(SQL["read_gate"]).fetchone()
        return epoch == self.epoch and state in ACTIVE

    def any_ready(self, lane: int = LANE_ALL) -> bool:
        """Whether a claim would find something; a read, so that an idle worker never takes the write lock."""
        return bool(self._shared.execute(SQL["any_ready"], (lane,)).fetchone()[0])

    def any_open(self) -> bool:
        """Whether any message is ready or unacked."""
        return bool(self._shared.execute(SQL["any_open"]).fetchone()[0])

    def claim(self, want: int, claimants: int = 1, lane: int = LANE_ALL, chunk_size: int = 50) -> Claim:
        """Take up to `want` items, the lowest ``seq`` first, and return them with their payloads.

        As `take` and `read` in one step: call it inside a write transaction.
        """
        chunks = self.take(want, claimants, lane, chunk_size)
        if chunks is None:
            return Claim(open=False)
        taken, done = self.read(chunks)
        if done:
            self.ack_all(done)
        return Claim(open=True, chunks=taken)

    def take(self, want: int, claimants: int = 1, lane: int = LANE_ALL, chunk_size: int = 50) -> Sequence[Chunk] | None:
        """Mark up to `want` items as this claimant's, the lowest ``seq`` first; None where it may claim no more.

        Takes whole messages, and the first part of the last one.  Never more than a fair share of what is
        ready among `claimants`, and at most `portions.CLAIM_BYTES` of payload (but always one item).  Call it inside a
        write transaction: the choice and the marks are one step to everybody else.
        """
        if not self.is_open():
            return None
        ready, share = self._ready(want, claimants, lane, max(chunk_size, 1))
        whole, part = choose(ready, min(want, share))
        chunks = [Chunk(key, first, last, bool(again)) for key, first, last, _, again in whole]
        if whole:
            keys = json.dumps([row[0] for row in whole])
            self._shared.execute(SQL["claim_chunks"], (self.claimant, self.epoch, keys))
        if part is not None:
            chunks.append(self._take_part(part, lane))
        return chunks

    def _ready(self, want: int, claimants: int, lane: int, chunk_size: int) -> tuple[list[list[int]], int]:
        """Messages that hold what one claimant may take, and its share of all that is ready."""
        enough = want * claimants // chunk_size + 2 * claimants
        if claimants > FEW_CLAIMANTS:
            # Measured with a thousand of them: to read that much took 6 ms of each claim, in which nobody could write.
            few = want // chunk_size + FEW_CLAIMANTS
            plenty = min(enough, PLENTY)
            if self._shared.execute(SQL["count_ready_to"], (lane, plenty)).fetchone()[0] == plenty:
                ready = self._read_ready(lane, few)
                if items_in(ready) >= want:
                    return ready, want
        ready = self._read_ready(lane, enough)
        return ready, -(-items_in(ready) // claimants)

    def _read_ready(self, lane: int, most: int) -> list[list[int]]:
        ready: list[list[int]] = json.loads(self._shared.execute(SQL["ready_chunks"], (lane, most)).fetchone()[0])
        return ready

    def read(self, chunks: Sequence[Chunk]) -> tuple[list[tuple[Chunk, Sequence[Item]]], list[int]]:
        """The items of chunks that are this claimant's, and the messages of which none is left: they want an ack.

        Nobody else changes what is claimed, so this needs no transaction: others may write meanwhile.
        """
        taken: list[tuple[Chunk, Sequence[Item]]] = []
        done: list[int] = []
        for run in _neighbours(chunks):
            items = self._read_items(run)
            for chunk in run:
                mine = items[chunk.message_id]
                if mine:
                    taken.append((chunk, mine))
                else:
                    done.append(chunk.message_id)
        return taken, done

    def ack_all(self, message_ids: Sequence[int]) -> None:
        """Ack chunks whose items all have an outcome; those taken over by somebody else are left alone."""
        self._shared.execute(SQL["ack_chunks"], (self.claimant, json.dumps(message_ids)))

    def give_back(self, message_id: int, start: int) -> None:
        """Put the items from `start` on, none of which was begun, back to ready; the rest stays claimed."""
        row = self._read_claimed(message_id)
        if row is None:
            return
        first, last, lane, redelivered, size = row
        if start <= first:
            self._shared.execute(SQL["put_back_chunk"], (message_id, self.claimant))
            return
        given = size * (last - start + 1) // (last - first + 1)
        self._shared.execute(SQL["shrink_claimed"], (message_id, start - 1, given))
        self.put_range(start, last, given, lane, bool(redelivered))

    def put_back(self, message_id: int, unfinished: Sequence[int]) -> None:
        """Put items of a chunk back to ready, as new messages, whether they were begun or not.

        The chunk is acked, unless others of its items have no outcome: these stay claimed, with all between them.

        Args:
            message_id: the chunk.
            unfinished: seqs of items without an outcome, ascending.
        """
        row = self._read_claimed(message_id)
        if row is None:
            return
        first, last, lane, _, size = row
        left: list[int] = json.loads(self._shared.execute(SQL["unfinished_in_range"], (first, last)).fetchone()[0])
        each = size // (last - first + 1)
        if others := set(left).difference(unfinished):
            low, high = min(others), max(others)
            self._shared.execute(SQL["narrow_claimed"], (message_id, low, high, each * (high - low + 1)))
            unfinished = [seq for seq in unfinished if not low <= seq <= high]
        else:
            self.ack_all([message_id])
        for low, high in ranges(unfinished):
            self.put_range(low, high, each * (high - low + 1), lane, redelivered=True)

    def release(self, claimant: str, lane_of: Mapping[int, int]) -> None:
        """Take over the chunks of a claimant that is dead.

        Args:
            claimant: whose chunks go back to ready.
            lane_of: the lane of each item that goes to quarantine instead.
        """
        for message_id, first, last, lane in self.claims_of(claimant):
            left: list[int] = json.loads(self._shared.execute(SQL["unfinished_in_range"], (first, last)).fetchone()[0])
            if left and not any(first <= seq <= last for seq in lane_of):
                continue
            # Acked: nothing of it is left to run, or what is gets messages of its own.
            self._shared.execute(SQL["mark_chunk"], (message_id, int(ACKED), None))
            for low, high in ranges([seq for seq in left if seq not in lane_of]):
                self.put_range(low, high, lane=lane, redelivered=True)
            for seq in left:
                if seq in lane_of:
                    self.put_range(seq, seq, lane=lane_of[seq], redelivered=True)
        self._shared.execute(SQL["release_claims"], (claimant,))

    def claims_of(self, claimant: str) -> list[tuple[int, int, int, int]]:
        """(message id, first, last, lane) of each chunk that `claimant` holds."""
        rows = json.loads(self._shared.execute(SQL["claims_of"], (claimant,)).fetchone()[0])
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def claimants(self) -> list[str]:
        """Everybody who holds a chunk."""
        return [row[0] for row in self._shared.execute(SQL["claimants"]).fetchall()]

    def quarantined(self) -> dict[int, int]:
        """Ready messages in each quarantine lane."""
        return dict(self._shared.execute(SQL["ready_lanes"]).fetchall())

    def _read_claimed(self, message_id: int) -> Any:
        return self._shared.execute(SQL["read_claimed"], (message_id, self.claimant)).fetchone()

    def _take_part(self, part: Part, lane: int) -> Chunk:
        key, first, last, size, again, taking = part
        taken = size * taking // (last - first + 1)
        middle = first + taking
        self._shared.execute(SQL["shorten_chunk"], (key, middle, taken))
        message_id = self._shared.execute(
            SQL["insert_claimed_part"],
            (first, middle - 1, taken, lane, again, self.claimant, self.epoch, time.time()),
        ).lastrowid
        assert message_id is not None
        return Chunk(message_id, first, middle - 1, bool(again))

    def _read_items(self, run: Sequence[Chunk]) -> dict[int, list[Item]]:
        again = run[0].redelivered
        statement = SQL["items_left_of_chunk" if again else "items_of_chunk"]
        facts, text = self._shared.execute(statement, (run[0].first, run[-1].last)).fetchone()
        items: dict[int, list[Item]] = {chunk.message_id: [] for chunk in run}
        chunks = iter(run)
        chunk = next(chunks)
        here = items[chunk.message_id]
        now_ms = int(time.time() * 1000) if again else 0
        start = 0
        make = Item._make  # half as long as a call by names
        for seq, item_id, run_number, length, *history in json.loads(facts):
            while seq > chunk.last:
                chunk = next(chunks)
                here = items[chunk.message_id]
            payload = text[start : start + length]
            start += length
            if again:
                tries, spent, delay, not_before = history
                # A clock that was set back must not freeze the item: never longer than its own delay.
                wait = min(delay, max(0, not_before - now_ms))
                here.append(Item(seq, item_id, payload, run_number, chunk.message_id, tries, spent, wait))
            else:
                here.append(make((seq, item_id, payload, run_number, chunk.message_id, 0, 0, 0, None)))
        if again and self._stages:
            self._advance(items, run[0].first, run[-1].last)
        return items

    def _advance(self, items: dict[int, list[Item]], first: int, last: int) -> None:
        """Put the items from `first` to `last` into the first stage that they have no result of."""
        rows = json.loads(self._shared.execute(SQL["reached_in_range"], (first, last, self._stages)).fetchone()[0])
        if not rows:
            return
        reached = {seq: (Reached(stage + 1, before, None), spent, result) for seq, stage, before, spent, result in rows}
        for message_id, here in items.items():
            items[message_id] = [_advanced(item, *reached[item.seq]) if item.seq in reached else item for item in here]


def _advanced(item: Item, reached: Reached, spent_us: int, result: str) -> Item:
    return item._replace(
        payload=result, spent_us=item.spent_us + spent_us, reached=reached._replace(payload=item.payload)
    )


def ranges(seqs: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending numbers as ranges of neighbours.

    Example:
        >>> ranges([1, 2, 3, 7, 9, 10])
        [(1, 3), (7, 7), (9, 10)]
    """
    found: list[tuple[int, int]] = []
    for seq in seqs:
        if found and seq == found[-1][1] + 1:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    return found


def _neighbours(chunks: Sequence[Chunk]) -> list[list[Chunk]]:
    """Chunks grouped so that each group can be read as one range of items."""
    runs: list[list[Chunk]] = []
    for chunk in chunks:
        if runs and chunk.first == runs[-1][-1].last + 1 and chunk.redelivered == runs[-1][-1].redelivered:
            runs[-1].append(chunk)
        else:
            runs.append([chunk])
    return runs
