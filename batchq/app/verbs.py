"""The verbs: one function each, called by every face."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from batchq.app import descriptors
from batchq.app.changed import noting_change, tell_change
from batchq.app.notify import announcing, announcing_again, prepare
from batchq.app.outfile import outfile_of, write_rest
from batchq.app.request import StartRequest, moved_to, spec_of, stages_of
from batchq.app.rest import has_rest, input_ended_hint, input_lost, read_on
from batchq.app.reuse import check_reuse, prepare_reuse
from batchq.app.stages import check_stage
from batchq.app.status import BatchStatus, status_of
from batchq.engine.engines import engine_of, fitted
from batchq.engine.hooks import Ending, Hooks
from batchq.engine.local import Engine
from batchq.engine.supervisor import Supervisor
from batchq.engine.work import load_work
from batchq.errors import (
    BatchExists,
    BatchqError,
    HomeError,
    SealBroken,
    StorageFailed,
    TargetError,
    UsageError,
)
from batchq.fingerprint import fingerprint_of
from batchq.inputs import open_reader
from batchq.loading import split_target
from batchq.model import ACTIVE, COMPLETED, ENDED, LEAVING, PAUSING, TAKE, Tally
from batchq.shards import Shard
from batchq.spec import BatchSpec
from batchq.store.batch import create_batch, respecify, steer
from batchq.store.connection import DatabaseError
from batchq.store.descriptors import too_many_files, used_up
from batchq.store.home import BatchFolder, FileLock, Home
from batchq.store.reading import reading
from batchq.store.rerun import rerun
from batchq.store.reserve import make_reserve
from batchq.store.seal import Seal
from batchq.store.turns import OWN, disown

CANNOT_LOCK: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


@dataclass(frozen=True)
class Session:
    """A batch that is ready to be supervised by this process.

    Attributes:
        batch_id: the batch.
        spec: what it is.
        supervisor: call its `run`; its `stop` is safe in a signal handler.
    """

    batch_id: str
    spec: BatchSpec
    supervisor: Supervisor


def start(
    home: Home, request: StartRequest, hooks: Hooks, stdin: BinaryIO | None = None, engine: Engine | None = None
) -> Session:
    """Make a new batch; everything that can be found wrong with it is found before anything is stored.

    Args:
        home: where.
        request: what is asked for.
        hooks: whom to tell.
        stdin: standard input, where the batch reads that.
        engine: what runs its workers, where that is not one that is made for it.

    Raises:
        UsageError: an option, the target, the input, the id or the home cannot be used.
    """
    spec = spec_of(request)
    spec = check_work(spec)
    check_reuse(home, spec)
    reader = open_reader(spec.source, stdin=stdin, strict_first=True)
    elsewhere: Engine | None = None
    try:
        prepare(home, spec, hooks.note)
        elsewhere = engine_of(spec, hooks.note)
        if request.workers is None:
            spec = fitted(spec, elsewhere)
        folder = make(home, request.batch_id, spec)
        prepare_reuse(home, folder, spec, hooks.note)
    except BaseException:
        reader.close()
        if elsewhere is not None:
            elsewhere.close()
        raise
    engine = elsewhere or engine
    hooks = announcing(hooks, home, folder, spec)
    return Session(folder.batch_id, spec, Supervisor(folder, reader, hooks, engine, outfile=outfile_of(spec)))


def make(
    home: Home,
    batch_id: str | None,
    spec: BatchSpec,
    handler: bytes | None = None,
    turn: int | None = None,
    lock: FileLock | None = None,
) -> BatchFolder:
    """Make the folder and the file of a new batch.

    Args:
        home: where.
        batch_id: the user's own id; None chooses one.
        spec: what it is.
        handler: its function, where that is stored by value.
        turn: its priority in the queue of a server that runs it; None where no server does.
        lock: of the folder, where that is claimed already.

    Raises:
        UsageError: the id or the home cannot be used.
        BatchBusy: another process is making it.
    """
    descriptors.require(spec.workers)
    lock = lock or _claimed(home, batch_id, Shard.of(spec.source.shard).suffix)
    folder = BatchFolder(lock.path.parent)
    try:
        if folder.database.exists():
            raise BatchExists(folder.batch_id)
        _make_file(home, folder, spec, handler, turn)
    finally:
        lock.release()
    return folder


def _claimed(home: Home, batch_id: str | None, suffix: str) -> FileLock:
    """The lock of a new batch's folder."""
    try:
        folder = home.claim(batch_id, suffix)
    except BatchExists as taken:
        folder = home.cut_short(taken.batch_id)
    try:
        return folder.supervise()
    except StorageFailed as error:  # a file system that cannot lock is found out now
        folder.remove()
        raise _unusable(home, error.__cause__ or error) from error


def _make_file(home: Home, folder: BatchFolder, spec: BatchSpec, handler: bytes | None, turn: int | None) -> None:
    try:
        make_reserve(folder.path)
        create_batch(folder.database, folder.batch_id, spec, handler, Seal(home.path).over(spec, handler), turn)
    except BaseException as error:
        folder.remove()
        if isinstance(error, (OSError, DatabaseError, StorageFailed)):
            raise _unusable(home, error) from error
        raise


def _unusable(home: Home, error: BaseException) -> BatchqError:
    """Why no batch can be made in `home`."""
    if used_up(error):
        return too_many_files()
    if isinstance(error, OSError) and error.errno in CANNOT_LOCK:
        return HomeError(str(home.path), f"its file system cannot lock files ({error.strerror})")
    return HomeError(str(home.path), str(error))


def resume(
    home: Home,
    batch_id: str,
    hooks: Hooks,
    ignore_changed_input: bool = False,
    input_ended: bool = False,
    func: str | None = None,
    setup: str | None = None,
    read_all: bool = False,
    no_strict: bool = False,
    served: bool = False,
    then: Sequence[str] | None = None,
    engine: str | None = None,
    scheduler: str | None = None,
) -> Session | BatchStatus:
    """Go on with a batch; its status instead of a session where there is nothing to do for this process.

    That is so when it has ended, and when it was being paused: then its own supervisor goes on.

    Args:
        home: where it is.
        batch_id: the batch.
        hooks: whom to tell.
        ignore_changed_input: read on although the input is not the one that it began with.
        input_ended: read nothing more.
        func: TARGET of the function for what is left; None for the one that is stored.
        setup: likewise.
        read_all: read the rest of an input of which only the first records were read.
        no_strict: from here on a record that cannot be read fails alone.
        served: a server goes on with it, whose turn has come; what was paused meanwhile stays so.
        then: likewise of all later stages; empty for none.
        engine: what runs what is left, one of `spec.ENGINES`; None for what did so before.  Elsewhere it has as many
            workers as a new batch there.
        scheduler: address of a Dask scheduler that does so.

    Raises:
        UsageError: there is no such batch, its target can no longer be used, or it is from elsewhere.
        BatchBusy: another process supervises it.
        ClusterUnreachable: the Dask cluster that is to run it does not answer; the batch is as it was.
    """
    folder = home.find(batch_id)
    unpaused = not served and status_of(folder).state == PAUSING and steer(folder.database, "resume") in ACTIVE
    now = status_of(folder)
    if served and not now.is_wanted:
        return now
    reopens = read_all and has_rest(now)
    if (now.state in ENDED and not reopens) or (unpaused and now.holder is not None):
        if now.state in ENDED and now.spec.out and _is_ours(home, folder, now.spec):
            write_rest(folder, now.spec, hooks.note)
        return now
    descriptors.require(now.spec.workers)
    folder.supervise().release()  # Refused before the target is loaded, which may take long.
    if now.input_cut and not input_ended:
        raise UsageError(input_lost(now.spec), input_ended_hint(batch_id))
    spec, pickled = _function_of(home, folder, now.spec, func, setup, then)
    spec = replace(spec, strict=spec.strict and not no_strict)
    moved = moved_to(spec, engine, scheduler)
    elsewhere = engine_of(moved, hooks.note)
    try:
        spec = fitted(moved, elsewhere) if moved != spec or moved.all_workers else spec
        prepare_reuse(home, folder, spec, hooks.note)
        if spec != now.spec:
            respecify_locked(home, folder, spec, pickled)
            tell_change(folder, now.spec, spec, hooks.note)
        _tell_dropped(now.spec, spec, hooks.note)
        if reopens:
            spec = replace(spec, source=replace(spec.source, limit=None, digest=None))
            read_on(folder, spec)
        if not served and now.turn.served == OWN:
            disown(folder.database)
    except BaseException:
        if elsewhere is not None:
            elsewhere.close()
        raise
    supervisor = Supervisor(
        folder,
        None,
        announcing_again(hooks, home, folder, spec),
        elsewhere,
        ignore_changed_input=ignore_changed_input,
        input_ended=input_ended,
        outfile=outfile_of(spec),
        event=TAKE if served else "supervise",
    )
    return Session(batch_id, spec, supervisor)


def check_can_go_on(home: Home, batch_id: str) -> None:
    """Raise the `UsageError` with which `resume` would refuse, as far as that can be told without the function."""
    folder = home.find(batch_id)
    now = status_of(folder)
    if now.input_cut:
        raise UsageError(input_lost(now.spec), input_ended_hint(batch_id))
    if not _is_ours(home, folder, now.spec):
        raise SealBroken(batch_id, bool(now.spec.setup), len(now.spec.stages))


def _tell_dropped(before: BatchSpec, spec: BatchSpec, note: Callable[[str], None]) -> None:
    """Tell what of a batch from elsewhere will not be done."""
    if before.on_finish and not spec.on_finish:
        note(f"the command for its end ({before.on_finish}) is from elsewhere, and will not be run")
    if before.notify and not spec.notify:
        told = ", ".join(before.shown().notify)
        note(f"the addresses to be told of its end ({told}) are from elsewhere, and will not be")
    if before.out and not spec.out:
        note(f"results are not written to {before.out}: that is from elsewhere, too")


def pause(home: Home, batch_id: str) -> str:
    """Begin nothing new; what is in flight finishes. The batch's state: ``pausing``, or ``paused`` where nothing is.

    Pausing a batch that is paused already changes nothing, nor does pausing one that has ended.

    Raises:
        BatchNotFound: there is no such batch.
    """
    return _leave(home.find(batch_id), "pause")


def cancel(home: Home, batch_id: str) -> str:
    """As `pause`, and for good: what has not run stays so. The batch's state: ``cancelling``, or ``cancelled``."""
    return _leave(home.find(batch_id), "cancel")


def retry(
    home: Home,
    batch_id: str,
    error: str | None = None,
    items: Collection[str] = (),
    moved: Callable[[int], object] = lambda _: None,
    from_stage: int | None = None,
    served: bool = False,
) -> int:
    """Let failed items run again when the batch goes on; how many they are.

    Args:
        home: where the batch is.
        batch_id: the batch.
        error: a regular expression that the error, written as ``type: text``, has to contain; None for any.
        items: ids of the items, or their positions in the input as ``#12``; empty for all.
        moved: told now and then how many they are so far; those run again whatever happens to the rest.
        from_stage: begin there again, from 1, at the latest; None begins at the stage that has failed.
        served: a server goes on with it, unless the rest of its input is that of the process which runs it.

    Raises:
        UsageError: there is no such batch, it was cancelled, it is from elsewhere, or `error` is no regular
            expression.
    """
    from batchq.app.chosen import chosen  # late: it is no business of `start`, which has to begin soon

    folder = home.find(batch_id)
    now = status_of(folder)
    is_chosen = chosen(error, items, now.tally.items)
    if not _is_ours(home, folder, now.spec):
        raise SealBroken(batch_id, bool(now.spec.setup), len(now.spec.stages))
    if from_stage is not None:
        check_stage(now.spec, from_stage)
    return rerun(folder.database, now.spec.durability, is_chosen, moved, from_stage, served and not now.input_cut)


def _leave(folder: BatchFolder, event: str) -> str:
    state = steer(folder.database, event)
    if state not in LEAVING:
        return state
    lock = folder.lock
    if not lock.acquire():
        return state  # its supervisor sees the change and leaves
    try:
        return steer(folder.database, "drained")
    finally:
        lock.release()


def _function_of(
    home: Home,
    folder: BatchFolder,
    spec: BatchSpec,
    func: str | None,
    setup: str | None,
    then: Sequence[str] | None,
) -> tuple[BatchSpec, bytes | None]:
    """The specification with a function that may be run: the sealed one, or the one that the user names.

    The second is that function, where it is stored by value.
    """
    pickled = _handler_of(folder)[0]
    before = spec
    if not _is_ours(home, folder, spec):
        if func is None or (spec.setup and setup is None) or (spec.stages and then is None):
            raise SealBroken(folder.batch_id, bool(spec.setup), len(spec.stages))
        # Sealed anew, they would be ours.
        spec = replace(spec, on_finish=None, out=None, notify=(), reuse=(), cache=None)
    if func is not None:
        target, found = split_target(func, Path.cwd())
        spec = replace(spec, target=target, folder=str(found), cwd=str(Path.cwd()), pickled_by=None, work=None)
        pickled = None
    if setup is not None:
        spec = replace(spec, setup=split_target(setup, Path.cwd())[0] if setup else None)
    if then is not None:
        spec = replace(spec, stages=stages_of(then, Path.cwd()))
    if (spec.work is None or spec.has_commands) and not Path(spec.folder).is_dir():
        hint = "Make it again." if spec.has_commands else "Name the function with --func."
        raise TargetError(spec.target, f"its folder {spec.folder} is gone", hint)
    if spec.pickled_by is None:
        spec = noting_change(before, check_work(spec))
    else:
        load_work(spec, pickled)
    return spec, pickled


def _is_ours(home: Home, folder: BatchFolder, spec: BatchSpec) -> bool:
    """Whether this user has put there, on this machine, what the batch runs."""
    pickled, seal = _handler_of(folder)
    return Seal(home.path).fits(seal, spec, pickled)


def _handler_of(folder: BatchFolder) -> tuple[bytes | None, str | None]:
    with reading(folder.database) as reader:
        return reader.handler()


def respecify_locked(home: Home, folder: BatchFolder, spec: BatchSpec, handler: bytes | None) -> None:
    """Give what is left of a batch another function or other settings; raises `BatchBusy` while it runs."""
    lock = folder.supervise()
    try:
        respecify(folder.database, spec, handler, Seal(home.path).over(spec, handler))
    finally:
        lock.release()


def exit_code(ending: Ending, tally: Tally) -> int:
    """What the command line exits with: 0 all succeeded, 1 some failed, 3 (or the reason's own) not finished."""
    if ending.state == COMPLETED and not ending.stopped:
        return 1 if tally.failed else 0
    return ending.exit_code


def check_work(spec: BatchSpec) -> BatchSpec:
    """`spec` with the fingerprint of what it runs; raises `UsageError` where that, or the setup, cannot be used."""
    return replace(spec, fingerprint=fingerprint_of(spec, *load_work(spec).functions))
