"""Items that a program hands over: drawn in its own event loop, stored by the thread that fills the queue.

    ideas ── draw (the program's loop) ──▶ groups of records ──▶ iteration (the filling thread) ──▶ batch.db
                    ▲ room                                                 │
                    └──────────────────────────────────────────────────────┘

Drawn in the loop, and not in the thread, because an iterable may belong to its thread: a database cursor does.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import queue
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, Final

from batchq.engine.results import to_json
from batchq.errors import InputChanged, InputError, UnserializableResult
from batchq.inputs.values import item_id_of
from batchq.model import PROGRAM, Record, SourceSpec

GROUP: Final = 500
"""Records that are handed over together, at most."""
GROUP_BYTES: Final = 1024 * 1024
GROUPS: Final = 8
"""Groups that wait for the thread, at most."""
TURN_SECONDS: Final = 0.005
"""Drawing gives way to the other tasks of the loop after so long."""
SILENCE_SECONDS: Final = 0.1
NAME: Final = "ideas"

SOURCE: Final = SourceSpec(PROGRAM, NAME, "values")


class Handover:
    """Draws `ideas` and hands them over, one record each.

    Args:
        ideas: any iterable or async iterable.

    Example:
        handover = Handover(ideas)
        await handover.check_first()
        drawing = asyncio.create_task(handover.draw())  # while a thread walks over `handover`
    """

    def __init__(self, ideas: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._async_ideas: AsyncIterator[Any] | None = None
        self._ideas: Iterator[Any] | None = None
        if isinstance(ideas, AsyncIterable):
            self._async_ideas = aiter(ideas)
        else:
            self._ideas = iter(ideas)
        self._drawn = 0
        self._peeked: list[Record] = []
        self._hash = hashlib.blake2b(digest_size=16)
        self._groups: queue.SimpleQueue[list[Record] | InputError | None] = queue.SimpleQueue()
        self._room = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._closed = False
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
            if time.monotonic() > deadline:
                await asyncio.sleep(0)
                deadline = time.monotonic() + TURN_SECONDS
        changed = self._drawn < records or self.digest() != digest
        if not changed and to_end:
            changed = await self._next() is not None
        if changed:
            raise InputChanged(
                NAME,
                "they are not the ones that the batch of that id began with",
                hint="Pass the same ideas to go on with it, or choose another batch_id.",
            )

    async def draw(self) -> None:
        """Hand everything over, a group at a time, and never more than a few groups ahead."""
        try:
            await self._draw()
            self._groups.put(None)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.error = error
            self._groups.put(InputError(NAME, f"drawing them raised {type(error).__name__}: {error}"))
        finally:
            close = getattr(self._async_ideas, "aclose", None)
            if close is not None:
                await close()

    async def _draw(self) -> None:
        group: list[Record] = []
        size = 0
        deadline = time.monotonic() + TURN_SECONDS
        try:
            while (record := await self._next()) is not None:
                group.append(record)
                size += len(record.payload)
                # Nobody waits for a group to be full: an iterable may be slow.
                if self._groups.empty() or len(group) >= GROUP or size >= GROUP_BYTES:
                    self._groups.put(group)
                    group, size = [], 0
                while self._groups.qsize() >= GROUPS:
                    self._room.clear()
                    await self._room.wait()
                if time.monotonic() > deadline:
                    await asyncio.sleep(0)
                    deadline = time.monotonic() + TURN_SECONDS
        finally:
            if group:
                self._groups.put(group)

    async def _next(self) -> Record | None:
        if self._peeked:
            return self._peeked.pop()
        try:
            idea = next(self._ideas) if self._ideas is not None else await anext(self._async_ideas)  # type: ignore[arg-type]
        except (StopIteration, StopAsyncIteration):
            return None
        self._drawn = number = self._drawn + 1
        try:
            return Record(to_json(idea), item_id_of(idea), number, number, number + 1)
        except UnserializableResult as error:
            reason = f"item {number} cannot be stored as JSON: {error.path} is {error.type_name} ({error.reason})"
            return Record("null", item_id_of(idea), number, number, number + 1, reason)

    # In the filling thread -----------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Record | None]:
        """The records; None says that nothing has come for a while."""
        while not self._closed:
            try:
                group = self._groups.get(timeout=SILENCE_SECONDS)
            except queue.Empty:
                yield None
                continue
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._room.set)
            if group is None:
                return
            if isinstance(group, InputError):
                raise group
            for record in group:
                self._note(record)
                yield record

    def digest(self) -> str:
        """Hash over all records that were yielded or passed over."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Nobody walks over it any more."""
        self._closed = True

    def _note(self, record: Record) -> None:
        self._hash.update(record.payload.encode())
        self._hash.update(b"\n")
