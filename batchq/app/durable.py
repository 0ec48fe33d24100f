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
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from multiprocessing import current_process
from pathlib import Path
from typing import Any, Final, TypeVar

from batchq.app.batch_queue import BatchQueue
from batchq.app.changed import noting_change, tell_change
from batchq.app.notify import announcing_again, deliver_aside, deliver_owed, prepare
from batchq.app.outfile import check_new, outfile_of, write_rest
from batchq.app.report import LISTED_FAILURES, BatchReport, BatchResult, carry
from batchq.app.request import usable_cores
from batchq.app.reuse import check_reuse, prepare_reuse
from batchq.app.signature import is_in_variable
from batchq.app.status import status_of
from batchq.app.stored import build_report, result_of
from batchq.app.verbs import make, pause, respecify_locked
from batchq.app.watcher import Watcher
from batchq.config import EMPTY_FAIL, BatchConfig, RetryConfig
from batchq.durable_settings import texts_of
from batchq.engine.engines import engine_of, fitted
from batchq.engine.handover import SOURCE, Handover
from batchq.engine.hooks import Ending, Hooks
from batchq.engine.local import Engine
from batchq.engine.sieve import Sieve
from batchq.engine.supervisor import Supervisor
from batchq.errors import BatchExists, BatchHalted, BatchqError, InputChanged, StoreError, UsageError
from batchq.fingerprint import fingerprint_of
from batchq.handlers import PYTHON, Exported, export
from batchq.model import CANCELLED, COMPLETED, ENDED, EXPIRED, PAUSED, BatchRow, Tally
from batchq.spec import BatchSpec
from batchq.store.batch import steer
from batchq.store.home import BatchFolder, Home
from batchq.store.reading import ReportReader, reading
from batchq.store.rows import Progress

OVERWRITE: Final = "Pass overwrite=True"

T = TypeVar("T")


class Durable:
    """Runs one batch on the durable queue.

    Args:
        config: a copy that nobody changes.
        retry: attempts and delays.
        functions: the caller's function, and those of the stages after it.
        watcher: whom to tell.
    """

    def __init__(
        self,
        config: BatchConfig,
        retry: RetryConfig,
        functions: Sequence[Callable[..., Any]],
        watcher: Watcher,
    ) -> None:
        if current_process().daemon:
            raise UsageError(
                "QUEUE mode starts worker processes, which a daemonic process of multiprocessing may not",
                "Use PARALLEL mode in it, or start that process with daemon=False.",
            )
        self._home = Home.at(config.home)
        self._shard = config.part
        self._sieve = Sieve(config.where)
        self._overwrite = config.overwrite
        self._takes_all = config.workers is None
        self._engine: Engine | None = None
        self._exported = export(*functions)
        spec = _spec(config, retry, self._exported)
        self._spec = replace(spec, fingerprint=fingerprint_of(spec, *functions, pickled=self._exported.pickled))
        self._watcher = watcher
        self._queue = watcher.queue or BatchQueue()
        self._on_result = watcher.on_result
        self._flow = watcher.flow
        self._loop = asyncio.get_running_loop()
        self._progressed = asyncio.Event()
        self._delivered = 0

    async def run(self, ideas: Iterable[Any] | AsyncIterable[Any], batch_id: str | None) -> BatchReport:
        """Run the batch, or what is left of it.

        Raises:
            UsageError: the id is taken by other ideas, or something cannot be used.
            BatchBusy: another process runs it.
            BatchHalted: it stopped before its end.
            ClusterUnreachable: the Dask cluster that is to run it does not answer.
        """
        try:
            async with contextlib.aclosing(Handover(ideas, self._shard, self._sieve)) as handover:
                return await self._begin(handover, batch_id)
        finally:
            if self._engine is not None:  # nobody has used it
                await asyncio.to_thread(self._engine.close)

    async def _begin(self, handover: Handover, batch_id: str | None) -> BatchReport:
        folder = await self._open(batch_id, handover)
        status = status_of(folder)
        queue = self._queue
        queue.begin(lambda: pause(self._home, folder.batch_id), lambda: steer(folder.database, "resume"))
        self._watcher.begun(folder.batch_id, status.started_at or status.created_at)
        self._tell_counts(status.tally)
        failed = True
        try:
            if status.state in (CANCELLED, EXPIRED):
                raise BatchHalted(folder.batch_id, f"it was {status.state}")
            if status.state not in ENDED:
                await self._run(folder, handover)
            else:
                await self._catch_up(folder)
            failed = False
        except BaseException as error:
            with contextlib.suppress(StoreError):  # a file that cannot be read has nothing to tell
                carry(error, _report(folder))
            if isinstance(error, Exception):  # whoever is cancelled waits for no receiver
                await self._send_owed(folder)
            raise
        finally:
            queue.end(failed)
        await self._send_owed(folder)
        return _report(folder)

    async def _catch_up(self, folder: BatchFolder) -> None:
        """Hand over what a batch that had ended before has come to."""
        if self._spec.out is not None:
            await asyncio.to_thread(write_rest, folder, self._spec, self._watcher.display.note)
        if self._on_result is not None:
            with reading(folder.database) as reader:
                await self._deliver_rest(reader)

    async def _send_owed(self, folder: BatchFolder) -> None:
        """Send what its addresses are to be told; what fails stays owed, and changes nothing of what the batch is."""
        if not self._spec.notify:
            return
        note = self._watcher.display.note
        try:
            came = await self._in_thread(lambda: deliver_owed(self._home, folder, note), "batchq-notify")
        except (BatchqError, OSError) as error:
            note(f"its notifications are not sent: {error}")
            return
        for line in came.failed:
            note(line)

    async def _run(self, folder: BatchFolder, handover: Handover) -> None:
        ending = await self._supervise(folder, handover)
        while ending.state == PAUSED and self._queue.has_paused:
            if self._spec.notify:
                deliver_aside(self._home, folder, self._watcher.display.note)
            await self._queue.until_resumed()
            ending = await self._supervise(folder, None)
        if handover.error is not None:
            raise handover.error
        if ending.state != COMPLETED:
            raise BatchHalted(folder.batch_id, ending.reason or f"it is {ending.state}")

    async def _open(self, batch_id: str | None, handover: Handover) -> BatchFolder:
        """The batch's folder: a new one, or that of a batch which began with the same ideas."""
        if batch_id is None or batch_id not in self._home.batch_ids():
            await handover.check_first()
            spec = await self._reach_engine()
            try:
                folder = self._make(batch_id, spec)
            except BatchExists:
                if batch_id is None or batch_id not in self._home.batch_ids():
                    raise  # else another program has made it in the last instant
            else:
                await self._prepare_reuse(folder, spec)
                return folder
        folder = self._home.find(batch_id)
        with reading(folder.database) as reader:
            row = reader.row()
            digest = reader.digest()
        if not row.spec.source.is_program:
            raise InputChanged(row.spec.source.name, f"batch {batch_id!r} reads it, not ideas of a program")
        folder_is_free = row.state not in ENDED
        self._check_out(row, folder_is_free)
        if folder_is_free:
            folder.supervise().release()  # refused before the ideas are drawn, which may take long
        await handover.pass_over(row.position.records, digest, to_end=row.input_done)
        if folder_is_free:
            # The caller may have mended the function; a batch is resumed with what he passes now.
            reached = await self._reach_engine()
            spec = noting_change(row.spec, replace(reached, source=row.spec.source))
            respecify_locked(self._home, folder, spec, self._exported.pickled)
            tell_change(folder, row.spec, spec, self._watcher.display.note)
            await self._prepare_reuse(folder, spec)
        return folder

    def _make(self, batch_id: str | None, spec: BatchSpec) -> BatchFolder:
        check_new(spec.out, self._overwrite, (), OVERWRITE)
        check_reuse(self._home, spec)
        prepare(self._home, spec, self._watcher.display.note)
        return make(self._home, batch_id, spec, self._exported.pickled)

    async def _prepare_reuse(self, folder: BatchFolder, spec: BatchSpec) -> None:
        if spec.reuse:
            await asyncio.to_thread(prepare_reuse, self._home, folder, spec, self._watcher.display.note)

    def _check_out(self, row: BatchRow, goes_on: bool) -> None:
        """Raise `UsageError` where a batch that began before can no longer write to the file that is named now."""
        now, before = self._spec.out, row.spec.out
        if now is None or now == before:
            return
        if before is not None:
            raise UsageError(f"batch {row.batch_id!r} writes to {before}", "Name that file, or none.")
        if not goes_on:
            hint = f"Write them now: batchq results {row.batch_id} -o {now}"
            raise UsageError(f"batch {row.batch_id!r} has ended, and wrote its results to no file", hint)
        check_new(now, self._overwrite, (), OVERWRITE)

    async def _reach_engine(self) -> BatchSpec:
        """Have an engine where the batch needs another one than this machine; the specification that fits to it."""
        if self._engine is None:
            reaching = asyncio.ensure_future(asyncio.to_thread(engine_of, self._spec, self._watcher.display.note))
            try:
                self._engine = await asyncio.shield(reaching)
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):  # whatever it was, nobody waits for it
                    self._engine = await reaching  # a thread cannot be cancelled, and a cluster is not left behind
                raise
        return fitted(self._spec, self._engine) if self._takes_all else self._spec

    async def _supervise(self, folder: BatchFolder, handover: Handover | None) -> Ending:
        """Supervise it in a thread, and follow it here; `handover` has what is not yet stored."""
        await self._reach_engine()
        engine, self._engine = self._engine, None  # the supervisor closes it
        hooks = announcing_again(Hooks(self._tell, self._watcher.display.note), self._home, folder, self._spec)
        supervisor = Supervisor(folder, handover, hooks, engine, outfile=outfile_of(self._spec))
        ended = self._in_thread(supervisor.run, "batchq-supervisor")
        tasks = [asyncio.create_task(handover.draw())] if handover else []
        following = asyncio.create_task(self._follow(folder, ended))
        tasks.append(following)
        try:
            if self._on_result is not None:
                both: list[asyncio.Future[Any]] = [ended, following]
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                if not ended.done():
                    supervisor.stop()  # on_result has raised: what is in flight finishes, and nothing new begins
            await asyncio.wait([ended])
            await following
            return ended.result()
        except asyncio.CancelledError:
            supervisor.stop()
            await _patiently(ended, supervisor)
            raise
        finally:
            if handover:
                handover.close()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _in_thread(self, run: Callable[[], T], name: str) -> asyncio.Future[T]:
        ended: asyncio.Future[T] = self._loop.create_future()

        def settle(ending: T | None, error: BaseException | None) -> None:
            if ended.cancelled():
                return
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

        threading.Thread(target=work, name=name, daemon=True).start()
        return ended

    # How far it is, told by the supervisor's thread ----------------------------------------------------------

    def _tell(self, progress: Progress) -> None:
        self._watcher.display.show(progress)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell_counts, progress.tally)

    def _tell_counts(self, tally: Tally) -> None:
        self._watcher.note(tally)
        self._queue.show(tally)
        self._progressed.set()

    async def _follow(self, folder: BatchFolder, ended: asyncio.Future[Ending]) -> None:
        """Tell `on_result` of each outcome once it is committed."""
        if self._on_result is None:
            return
        with closing(ReportReader.open(folder.database)) as reader:
            while not ended.done():
                self._progressed.clear()
                self._deliver(reader)
                if not ended.done():
                    await self._progressed.wait()
            await self._deliver_rest(reader)

    async def _deliver_rest(self, reader: ReportReader) -> None:
        """Deliver all that there is, waiting for whoever takes it."""
        room = asyncio.Event()
        if self._flow is not None:
            self._flow.room = room.set
        while self._deliver(reader) or (self._flow is not None and self._flow.is_full()):
            if self._flow is not None and self._flow.is_full():
                room.clear()
                await room.wait()
            else:
                await asyncio.sleep(0)

    def _deliver(self, reader: ReportReader) -> bool:
        """Deliver the next page; whether there was one, and somebody to take it."""
        if self._on_result is None or (self._flow is not None and self._flow.is_full()):
            return False
        self._delivered, rows = reader.outcomes_after(self._delivered)
        for row in rows:
            self._on_result(BatchResult(**result_of(row)))
        return bool(rows)


def _spec(config: BatchConfig, retry: RetryConfig, exported: Exported) -> BatchSpec:
    return BatchSpec(
        target=exported.target,
        folder=str(exported.folder),
        stages=exported.stages,
        cwd=str(Path.cwd()),
        python=sys.executable,
        source=replace(SOURCE, shard=None if config.part.is_whole else str(config.part), where=config.where),
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
        nan=config.nan,
        no_retry=retry.no_retry,
        retry_on=retry.retry_on,
        retry_budget=retry.budget,
        halt=None if config.halt is None else str(config.halt),
        breaker=config.breaker,
        rates=config.rates,
        budgets=config.budgets,
        adaptive=config.adaptive,
        engine=config.runs_on,
        scheduler=config.scheduler,
        deadline=config.moment,
        memfree=config.least_free,
        notify=config.addresses,
        notify_at=config.share,
        notify_by_variable=bool(config.notify) and is_in_variable(),
        max_tasks_per_worker=config.max_tasks_per_worker,
        max_worker_memory=config.most_memory,
        redact=config.hidden,
        out=None if config.out is None else str(Path(config.out).absolute()),
        reuse=tuple(dict.fromkeys(texts_of(config.reuse))),
        reuse_changed=config.reuse_changed,
        cache=None if config.cache is None else str(Path(config.cache).resolve()),
        pickled_by=PYTHON if exported.pickled is not None else None,
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
