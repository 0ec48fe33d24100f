"""The batches of a home on this machine; each call loads what it needs and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from batchq.app.items import ItemDetails
    from batchq.app.limits import Changes
    from batchq.app.progress import Display
    from batchq.app.report import BatchReport
    from batchq.app.results import Wanted
    from batchq.app.status import BatchStatus
    from batchq.app.watching import Look
    from batchq.errors import BatchqError
    from batchq.spec import BatchSpec
    from batchq.store.home import BatchFolder, Home


class HomeBatches:
    """Implements `Batches` by files and locks.

    Args:
        home: where they are.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def place(self) -> str:
        """The folder of the home."""
        return str(self._home.path)

    def has_server(self) -> bool:
        """Whether a server runs on the home."""
        from batchq.app.serving import server_of

        return server_of(self._home) is not None

    def status(self, batch_id: str) -> BatchStatus:
        """How one batch stands; it may be named by the path of its folder, as for reports and results."""
        from batchq.app.status import status_of

        return status_of(self._named(batch_id))

    def all(self) -> list[BatchStatus | BatchqError]:
        """How each batch stands, or why it cannot be read."""
        from batchq.app.status import list_batches

        return list(list_batches(self._home))

    def _named(self, batch_id: str) -> BatchFolder:
        """The folder of a batch, which is in the home, or anywhere where a path names it."""
        from batchq.store.named import named_folder

        return named_folder(self._home, batch_id)

    def looks(self, batch_id: str, interval: float) -> Iterator[Look]:
        """One batch, again and again."""
        from batchq.app.watching import Watch

        return Watch(self._home.find(batch_id)).looks(interval)

    def home_looks(self, interval: float) -> Iterator[list[BatchStatus]]:
        """All batches, again and again."""
        from batchq.app.watching import home_looks

        return home_looks(self._home, interval)

    def follow(self, batch_id: str, display: Display) -> BatchStatus:
        """Show how far a batch is until no process runs it."""
        from batchq.app.following import follow

        return follow(self._home, batch_id, display)

    def pause(self, batch_id: str) -> str:
        """Begin nothing new."""
        from batchq.app import verbs

        return verbs.pause(self._home, batch_id)

    def cancel(self, batch_id: str) -> str:
        """The same for good."""
        from batchq.app import verbs

        return verbs.cancel(self._home, batch_id)

    def settled(self, batch_id: str) -> str:
        """Wait until nothing is in flight any more."""
        from batchq.app.following import wait_for_state
        from batchq.model import LEAVING

        return wait_for_state(self._home.find(batch_id), LEAVING)

    def change(self, batch_id: str, changes: Changes, priority: int | None = None) -> BatchSpec:
        """Let other limits hold."""
        from batchq.app.limits import change_limits
        from batchq.store.turns import set_priority

        spec = change_limits(self._home, batch_id, changes)
        if priority is not None:
            set_priority(self._home.find(batch_id).database, priority)
        return spec

    def find(self, batch_id: str) -> None:
        """Raise `BatchNotFound` where there is none."""
        self._home.find(batch_id, whole=False)

    def remove(self, batch_id: str) -> None:
        """Delete a batch."""
        from batchq.app import upkeep

        upkeep.remove(self._home, batch_id)

    def items(self, batch_id: str, which: str) -> list[ItemDetails]:
        """The items that `which` names."""
        from batchq.app.items import find_items

        return find_items(self._home.find(batch_id), which)

    def report(self, batch_id: str, failures: int) -> BatchReport:
        """The report; its failures are read when they are walked."""
        from batchq.app.stored import build_report

        return build_report(self._named(batch_id))

    def report_json(self, batch_id: str, failures: int | None) -> Iterator[str]:
        """The report as JSON."""
        from batchq.app.render import report_json
        from batchq.app.stored import build_report

        made = build_report(self._named(batch_id))
        if failures is not None:
            made.failures = made.failures[:failures]
        return report_json(made)

    def report_csv(self, batch_id: str, raw: bool) -> Iterator[str]:
        """The report as CSV."""
        return _report_csv(self._named(batch_id), raw)

    def results(self, batch_id: str, wanted: Wanted) -> Iterator[str]:
        """Outcomes as text."""
        return _results(self._named(batch_id), wanted)

    def write_table(self, sink: BinaryIO, batch_id: str, wanted: Wanted) -> None:
        """Outcomes as Parquet."""
        from batchq.app.results import write_table
        from batchq.store.reading import reading

        with reading(self._named(batch_id).database) as reader:
            write_table(sink, reader, wanted)

    def as_input(self, batch_id: str, only: str | None, note: Callable[[str], None]) -> Iterator[str]:
        """The items themselves."""
        return _as_input(self._named(batch_id), only, note)

    def follow_results(self, batch_id: str, wanted: Wanted) -> Iterator[str]:
        """Outcomes as they are recorded."""
        from batchq.app.results import follow

        return follow(self._home.find(batch_id), wanted)

    def log(self, batch_id: str, lines: int | None) -> Iterator[str]:
        """Lines of the log."""
        from batchq.app.tail import read_lines

        return read_lines(self._home.find(batch_id, whole=False).log, lines)

    def follow_log(self, batch_id: str, lines: int | None) -> Iterator[str]:
        """The same, and those that still come."""
        from batchq.app.tail import follow_lines

        folder = self._home.find(batch_id, whole=False)
        return follow_lines(folder.log, lambda: not folder.lock.is_held(), lines)


def _report_csv(folder: BatchFolder, raw: bool) -> Iterator[str]:
    from batchq.app.render import report_csv
    from batchq.store.reading import reading

    with reading(folder.database) as reader:
        yield from report_csv(reader.results(), raw)


def _results(folder: BatchFolder, wanted: Wanted) -> Iterator[str]:
    from batchq.app.results import text_of
    from batchq.store.reading import reading

    with reading(folder.database) as reader:
        yield from text_of(reader, wanted)


def _as_input(folder: BatchFolder, only: str | None, note: Callable[[str], None]) -> Iterator[str]:
    from batchq.app.results import items_of
    from batchq.store.reading import reading

    with reading(folder.database) as reader:
        yield from items_of(reader, only, note)
