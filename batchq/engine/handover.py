"""Items that a program hands over: drawn in its own event loop, stored by the thread that fills the queue.

    ideas ── draw (the program's loop) ──▶ records ──▶ iteration (the filling thread) ──▶ batch.db
                    ▲ room                                     │
                    └──────────────────────────────────────────┘

Drawn in the loop, and not in the thread, because an iterable may belong to its thread: a database cursor does.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from batchq.drawing import Drawing
from batchq.engine.results import to_json
from batchq.engine.sieve import Sieve
from batchq.errors import InputChanged, InputError, UnserializableResult
from batchq.inputs.values import item_id_of
from batchq.model import Record
from batchq.shards import WHOLE, Shard
from batchq.spec import PROGRAM, SourceSpec

AHEAD: Final = 4000
"""Records that wait for the thread, at most."""
AHEAD_BYTES: Final = 8 * 1024 * 1024
TURN_SECONDS: Final = 0.005
"""Drawing gives way to the other tasks of the loop after so long."""
SILENCE_SECONDS: Final = 0.1
NAME: Final = "ideas"
SAMPLED: Final = 256
"""Shards of one input are compared by one idea in so many: to make JSON of those of all others would cost each of ten
shards ten times the time."""
SAMPLED_FIRST: Final = 17
"""And by all before that one, where they are few."""

SOURCE: Final = SourceSpec(PROGRAM, NAME, "values")


class Handover:
    """Draws `ideas` and hands them over, one record each.

    Args:
        ideas: any iterable or async iterable.
        shard: the part of them that is handed over.
        sieve: lets those through that are meant; the others are not counted.

    Example:
        handover = Handover(ideas)
        await handover.check_first()
        drawing = asyncio.create_task(handover.draw())  # while a thread walks over `handover`
    """

    def __init__(
        self, ideas: Iterable[Any] | AsyncIterable[Any], shard: Shard = WHOLE, sieve: Sieve | None = None
    ) -> None:
        self._shard = shard
        self._sieve = sieve or Sieve()
        self._sample = hashlib.blake2b(digest_size=16)
        self._offered = 0
        ideas = self._sieve.out_of(ideas)
        if not shard.is_whole:
            ideas = shard.out_of(self._seen_async(ideas) if isinstance(ideas, AsyncIterable) else self._seen(ideas))
        self._async_ideas: AsyncIterator[Any] | None = None
        self._ideas: Iterator[Any] | None = None
        if isinstance(ideas, AsyncIterable):
            self._async_ideas = aiter(ideas)
        else:
            self._ideas = iter(ideas)
        self._drawn = self._passed = 0
        self._peeked: list[Record] = []
        self._hash = hashlib.blake2b(digest_size=16)
        # Each count has one writer; what waits is their difference.
        self._waiting: deque[Record] = deque()
        self._put_bytes = self._taken_bytes = 0
        self._arrived = threading.Event()
        self._ended = self._closed = self._wants_room = False
        self._room = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.error: BaseException | None = None
        """What the iterable raised."""

    # In the program's event loop -----------------------------------------------------------------------------

    async def check_first(self) -> None:
        """Draw the first item; raise `InputError` when JSON cannot hold it."""
        record = await self._next()
        if record is None:
            return
        if record.error is not None:
            raise InputError(NAME, record.error, hint="Make it of dicts, lists, texts and numbers.")
        self._peeked.append(record)

    async def pass_over(self, records: int, digest: str, to_end: bool) -> None:
        """Draw what an earlier run has stored, and compare.

        Args:
            records: how many that were.
            digest: the running hash behind them.
            to_end: there were no more.

        Raises:
            InputChanged: these are other items.
        """
        deadline = time.monotonic() + TURN_SECONDS
        for _ in range(records):
            record = await self._next()
            if record is None:
                break
            self._note(record)
            self._passed += 1
            if time.monotonic() > deadline:
                await asyncio.sleep(0)
                deadline = time.monotonic() + TURN_SECONDS
        # Where nothing was stored, there is no hash either.
        changed = self._drawn < records or (records > 0 and self.digest() != digest)
        if not changed and to_end:
            changed = await self._next() is not None
        if changed:
            raise InputChanged(
                NAME,
                "they are not the ones that the batch of that id began with",
                hint="Pass the same ideas to go on with it, or choose another batch_id.",
            )

    def check_passed_over(self, records: int) -> None:
        """Raise `InputChanged` where the batch's file holds another number of items than were passed over."""
        if self._passed != records:
            raise InputChanged(
                NAME,
                "another program has gone on with the batch of that id meanwhile",
                hint="Run it again to go on with what is left.",
            )

    async def draw(self) -> None:
        """Hand everything over, and never more than a little ahead."""
        try:
            await self._draw()
        except (KeyboardInterrupt, SystemExit):
            raise  # it came while the iterable was asked, and is meant for the program
        except BaseException as error:
            if self._closed:
                raise
            self.error = error
        self._ended = True
        self._arrived.set()

    async def aclose(self) -> None:
        """Nothing more is drawn: let go of the iterable."""
        close = getattr(self._async_ideas, "aclose", None)
        if close is not None:
            await close()

    async def _draw(self) -> None:
        deadline = time.monotonic() + TURN_SECONDS
        while (record := await self._next()) is not None:
            self._put_bytes += len(record.payload)
            self._waiting.append(record)
            if not self._arrived.is_set():
                self._arrived.set()
            if self._is_full():
                self._room.clear()
                self._wants_room = True
                if self._is_full():  # the thread may have emptied it before it could see the wish
                    await self._room.wait()
            if time.monotonic() > deadline:
                await asyncio.sleep(0)
                deadline = time.monotonic() + TURN_SECONDS

    def _is_full(self, share: float = 1.0) -> bool:
        waiting_bytes = self._put_bytes - self._taken_bytes
        return len(self._waiting) >= share * AHEAD or waiting_bytes >= share * AHEAD_BYTES

    async def _next(self) -> Record | None:
        if self._peeked:
            return self._peeked.pop()
        try:
            idea = next(self._ideas) if self._ideas is not None else await anext(self._async_ideas)  # type: ignore[arg-type]
        except (StopIteration, StopAsyncIteration):
            return None
        self._drawn += 1
        place = self._shard.place(self._drawn)
        item_id = item_id_of(idea)
        if item_id is None and not self._shard.is_whole:
            item_id = f"item-{place}"
        try:
            return Record(to_json(idea), item_id, place, place, place + 1)
        except UnserializableResult as error:
            reason = f"item {place} cannot be stored as JSON: {error.path} is {error.type_name} ({error.reason})"
            return Record("null", item_id, place, place, place + 1, reason)

    def _seen(self, ideas: Iterable[Any]) -> Iterator[Any]:
        """All ideas, of which some become part of `whole`."""
        place = 0
        for place, idea in enumerate(ideas, 1):
            if place % SAMPLED == 0 or place < SAMPLED_FIRST:
                self._see(idea)
            yield idea
        self._offered = place

    async def _seen_async(self, ideas: AsyncIterable[Any]) -> AsyncIterator[Any]:
        place = 0
        async with Drawing(ideas) as drawn:
            async for idea in drawn:
                place += 1
                if place % SAMPLED == 0 or place < SAMPLED_FIRST:
                    self._see(idea)
                yield idea
            self._offered = place

    def _see(self, idea: Any) -> None:
        try:
            text = to_json(idea)
        except UnserializableResult:
            text = "?"
        self._sample.update(text.encode() + b"\n")

    # In the filling thread -----------------------------------------------------------------------------------

    @property
    def skipped(self) -> Mapping[str, int]:
        """Ideas that were left out so far, by the setting that did it."""
        return self._sieve.skipped

    @property
    def unseen(self) -> Collection[tuple[str, str]]:
        """Settings that name a field which no idea has had so far, with that field."""
        return self._sieve.unseen

    def __iter__(self) -> Iterator[Record | None]:
        """The records; None says that nothing more has come yet."""
        while not self._closed:
            self._arrived.clear()
            ended = self._ended  # asked before the last look: nothing is added afterwards
            while self._waiting:
                record = self._waiting.popleft()
                self._taken_bytes += len(record.payload)
                if self._wants_room and not self._is_full(0.5):
                    self._wants_room = False
                    with contextlib.suppress(RuntimeError):  # the loop has ended
                        self._loop.call_soon_threadsafe(self._room.set)
                self._note(record)
                yield record
            if ended and self.error is not None:
                raise InputError(NAME, f"drawing them raised {type(self.error).__name__}: {self.error}")
            if ended:
                return
            yield None
            self._arrived.wait(SILENCE_SECONDS)

    def digest(self) -> str:
        """Hash over all records that were yielded or passed over."""
        return self._hash.hexdigest()

    def whole(self) -> str | None:
        """Of a shard: hash over a sample of all ideas, and their number; None of all of them."""
        if self._shard.is_whole:
            return None
        return hashlib.blake2b(f"{self._offered} {self._sample.hexdigest()}".encode(), digest_size=16).hexdigest()

    def close(self) -> None:
        """Nobody walks over it any more."""
        self._closed = True

    def _note(self, record: Record) -> None:
        self._hash.update(record.payload.encode())
        self._hash.update(b"\n")
