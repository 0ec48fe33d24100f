"""Looking after batches that lie there: checking and mending a file, deleting what is no longer needed."""

from __future__ import annotations

from contextlib import closing
from typing import NamedTuple

from batchq.app.status import status_of
from batchq.errors import BatchBusy
from batchq.store.batch import DAMAGED, BatchStore
from batchq.store.connection import DatabaseError
from batchq.store.home import Home
from batchq.store.repair import repair as mend


class Check(NamedTuple):
    """What `check` found.

    Attributes:
        broken: what is wrong, in words; empty when nothing is.
        mended: whether something was, and no longer is.
        damaged: the file itself has lost something, which nothing mends.
    """

    broken: list[str]
    mended: bool = False
    damaged: bool = False


def check(home: Home, batch_id: str, repair: bool = False) -> Check:
    """Test a batch's file: its integrity, the counts against the rows, the queue against the items.

    Args:
        home: where it is.
        batch_id: the batch.
        repair: mend the counts and the queue from the items and their outcomes, which are the truth.

    Raises:
        BatchNotFound: there is no such batch.
        BatchBusy: it is to be mended while it runs.
        StoreError: its file cannot be opened.
    """
    folder = home.find(batch_id)
    spec = status_of(folder).spec
    lock = folder.supervise() if repair else None
    try:
        try:
            with closing(BatchStore(folder.database)) as store:
                broken = store.check()
            if not broken or not repair:
                return Check(broken, damaged=any(DAMAGED in problem for problem in broken))
            left = mend(folder.database, spec.durability, spec.chunk_size)
        except DatabaseError as error:
            return Check([f"{DAMAGED}: {error}"], damaged=True)
        return Check(left, mended=not left)
    finally:
        if lock is not None:
            lock.release()


def remove(home: Home, batch_id: str) -> None:
    """Delete a batch, with all that it has recorded.

    Raises:
        BatchNotFound: there is no such batch.
        BatchBusy: it runs.
    """
    folder = home.find(batch_id, whole=False)
    try:
        lock = folder.supervise()
    except BatchBusy as error:
        error.hint = f"End it first: `batchq pause {batch_id} --wait`."
        raise
    try:
        folder.remove()
    finally:
        lock.release()
