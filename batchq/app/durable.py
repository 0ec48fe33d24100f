"""QUEUE mode from Python: the durable engine, beside the caller's event loop.

    ideas ─▶ Handover ─▶ Supervisor (a thread) ─▶ batch.db ─▶ outcomes, as they are committed ─▶ on_result
    (the caller's loop)        └─ worker processes

The supervisor never runs in the caller's loop: it waits for files and processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from batchq.app.progress import Display
from batchq.app.report import BatchReport, BatchResult, carry
from batchq.app.status import status_of
from batchq.app.stored import build_report, result_of
from batchq.app.verbs import make, respecify_locked, usable_cores
from batchq.config import EMPTY_FAIL, BatchConfig, RetryConfig
from batchq.engine.handover import SOURCE, Handover
from batchq.engine.hooks import Ending, Hooks
from batchq.engine.supervisor import Supervisor
from batchq.errors import BatchHalted, InputChanged, StoreError
from batchq.handlers import PYTHON, export
from batchq.model import ENDED, HALTED, BatchSpec, Tally
from batchq.store.home import BatchFolder, Home
from batchq.store.reading import Progress, ReportReader, reading

LISTED_FAILURES: Final = 1000
"""Failures that a report holds as a list, as the original's did; more are read while they are walked."""

Begun = Callable[[str, float], None]
Note = Callable[[Tally], None]
OnResult = Callable[[BatchResult], object]


class Flow(Protocol):
    """Somebody who takes results one by one, and may be slow."""

    room: Callable[[], None]

    def is_full(self) -> bool:
        """Whether he has enough for now; `room` is called when he has not any more."""


class Durable:
    """Runs one batch on the durable queue.

    Args:
        config: a copy that nobody changes.
        retry: attempts and delays.
        function: the caller's function.
        display: shows how far it is.
        begun: called with id and start (seconds since 1970) when the batch is known.
        note: called with the counts, about ten times a second.
        on_result: called for each outcome, also those of an earlier run of the same batch.
        flow: whoever takes them; None takes them all at once.
    """

    def __init__(
        self,
        config: BatchConfig,
        retry: RetryConfig,
        function: Callable[..., Any],
        display: Display,
        begun: Begun,
        note: Note,
        on_result: OnResult | None = None,
        flow: Flow | None = None,
    ) -> None:
        self._config = config
        self._home = Home.at(config.home)
        self._exported = export(function)
        self._spec = _spec(config, retry, self._exported.target, self._exported.folder, self._exported.pickled)
        self._display = display
        self._begun = begun
        self._note = note
        self._on_result = on_result
        self._flow = flow
        self._loop = asyncio.get_running_loop()
        self._progressed = asyncio.Event()
        self._progress: Progress | None = None

    async def run(self, ideas: Iterable[Any] | AsyncIterable[Any], batch_id: str | None) -> BatchReport:
        """Run the batch, or what is left of it.

        Raises:
            UsageError: the id is taken by other ideas, or something cannot be used.
            BatchBusy: another process runs it.
            BatchHalted: it stopped before its end.
        """
        handover = Handover(ideas)
        folder = await self._open(batch_id, handover)
        status = status_of(folder)
        self._begun(folder.batch_id, status.started_at or status.created_at)
        self._note(status.tally)
        try:
            if status.state not in ENDED:
                ending = await self._supervise(folder, handover)
                if handover.error is not None:
                    raise handover.error
                if ending.state == HALTED:
                    raise BatchHalted(folder.batch_id, ending.reason or "it was halted")
            elif self._on_result is not None:
                with reading(folder.database) as reader:
                    await self._deliver_rest(reader, 0)
        except BaseException as error:
            with contextlib.suppress(StoreError):  # a file that cannot be read has nothing to tell
                carry(error, _report(folder))
            raise
        return _report(folder)

    async def _open(self, batch_id: str | None, handover: Handover) -> BatchFolder:
        """The batch's folder: a new one, or that of a batch which began with the same ideas."""
        if batch_id is None or batch_id not in self._home.batch_ids():
            await handover.check_first()
            return make(self._home, batch_id, self._spec, self._exported.pickled)
        folder = self._home.find(batch_id)
        with reading(folder.database) as reader:
            row = reader.row()
            digest = reader.digest()
        if not row.spec.source.is_program:
            raise InputChanged(row.spec.source.name, f"batch {batch_id!r} reads it, not ideas of a program")
        folder_is_free = row.state not in ENDED
        if folder_is_free:
            folder.supervise().release()  # refused before the ideas are drawn, which may take long
        await handover.pass_over(row.position.records, digest, to_end=row.input_done)
        if folder_is_free:
            # The caller may have mended the function; a batch is resumed with what he passes now.
            spec = replace(self._spec, source=row.spec.source)
            respecify_locked(self._home, folder, spec, self._exported.pickled)
        return folder

    async def _supervise(self, folder: BatchFolder, handover: Handover) -> Ending:
        supervisor = Supervisor(folder, handover, Hooks(self._tell, self._display.note))
        ended = self._in_thread(supervisor.run)
        drawing = asyncio.create_task(handover.draw())
        following = asyncio.create_task(self._follow(folder, ended))
        try:
            both: list[asyncio.Future[Any]] = [ended, following]
            await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
            if following.done() and following.exception() is not None:
                supervisor.stop()  # on_result has raised: what is in flight finishes, and nothing new begins
                await asyncio.wait([ended])
            await following
            return ended.result()
        except asyncio.CancelledError:
            supervisor.stop()
            await _patiently(ended, supervisor)
            raise
        finally:
            handover.close()
            for task in (drawing, following):
                task.cancel()
            await asyncio.wait([drawing, following])

    def _in_thread(self, run: Callable[[], Ending]) -> asyncio.Future[Ending]:
        ended: asyncio.Future[Ending] = self._loop.create_future()

        def settle(ending: Ending | None, error: BaseException | None) -> None:
            if error is not None:
                ended.set_exception(error)
            elif ending is not None:
                ended.set_result(ending)
            self._progressed.set()

        def work() -> None:
            ending, raised = None, None
            try:
                ending = run()
            except BaseException as error:  # carried to the loop, where it is raised
                raised = error
            with contextlib.suppress(RuntimeError):  # the loop has ended without waiting
                self._loop.call_soon_threadsafe(settle, ending, raised)

        threading.Thread(target=work, name="batchq-supervisor", daemon=True).start()
        return ended

    # How far it is, told by the supervisor's thread ----------------------------------------------------------

    def _tell(self, progress: Progress) -> None:
        self._display.show(progress)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take_note, progress)

    def _take_note(self, progress: Progress) -> None:
        self._note(progress.tally)
        self._progressed.set()

    async def _follow(self, folder: BatchFolder, ended: asyncio.Future[Ending]) -> None:
        """Tell `on_result` of each outcome once it is committed."""
        if self._on_result is None:
            return
        number = 0
        with closing(ReportReader.open(folder.database)) as reader:
            while not ended.done():
                self._progressed.clear()
                number = self._deliver(reader, number)
                if not ended.done():
                    await self._progressed.wait()
            await self._deliver_rest(reader, number)

    async def _deliver_rest(self, reader: ReportReader, number: int) -> None:
        """Deliver all that there is, waiting for whoever takes it."""
        room = asyncio.Event()
        if self._flow is not None:
            self._flow.room = room.set
        while (last := self._deliver(reader, number)) != number or (self._flow and self._flow.is_full()):
            number = last
            if self._flow is not None and self._flow.is_full():
                room.clear()
                await room.wait()
            else:
                await asyncio.sleep(0)

    def _deliver(self, reader: ReportReader, number: int) -> int:
        """Deliver a page behind outcome `number`; the number of the last one that was delivered."""
        if self._on_result is None or (self._flow is not None and self._flow.is_full()):
            return number
        number, rows = reader.outcomes_after(number)
        for row in rows:
            self._on_result(BatchResult(**result_of(row)))
        return number


def _spec(config: BatchConfig, retry: RetryConfig, target: str, folder: Path, pickled: bytes | None) -> BatchSpec:
    return BatchSpec(
        target=target,
        folder=str(folder),
        cwd=str(Path.cwd()),
        python=sys.executable,
        source=SOURCE,
        concurrency=config.max_concurrent,
        workers=min(config.workers or usable_cores(), config.max_concurrent),
        timeout=config.timeout_per_item or None,
        retry_attempts=retry.max_attempts,
        retry_delay=retry.initial_delay,
        retry_backoff=retry.backoff_factor,
        retry_max_delay=retry.max_delay,
        retry_jitter=retry.jitter,
        chunk_size=config.chunk_size,
        durability=config.durability,
        grace=config.grace,
        fail_empty=config.empty_result == EMPTY_FAIL,
        pickled_by=PYTHON if pickled is not None else None,
    )


def _report(folder: BatchFolder) -> BatchReport:
    report = build_report(folder)
    if report.failure_count <= LISTED_FAILURES:
        report.failures = [dict(failure) for failure in report.failures]
    return report


async def _patiently(ended: asyncio.Future[Ending], supervisor: Supervisor) -> None:
    """Wait until the supervisor has left; another cancellation abandons what is in flight."""
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            supervisor.stop()
    ended.exception()  # nobody else asks
