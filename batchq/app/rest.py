"""The rest of an input of which only a part was read."""

from __future__ import annotations

from batchq.app.status import BatchStatus
from batchq.errors import UsageError
from batchq.inputs import open_reader
from batchq.model import COMPLETED, ENDED
from batchq.spec import BatchSpec
from batchq.store.home import BatchFolder
from batchq.store.skipped import reopen_input


def has_rest(now: BatchStatus) -> bool:
    """Whether the input of a batch was cut off by its limit; raises `UsageError` where nobody can read it on."""
    if now.spec.source.limit is None or now.state in ENDED - {COMPLETED}:
        return False
    if now.spec.source.is_once:
        raise UsageError("its input cannot be read on: nobody can read it a second time, as it was no file")
    return True


def read_on(folder: BatchFolder, spec: BatchSpec) -> None:
    """Open the input of a batch again; raises `UsageError` where it is no longer there."""
    open_reader(spec.source).close()
    lock = folder.supervise()
    try:
        reopen_input(folder.database, spec)
    finally:
        lock.release()


def input_lost(spec: BatchSpec) -> str:
    """Why the input of a batch, of which a part was read, cannot be read on."""
    if spec.source.is_program:
        return "the rest of its items is known only to the program that began it: run that again with the same batch_id"
    return "standard input was cut off, and cannot be read again from where it was"


def input_ended_hint(batch_id: str) -> str:
    """What to do then."""
    return f"`batchq resume {batch_id} --input-ended` goes on with what was stored of it."
