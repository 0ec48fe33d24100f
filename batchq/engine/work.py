"""What a batch runs, from what its specification says of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from batchq.errors import TargetError
from batchq.handlers import Handler, entered, load_handler, unpickle
from batchq.loading import load_target, split_target
from batchq.ready import Stage, Work, kind
from batchq.spec import BatchSpec
from batchq.store.home import BatchFolder
from batchq.store.reading import BatchReader

AGAIN: Final = "Name the later stages with --then as well."


def load_work(spec: BatchSpec, pickled: bytes | None = None) -> Work:
    """The handlers of a batch and its setup.

    Args:
        spec: what the batch is.
        pickled: the function by value, and those of its stages, where they are stored so.

    Raises:
        TargetError: the function, that of a later stage, or the setup, cannot be used.
        UsageError: what ready-made work needs is not there.
    """
    folder = Path(spec.folder)
    sent: Sequence[Handler] = ()
    if spec.work is not None:
        work = kind(spec.work["kind"]).make(spec.work)
    elif spec.pickled_by is None:
        work = Work(load_handler(spec.target, folder))
    else:
        first, *sent = unpickle(pickled or b"", (spec.target, *spec.stages), folder, spec.pickled_by)
        work = Work(first)
    stages = tuple(_load_stage(target, spec, sent[place : place + 1]) for place, target in enumerate(spec.stages))
    setup = load_target(spec.setup, folder) if spec.setup else None
    if spec.work is None:
        return work._replace(setup=setup, stages=stages)
    # What ready-made work has open is none of the functions' business.
    return work._replace(stages=stages, stages_setup=setup or contextlib.nullcontext)


def stored_work(spec: BatchSpec, folder: BatchFolder) -> Work:
    """As `load_work`, of a batch whose function may be stored in its file."""
    return load_work(spec, pickled_of(spec, folder))


def pickled_of(spec: BatchSpec, folder: BatchFolder) -> bytes | None:
    """The function of a batch by value, where it is stored so."""
    if spec.pickled_by is None:
        return None
    with contextlib.closing(BatchReader.open(folder.database)) as reader:
        return reader.handler()[0]


@contextlib.asynccontextmanager
async def opened(work: Work) -> AsyncIterator[tuple[Any, tuple[Stage, ...]]]:
    """What the first handler of a batch finds as its resource, and the stages after it, while the block runs.

    Raises:
        SetupFailed: a resource cannot be entered.
    """
    async with contextlib.AsyncExitStack() as stack:
        later = resource = await stack.enter_async_context(entered(work.setup))
        if work.stages and work.stages_setup is not None:
            later = await stack.enter_async_context(entered(work.stages_setup))
        yield resource, tuple(Stage(handler, later) for handler in work.stages)


def _load_stage(target: str, spec: BatchSpec, sent: Sequence[Handler]) -> Handler:
    """A module is looked for where the function is, and from the working directory; a file beside itself."""
    if ":" not in target:
        if not sent:
            raise TargetError(target, "a program has handed it over, and its first stage is another one now", AGAIN)
        return sent[0]
    return load_handler(*split_target(target, Path(spec.cwd)))
