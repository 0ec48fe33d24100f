"""`QueueManager`: items handed out in chunks, in memory or in a file that survives the program.

    add_items ──▶ queue ──get_next_chunk──▶ in flight ──mark_chunk_processed──▶ processed
                    ▲                          │
                    └── the function failed, the call was cancelled, or the program died

In memory the items stay the very objects that were added; in a file (`store.pending`) they are JSON.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from batchq.config import MAX_CONCURRENCY, QueueConfig, QueueStatus, check_count
from batchq.engine.results import to_json
from batchq.engine.threads import SlotThread
from batchq.errors import ConfigError, UsageError
from batchq.handlers import is_coroutine_function
from batchq.store.pending import InMemory, PendingStore, Waiting, is_saved


@dataclass(frozen=True, eq=False)
class _Taken:
    """A chunk in flight. The list belongs to the caller, who may have emptied it meanwhile."""

    chunk: list[Any]
    size: int
    ticket: Any


class QueueManager:
    """Hands out items in chunks, keeps what came of them, and can be paused between two chunks.

    With ``enable_persistence`` every change is committed to ``persistence_path`` as it happens.  After a crash
    (a kill -9 too) a new manager with that path has everything again: `load_state` takes it over, each result
    once, with the chunks that were in flight back at the front, where they run again.

    The file is opened by `load_state` or by the first `add_items`, and then belongs to this manager until `close`,
    until the end of the program, or until another manager of the same program opens it.  `add_items` without
    `load_state` loses nothing either.  Where the file holds an unfinished queue, that is loaded, and the items go
    behind it; where it holds a finished one, a new queue begins that counts from zero, and the older rows stay in
    the file.  Items and results in a file must be something that JSON can hold, and are read back as JSON gives
    them: a tuple as a list.

    Methods may be called from any thread, and `pause` and `resume` from signal handlers.

    Args:
        config: sizes and persistence; None for the defaults.

    Attributes:
        config: the settings, read at each use.
        queue: the items that wait; it has a length.
        processed: results, in the order in which they came (read back from a file: in the order of the items).
        status: `QueueStatus`.
        total_items: items of this queue from its first to its last.
        processed_count: those of them that were marked as processed.

    Example:
        >>> manager = QueueManager(QueueConfig(chunk_size=2))
        >>> manager.add_items([1, 2, 3])
        >>> manager.get_next_chunk()
        [1, 2]
        >>> manager.mark_chunk_processed([10, 20])
        >>> manager.processed, len(manager.queue), manager.is_complete()
        ([10, 20], 1, False)
    """

    def __init__(self, config: QueueConfig | None = None) -> None:
        self.config = config or QueueConfig()
        self.queue: Waiting = InMemory()
        self.processed: list[Any] = []
        self.status = QueueStatus.PENDING
        self.total_items = self.processed_count = 0
        self._in_flight: list[_Taken] = []
        self._attached = False
        # A status of paused that was loaded from a file holds nothing back; that program is gone.
        self._held = False
        self._wakers: list[Callable[[], object]] = []
        # Reentrant, because a signal handler may pause a queue whose thread is inside it.
        self._guard = threading.RLock()

    @property
    def current_chunk(self) -> list[Any]:
        """The chunk that was handed out last and is not marked as processed; empty when there is none."""
        return self._in_flight[-1].chunk if self._in_flight else []

    def add_items(self, items: Iterable[Any]) -> None:
        """Add items to the end of the queue: all of them, or none.

        Args:
            items: any objects; with ``enable_persistence`` such as JSON can hold.

        Raises:
            ConfigError: more than ``max_queue_size`` items would wait (a ValueError).
            UsageError: JSON cannot hold an item of a queue in a file; names it, and the path to the culprit.
            BatchBusy: another program has the file open.
            StoreError: what is at ``persistence_path`` is no such file; it is left as it is.
            StorageFailed: the file cannot be written.

        Example:
            >>> manager = QueueManager(QueueConfig(max_queue_size=2))
            >>> manager.add_items("abc")
            Traceback (most recent call last):
                ...
            batchq.errors.ConfigError: waiting items must be at most 2 (max_queue_size), not 3
            >>> len(manager.queue)
            0
        """
        added = list(items)
        with self._guard:
            self._check_room(added)
            if not added:
                return
            if self.config.enable_persistence and not self._attached:
                self._attach(anew=True)
                self._check_room(added)
            self.queue.put(added)
            self.total_items += len(added)
            if self.status is QueueStatus.COMPLETED:
                self._set_status(QueueStatus.PENDING)

    def get_next_chunk(self) -> list[Any]:
        """Take the next ``chunk_size`` items, or those that are left; an empty list when none wait.

        Several chunks may be in flight.  One that is never marked as processed stays so; in a file it is back at the
        front when the queue is next loaded.  A pause does not hold this call back.

        Example:
            >>> manager = QueueManager()
            >>> manager.get_next_chunk()
            []
        """
        check_count("chunk size", self.config.chunk_size)
        with self._guard:
            chunk, ticket = self.queue.take(self.config.chunk_size)
            if chunk:
                self._in_flight.append(_Taken(chunk, len(chunk), ticket))
            return chunk

    def mark_chunk_processed(self, results: Iterable[Any], chunk: list[Any] | None = None) -> None:
        """Keep what came of a chunk; all its items count as processed, and never come back.

        Args:
            results: usually one an item, but any number is kept.
            chunk: the very list that `get_next_chunk` returned; None for the one handed out last.  Name it where
                several are in flight.

        Raises:
            ConfigError: `results` is None, a text or a dict, from which no results can be told (a ValueError).
            UsageError: no such chunk is in flight, or JSON cannot hold a result of a queue in a file; the chunk
                stays in flight.
            StorageFailed: the file cannot be written.

        Example:
            >>> manager = QueueManager()
            >>> manager.add_items(["a"])
            >>> chunk = manager.get_next_chunk()
            >>> manager.mark_chunk_processed([item.upper() for item in chunk])
            >>> manager.processed, manager.status
            (['A'], <QueueStatus.COMPLETED: 'completed'>)
        """
        if isinstance(results, (str, bytes, dict)) or not isinstance(results, Iterable):
            raise ConfigError("results", results, "a list with what came of the chunk")
        came = list(results)
        with self._guard:
            taken = self._find(chunk)
            if taken is None and not came:
                return  # Nothing was taken, and nothing came of it: the last turn of a loop.
            if taken is None:
                raise UsageError("no such chunk is in flight", "get_next_chunk() hands out each chunk once.")
            self.queue.finish(taken.ticket, came)
            self._in_flight.remove(taken)
            self.processed.extend(came)
            self.processed_count += taken.size
            if self.is_complete():
                self._set_status(QueueStatus.COMPLETED)
                self._wake()

    def pause(self) -> None:
        """Let `process_queue` begin no further chunk until `resume`; the one in flight is finished.

        A pause in the last chunk holds nothing back: `process_queue` returns.

        Example:
            >>> manager = QueueManager()
            >>> manager.pause()
            >>> manager.status
            <QueueStatus.PAUSED: 'paused'>
        """
        with self._guard:
            self._set_status(QueueStatus.PAUSED)

    def resume(self) -> None:
        """Go on after `pause`; without a pause it does nothing.

        Example:
            >>> manager = QueueManager()
            >>> manager.pause()
            >>> manager.resume()
            >>> manager.status
            <QueueStatus.RUNNING: 'running'>
        """
        with self._guard:
            if self.status is QueueStatus.PAUSED:
                self._set_status(QueueStatus.RUNNING)
            self._wake()

    def is_complete(self) -> bool:
        """Whether nothing waits and nothing is in flight, as in a new manager.

        Example:
            >>> QueueManager().is_complete()
            True
        """
        return not len(self.queue) and not self._in_flight

    def load_state(self) -> bool:
        """Take over the queue that ``persistence_path`` holds: what waits, what was in flight, and the results.

        A queue that was paused is loaded as paused, but `process_queue` goes on with it without `resume`: whoever
        paused it is gone.

        Returns:
            True when there was one; False when there is none, or with ``enable_persistence`` off.

        Raises:
            BatchBusy: another program has the file open.
            StoreError: what is there is no such file; it is left as it is.

        Example:
            >>> QueueManager().load_state()
            False
        """
        with self._guard:
            if not self.config.enable_persistence:
                return False
            if not self._attached:
                if not is_saved(Path(self.config.persistence_path)):
                    return False
                self._attach()
            return self.total_items > 0

    def close(self) -> None:
        """Give the file up, so that another program can have it; `load_state` or `add_items` opens it again.

        Chunks in flight will be back at the front.  So do a manager that is forgotten, and the end of the program.

        Example:
            >>> QueueManager().close()
        """
        with self._guard:
            self.queue.close()
            self._attached = False

    def get_progress(self) -> dict[str, Any]:
        """How far the queue is.

        Returns:
            ``total_items``, ``processed_count``, ``remaining_count`` (those that wait, without the current chunk),
            ``current_chunk_size``, ``progress_percentage`` (0.0 to 100.0; 0.0 without items) and ``status`` (a string).

        Example:
            >>> QueueManager().get_progress()["progress_percentage"]
            0.0
        """
        with self._guard:
            return {
                "total_items": self.total_items,
                "processed_count": self.processed_count,
                "remaining_count": len(self.queue),
                "current_chunk_size": self._in_flight[-1].size if self._in_flight else 0,
                "progress_percentage": 100.0 * self.processed_count / self.total_items if self.total_items else 0.0,
                "status": self.status.value,
            }

    async def process_queue(
        self, process_chunk_func: Callable[[list[Any], int], Any], max_concurrent: int = 5
    ) -> list[Any]:
        """Call a function with one chunk after the other until none is left, and return all results.

        Where the function raises, or this call is cancelled, its chunk goes back to the front, and the exception
        goes on to the caller: the next call begins with that chunk.  While the queue is paused, this call waits.

        Args:
            process_chunk_func: takes the chunk and `max_concurrent`, and returns a list of results.  An async function
                runs in this event loop, any other in a thread, which cannot be cancelled.
            max_concurrent: passed on: how many items the function may have in flight.

        Returns:
            `processed`, as a list of its own: also what was processed before this call.

        Raises:
            ConfigError: `max_concurrent` is below 1, or the function returned no list.
            UsageError: JSON cannot hold a result of a queue in a file.
            StorageFailed: the file cannot be written.

        Example:
            >>> async def shout(chunk, max_concurrent):
            ...     return [word.upper() for word in chunk]
            >>> manager = QueueManager()
            >>> manager.add_items(["a", "b"])
            >>> asyncio.run(manager.process_queue(shout))
            ['A', 'B']
        """
        check_count("max_concurrent", max_concurrent, MAX_CONCURRENCY)
        thread = None if is_coroutine_function(process_chunk_func) else SlotThread(asyncio.get_running_loop())
        try:
            if not self._held:
                self._set_status(QueueStatus.RUNNING)
            while chunk := await self._next_when_allowed():
                try:
                    results = await _call(partial(process_chunk_func, chunk, max_concurrent), thread)
                    self.mark_chunk_processed(results, chunk)
                except BaseException as error:
                    self._give_up(chunk, failed=isinstance(error, Exception))
                    raise
        finally:
            if thread is not None:
                thread.end()
        if self.is_complete():
            self._set_status(QueueStatus.COMPLETED)
        return list(self.processed)

    async def _next_when_allowed(self) -> list[Any]:
        while self._held and len(self.queue):
            woken = asyncio.Event()
            wake = partial(asyncio.get_running_loop().call_soon_threadsafe, woken.set)
            with self._guard:
                self._wakers.append(wake)
                if not self._held:
                    woken.set()
            try:
                await woken.wait()
            finally:
                self._wakers.remove(wake)
        return self.get_next_chunk()

    def _wake(self) -> None:
        for wake in tuple(self._wakers):
            wake()

    def _give_up(self, chunk: list[Any], failed: bool) -> None:
        with self._guard:
            taken = self._find(chunk)
            if taken is not None:
                self.queue.put_back(taken.ticket)
                self._in_flight.remove(taken)
            if failed or not self._held:
                self._set_status(QueueStatus.FAILED if failed else QueueStatus.PENDING)

    def _find(self, chunk: list[Any] | None) -> _Taken | None:
        """The chunk in flight that is this very list, or the last one."""
        return next((taken for taken in reversed(self._in_flight) if chunk is None or taken.chunk is chunk), None)

    def _check_room(self, added: Sequence[Any]) -> None:
        waiting = len(self.queue) + len(added)
        if waiting > self.config.max_queue_size:
            raise ConfigError("waiting items", waiting, f"at most {self.config.max_queue_size} (max_queue_size)")

    def _attach(self, anew: bool = False) -> None:
        """Open the file and go on with the queue in it; or, `anew`, begin another where that one is finished."""
        store = PendingStore(Path(self.config.persistence_path), to_json)
        if anew and not len(store):
            store.begin_anew()
        self.queue = store
        self._attached = True
        self._in_flight.clear()
        self.processed[:] = store.results()
        self.total_items, self.processed_count = store.total, store.processed
        if self._held:
            store.save_status(self.status)
        else:
            self.status = store.status

    def _set_status(self, status: QueueStatus) -> None:
        self.status = status
        self._held = status is QueueStatus.PAUSED
        self.queue.save_status(status)


async def _call(function: Callable[[], Any], thread: SlotThread | None) -> Any:
    if thread is None:
        return await function()
    value, error = await thread.call(function)
    if error is not None:
        raise error
    # A function that is not declared as async may still return what is to be awaited, as a lambda does.
    return await value if inspect.isawaitable(value) else value
