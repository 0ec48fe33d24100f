"""What a batch runs, from what its specification says of it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from batchq.handlers import load_handler, load_target, unpickle
from batchq.ready import Work, kind
from batchq.spec import BatchSpec
from batchq.store.home import BatchFolder
from batchq.store.reading import BatchReader


def load_work(spec: BatchSpec, pickled: bytes | None = None) -> Work:
    """The handler of a batch and its setup.

    Args:
        spec: what the batch is.
        pickled: the function by value, where it is stored so.

    Raises:
        TargetError: the function, or the setup, cannot be used.
        UsageError: what ready-made work needs is not there.
    """
    if spec.work is not None:
        return kind(spec.work["kind"]).make(spec.work)
    folder = Path(spec.folder)
    if spec.pickled_by is None:
        handler = load_handler(spec.target, folder)
    else:
        handler = unpickle(pickled or b"", spec.target, folder, spec.pickled_by)
    return Work(handler, load_target(spec.setup, folder) if spec.setup else None)


def stored_work(spec: BatchSpec, folder: BatchFolder) -> Work:
    """As `load_work`, of a batch whose function may be stored in its file."""
    if spec.pickled_by is None:
        return load_work(spec)
    with closing(BatchReader.open(folder.database)) as reader:
        return load_work(spec, reader.handler()[0])
