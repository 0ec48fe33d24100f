"""Results of earlier batches, for items that are the same (``--reuse``), and those that batches share (``--cache``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from batchq.app.words import count
from batchq.errors import UsageError
from batchq.fingerprint import key_of, place_of, salt_of
from batchq.spec import BatchSpec
from batchq.store.home import BatchFolder, Home
from batchq.store.known import INDEX, Known, make_index, successes
from batchq.store.reading import reading


def check_reuse(home: Home, spec: BatchSpec) -> None:
    """Look at what a new batch is to take results from.

    Args:
        home: where the earlier batches are.
        spec: the new batch, with its fingerprint.

    Raises:
        UsageError: there is no such batch, it has not run the same function, or the cache cannot be used.
    """
    if spec.reuse_changed and not spec.reuse:
        raise UsageError("--reuse-changed is of use with --reuse only")
    _check_earlier(home, spec)
    if spec.cache is not None:
        if spec.fingerprint is None:
            raise UsageError(
                "--cache cannot be used: the function is written in no file, so that nobody can tell when it changes",
                "Put it into a module.",
            )
        Known.open_cache(Path(spec.cache)).close()


def prepare_reuse(home: Home, folder: BatchFolder, spec: BatchSpec, note: Callable[[str], None]) -> None:
    """Gather the results of the earlier batches beside the new one, unless that is done already.

    From then on it needs these batches no more.

    Args:
        home: where the earlier batches are.
        folder: the new batch.
        spec: what it is.
        note: told how many they are.

    Raises:
        UsageError: one of them is gone or cannot be read, or the function has changed since the new one was made.
    """
    index = folder.path / INDEX
    if not spec.reuse or index.exists():
        return
    try:
        _check_earlier(home, spec)
    except UsageError as error:  # it has waited for its turn, or was killed, before anything was gathered
        hint = f"Nothing of {folder.batch_id} has run yet: start it anew."
        raise UsageError(f"{folder.batch_id} cannot go on with --reuse: {error}", hint) from error
    results = make_index(index, _results(home, spec))
    note(f"{count(results, 'result')} of {', '.join(spec.reuse)} can be taken for items that are the same")


def _results(home: Home, spec: BatchSpec) -> Iterator[tuple[str, str]]:
    salt = salt_of(spec)
    for batch_id in spec.reuse:
        for payload, result in successes(home.find(batch_id).database):
            key = key_of(salt, payload)
            if key is not None:
                yield key, result


def _check_earlier(home: Home, spec: BatchSpec) -> None:
    for batch_id in spec.reuse:
        if spec.reuse_changed:
            home.find(batch_id)
        else:
            _check_same(home, batch_id, spec)


def _check_same(home: Home, batch_id: str, spec: BatchSpec) -> None:
    """Raise `UsageError` where nobody can say that a batch has run the same function."""
    with reading(home.find(batch_id).database) as reader:
        before = reader.row().spec
    if before.fingerprint is None or spec.fingerprint is None:
        what = "nobody can tell whether it has run the same function, which is written in no file"
    elif before.fingerprint != spec.fingerprint:
        what = "it has run another function, or the function has changed since"
    elif before.setup != spec.setup:
        what = f"it had another --setup ({before.setup or 'none'})"
    elif place_of(before) != place_of(spec):
        what = f"its commands ran in another folder ({before.cwd}), where a relative path is another file"
    elif before.handler_changed:
        what = "its function has changed while it was stopped, and some of its results are of the one before"
    else:
        return
    raise UsageError(f"--reuse {batch_id}: {what}", "To take its results all the same, say --reuse-changed as well.")
