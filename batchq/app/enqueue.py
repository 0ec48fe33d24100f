"""A new batch that waits for its turn at a server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from batchq.app.notify import prepare
from batchq.app.request import StartRequest, spec_of
from batchq.app.reuse import check_reuse
from batchq.app.verbs import check_work, make
from batchq.errors import UsageError
from batchq.inputs import open_reader
from batchq.store.home import BatchFolder, FileLock, Home


def enqueue(
    home: Home,
    request: StartRequest,
    priority: int,
    name: str | None = None,
    lock: FileLock | None = None,
    note: Callable[[str], None] = lambda _: None,
    within: str | None = None,
) -> BatchFolder:
    """Make a new batch that a server on this home runs when its turn comes.

    Args:
        home: where.
        request: what it is; standard input cannot be queued.
        priority: higher ones run first.
        name: of the input in messages, where that is not its path.
        lock: of the folder, where that is claimed already.
        note: told where the secret is, if one was made for what it notifies.
        within: the folder that the input may not lead out of; see `SourceSpec`.

    Raises:
        UsageError: as `verbs.start`.
    """
    spec = spec_of(request)
    if spec.source.is_once:
        raise UsageError("standard input cannot wait in a queue", "Save it to a file, and name that.")
    if name is not None:
        spec = replace(spec, source=replace(spec.source, name=name))
    if within is not None:
        spec = replace(spec, source=replace(spec.source, within=within))
    if request.workers is None and spec.scheduler is not None:
        spec = replace(spec, all_workers=True)  # nobody asks the cluster before the batch's turn has come
    spec = check_work(spec)
    check_reuse(home, spec)
    open_reader(spec.source, strict_first=True).close()
    prepare(home, spec, note)
    return make(home, request.batch_id, spec, turn=priority, lock=lock)
