"""Items that were done before: found among what a worker has claimed, and never begun (``--reuse``, ``--cache``).

    claim ──▶ known() ──┬─▶ found: an outcome at once, of no attempt
                        └─▶ the rest: runs ──▶ committed ──▶ keep(): into the cache

Everything but `close` is called from the recorder's thread, outside of its transactions: neither the event loop nor
other workers wait for a look.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from batchq.errors import BatchqError
from batchq.fingerprint import fingerprint_of, key_of, salt_of
from batchq.model import Item, Outcome
from batchq.spec import BatchSpec
from batchq.store.chunks import Claim
from batchq.store.connection import DatabaseError
from batchq.store.home import BatchFolder
from batchq.store.known import INDEX, Known

KEEP_SECONDS: Final = 1.0
"""Results go into the cache so often at most: each time costs the disk as much as a commit of the batch."""
MOST_KEYS: Final = 100_000
"""Keys of items that were claimed; of those that went to another worker nobody tells."""
EMPTY: Final = ("null", '""', "[]", "{}")
"""Results that are none with --fail-empty."""
CHANGED: Final = "the function has changed since the batch began: this worker neither takes nor keeps results"

log = logging.getLogger(__name__)


class Reuse:
    """Results that a worker need not make again.

    Args:
        spec: what the batch is.
        folder: the batch.
    """

    def __init__(self, spec: BatchSpec, folder: BatchFolder) -> None:
        self._spec = spec
        self._salt = salt_of(spec)
        self._keys: dict[int, str] = {}
        self._kept: list[tuple[str, str]] = []
        self._last = time.monotonic()
        self._cache = _opened(Known.open_cache, Path(spec.cache)) if spec.cache else None
        index = folder.path / INDEX
        earlier = _opened(Known.open, index) if spec.reuse and index.exists() else None
        self._places = [place for place in (earlier, self._cache) if place is not None]

    def check(self, *functions: Callable[..., Any]) -> None:
        """Reuse nothing, and keep nothing, where this worker has loaded others than the batch began with.

        Args:
            functions: that of the handler, and those of later stages.
        """
        if self._places and fingerprint_of(self._spec, *functions) != self._spec.fingerprint:
            log.warning(CHANGED)
            self.drop()

    def drop(self) -> None:
        """Reuse nothing, and keep nothing, from now on."""
        self.close()
        self._places, self._cache = [], None

    def known(self, claim: Claim) -> dict[int, str]:
        """Of the items that are claimed, by seq, the results of those that were done before."""
        if not self._places:
            return {}
        claimed = [item for _, items in claim.chunks for item in items]
        # By the item's own payload, the last: in a later stage its function gets the result of the one before.
        keys = {item.seq: key for item in claimed if (key := key_of(self._salt, item.payloads[-1]))}
        found: dict[str, str] = {}
        for place in self._places:
            left = [key for key in keys.values() if key not in found]
            try:
                found.update(place.get(left) if left else {})
            except DatabaseError as error:
                log.warning("earlier results cannot be read, so that items run again: %s", error)
        if self._cache is not None:
            if len(self._keys) > MOST_KEYS:
                self._keys.clear()
            mixed = {item.seq for item in claimed if item.reached} if self._spec.handler_changed else ()
            self._keys.update((seq, key) for seq, key in keys.items() if key not in found and seq not in mixed)
        refused = EMPTY if self._spec.fail_empty else ()
        return {seq: found[key] for seq, key in keys.items() if key in found and found[key] not in refused}

    def keep(self, outcomes: Sequence[Outcome]) -> None:
        """Take the results of outcomes that are committed."""
        if self._cache is None:
            return
        for outcome in outcomes:
            key = self._keys.pop(outcome.seq, None)
            if key is not None and outcome.failure is None and outcome.attempts:
                self._kept.append((key, outcome.result))
        if self._kept and time.monotonic() - self._last > KEEP_SECONDS:
            self._write(self._cache)

    def close(self) -> None:
        """Write what is left; from any thread, once the recorder's has ended."""
        if self._cache is not None and self._kept:
            self._write(self._cache)
        for place in self._places:
            place.close()

    def _write(self, cache: Known) -> None:
        results, self._kept = self._kept, []
        try:
            cache.put(results)
        except (DatabaseError, OSError) as error:  # the batch has them, and that is what counts
            log.warning("%d results are not in the cache: %s", len(results), error)
        self._last = time.monotonic()


def reused(item: Item, result: str, worker: int) -> Outcome:
    """The outcome of an item that was done before: of no attempt, and in no time."""
    return Outcome(item.seq, item.run, 0, 0, int(time.time() * 1000), worker, result, None)


def _opened(open_: Callable[[Path], Known], path: Path) -> Known | None:
    try:
        return open_(path)
    except (BatchqError, OSError) as error:
        log.warning("earlier results cannot be read, so that items run again: %s", error)
        return None
