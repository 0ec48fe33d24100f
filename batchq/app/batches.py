"""What the command line needs of batches, wherever they are: in a home of this machine, or behind a server.

    cli ──▶ Batches ◀── app.home_batches.HomeBatches       files and locks
                    ◀── remote.batches.ServerBatches       HTTP

Whatever names a batch raises `BatchNotFound` at once, not when the answer is walked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Protocol

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


class Batches(Protocol):
    """All batches of a home; what raises says so in the words of `batchq.errors`."""

    def place(self) -> str:
        """The folder of the home, on the machine where it is."""

    def has_server(self) -> bool:
        """Whether a server runs there, which runs what waits for it."""

    def status(self, batch_id: str) -> BatchStatus:
        """How one batch stands."""

    def all(self) -> list[BatchStatus | BatchqError]:
        """How each batch stands, and an error in the place of one that cannot be read."""

    def looks(self, batch_id: str, interval: float) -> Iterator[Look]:
        """One batch each `interval` seconds, until no process runs it any more."""

    def home_looks(self, interval: float) -> Iterator[list[BatchStatus]]:
        """All batches that can be read, oldest first, each `interval` seconds until none of them runs."""

    def follow(self, batch_id: str, display: Display) -> BatchStatus:
        """Show how far a batch is until no process runs it; how it stands then."""

    def pause(self, batch_id: str) -> str:
        """Begin nothing new; the state."""

    def cancel(self, batch_id: str) -> str:
        """The same for good; the state."""

    def settled(self, batch_id: str) -> str:
        """Wait until nothing is in flight of a batch that was paused or cancelled; the state."""

    def change(self, batch_id: str, changes: Changes, priority: int | None = None) -> BatchSpec:
        """Let other limits hold, and another priority in the queue of a server; the specification then."""

    def find(self, batch_id: str) -> None:
        """Raise `BatchNotFound` where there is no such batch; one that has lost its file is there."""

    def remove(self, batch_id: str) -> None:
        """Delete a batch; raises `BatchBusy` while it runs."""

    def items(self, batch_id: str, which: str) -> list[ItemDetails]:
        """The items that `which` names."""

    def report(self, batch_id: str, failures: int) -> BatchReport:
        """The report, for who lists that many failures at most."""

    def report_json(self, batch_id: str, failures: int | None) -> Iterator[str]:
        """The report as JSON, with the first `failures` of its failures; None for all."""

    def report_csv(self, batch_id: str, raw: bool) -> Iterator[str]:
        """The report as CSV."""

    def results(self, batch_id: str, wanted: Wanted) -> Iterator[str]:
        """Outcomes in the order of the input, in any form but Parquet."""

    def write_table(self, sink: BinaryIO, batch_id: str, wanted: Wanted) -> None:
        """Outcomes as Parquet."""

    def as_input(self, batch_id: str, only: str | None, note: Callable[[str], None]) -> Iterator[str]:
        """The items themselves; `note` is told what is left out."""

    def follow_results(self, batch_id: str, wanted: Wanted) -> Iterator[str]:
        """Outcomes in the order in which they are recorded, until no process runs the batch."""

    def log(self, batch_id: str, lines: int | None) -> Iterator[str]:
        """The last lines of the log; None for all."""

    def follow_log(self, batch_id: str, lines: int | None) -> Iterator[str]:
        """The same, and those that still come, until no process runs the batch."""
