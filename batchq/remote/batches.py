"""The batches of a server, as the command line asks for them."""

from __future__ import annotations

import codecs
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import quote

from batchq.app.rawjson import elements, members
from batchq.app.restored import restored_item, restored_look, restored_report, restored_status
from batchq.errors import BatchNotFound, BatchqError, StoreError
from batchq.model import ACTIVE, INVALID_INPUT, LEAVING
from batchq.remote import following
from batchq.remote.client import ANSWER_SECONDS, LONG_SECONDS, Client
from batchq.remote.problems import no_sense
from batchq.store.home import BATCH_ID

if TYPE_CHECKING:
    from batchq.app.items import ItemDetails
    from batchq.app.limits import Changes
    from batchq.app.progress import Display
    from batchq.app.report import BatchReport
    from batchq.app.results import Wanted
    from batchq.app.status import BatchStatus
    from batchq.app.watching import Look
    from batchq.spec import BatchSpec

PAGE: Final = 500
RUN: Final = ACTIVE | LEAVING
"""States in which a process runs a batch."""
KINDS: Final = 500
"""Kinds of failure that are looked at for what is left out of an input."""


class ServerBatches:
    """Implements `app.batches.Batches` over HTTP.

    Args:
        client: of the server.
        sleep: waits so many seconds.
    """

    def __init__(self, client: Client, sleep: Callable[[float], None] = time.sleep) -> None:
        self.client = client
        self._sleep = sleep

    def place(self) -> str:
        """The folder of the home, on the machine of the server."""
        return str(self.client.get("/server")["home"])

    def has_server(self) -> bool:
        """It is the one that is asked."""
        return True

    def status(self, batch_id: str) -> BatchStatus:
        """How one batch stands."""
        return restored_status(self.client.get(self.path(batch_id)))

    def all(self) -> list[BatchStatus | BatchqError]:
        """How each batch stands, or why it cannot be read."""
        found: list[BatchStatus | BatchqError] = []
        cursor: int | None = None
        broken: dict[str, str] = {}
        while True:
            page = self.client.get("/batches", limit=PAGE, cursor=cursor)
            found += map(restored_status, page["batches"])
            broken |= page["errors"]
            cursor = page["next"]
            if cursor is None:
                return found + [self._error(batch_id, text) for batch_id, text in broken.items()]

    def looks(self, batch_id: str, interval: float) -> Iterator[Look]:
        """One batch, again and again."""
        path = self.path(batch_id)
        return following.looks(
            lambda: restored_look(self.client.get(path, patient=True)), following.is_left, interval, self._sleep
        )

    def home_looks(self, interval: float) -> Iterator[list[BatchStatus]]:
        """All batches, again and again."""

        def look() -> list[BatchStatus]:
            readable = [each for each in self.all() if not isinstance(each, BatchqError)]
            return sorted(readable, key=lambda batch: batch.created_at)

        def all_left(batches: list[BatchStatus]) -> bool:
            return all(batch.holder is None for batch in batches)

        def none_runs() -> bool:
            return not RUN & self.client.get("/server", patient=True)["states"].keys()

        return following.looks(look, all_left, interval, self._sleep, none_runs)

    def follow(self, batch_id: str, display: Display) -> BatchStatus:
        """Show how far a batch is until nobody runs it, nor is to."""
        from batchq.store.rows import Progress

        for told in following.statuses(self.client, self.path(batch_id)):
            status = restored_status(told)
            display.show(
                Progress(
                    *(status.state, status.reason, status.input_done, status.tally),
                    spent=status.spent,
                    wait=status.wait,
                )
            )
            if not following.goes_on(told):
                return status
        raise AssertionError("statuses go on and on")

    def pause(self, batch_id: str) -> str:
        """Begin nothing new."""
        return str(self.do(batch_id, "pause")["state"])

    def cancel(self, batch_id: str) -> str:
        """The same for good."""
        return str(self.do(batch_id, "cancel")["state"])

    def settled(self, batch_id: str) -> str:
        """Wait until nothing is in flight any more."""
        for told in following.statuses(self.client, self.path(batch_id)):
            if told["state"] not in LEAVING:
                return str(told["state"])
        raise AssertionError("statuses go on and on")

    def change(self, batch_id: str, changes: Changes, priority: int | None = None) -> BatchSpec:
        """Let other limits hold."""
        from dataclasses import asdict

        changes.check()
        named = {name: value for name, value in asdict(changes).items() if value not in (None, ())}
        named |= {} if priority is None else {"priority": priority}
        return restored_status(self.client.change("PATCH", self.path(batch_id), named)).spec

    def find(self, batch_id: str) -> None:
        """Raise `BatchNotFound` where there is none."""
        with contextlib.suppress(StoreError):  # it is there, and broken
            self.client.get(self.path(batch_id))

    def remove(self, batch_id: str) -> None:
        """Delete a batch."""
        self.client.change("DELETE", self.path(batch_id), seconds=LONG_SECONDS)

    def items(self, batch_id: str, which: str) -> list[ItemDetails]:
        """The items that `which` names."""
        text = self.client.get_text(self.path(batch_id, "items", which))
        try:
            return [restored_item(batch_id, item) for item in elements(members(text)["items"])]
        except (ValueError, KeyError):
            raise no_sense(self.client.url) from None

    def report(self, batch_id: str, failures: int) -> BatchReport:
        """The report, with the first failures."""
        return restored_report(self.client.get(self.path(batch_id, "report"), format="json", failures=failures))

    def report_json(self, batch_id: str, failures: int | None) -> Iterator[str]:
        """The report as JSON."""
        return self._text(batch_id, "report", format="json", failures=failures)

    def report_csv(self, batch_id: str, raw: bool) -> Iterator[str]:
        """The report as CSV."""
        return self._text(batch_id, "report", format="csv", raw=raw or None)

    def results(self, batch_id: str, wanted: Wanted) -> Iterator[str]:
        """Outcomes as text."""
        pieces = self._text(batch_id, "results", **_query(wanted))
        return _with_start(pieces, wanted.start) if wanted.start else pieces

    def write_table(self, sink: BinaryIO, batch_id: str, wanted: Wanted) -> None:
        """Outcomes as Parquet."""
        sink.writelines(self.client.stream(self.path(batch_id, "results"), **_query(wanted)))

    def as_input(self, batch_id: str, only: str | None, note: Callable[[str], None]) -> Iterator[str]:
        """The items themselves."""
        return self._noting(self._text(batch_id, "results", only=only, as_input=True), batch_id, only, note)

    def follow_results(self, batch_id: str, wanted: Wanted) -> Iterator[str]:
        """Outcomes as they are recorded."""
        from batchq.remote.outcomes import follow_outcomes

        return follow_outcomes(self.client, self.path(batch_id), wanted)

    def log(self, batch_id: str, lines: int | None) -> Iterator[str]:
        """Lines of the log."""
        from batchq.remote.logs import read_log

        return read_log(self.client, self.path(batch_id), lines)

    def follow_log(self, batch_id: str, lines: int | None) -> Iterator[str]:
        """The same, and those that still come."""
        from batchq.remote.logs import follow_log

        return follow_log(self.client, self.path(batch_id), lines, self._sleep)

    def do(self, batch_id: str, action: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Let the server do something to a batch; how it stands then."""
        seconds = LONG_SECONDS if action == "retry" else ANSWER_SECONDS
        return self.client.change("POST", self.path(batch_id, action), body or {}, seconds)

    def path(self, batch_id: str, *further: str) -> str:
        """Of a batch; raises `BatchNotFound` where no batch can have that id."""
        if not BATCH_ID.fullmatch(batch_id):
            raise BatchNotFound(batch_id, self.place())
        return "/batches/" + "/".join(quote(part, safe="") for part in (batch_id, *further))

    def _text(self, batch_id: str, what: str, **query: Any) -> Iterator[str]:
        return codecs.iterdecode(self.client.stream(self.path(batch_id, what), **query), "utf-8", "replace")

    def _error(self, batch_id: str, text: str) -> BatchqError:
        """Why a batch cannot be read, with what to do about it."""
        try:
            self.client.get(self.path(batch_id))
        except BatchqError as error:
            return error
        return StoreError(batch_id, text)

    def _noting(
        self, pieces: Iterator[str], batch_id: str, only: str | None, note: Callable[[str], None]
    ) -> Iterator[str]:
        yield from pieces
        if only == "success":
            return
        groups = self.client.get(self.path(batch_id, "failures"), limit=KINDS)["groups"]
        unread = sum(group["failed"] for group in groups if group["error_type"] == INVALID_INPUT)
        if unread:
            note(f"left out: {unread:,} that could not be read, of which there is no item")


def _query(wanted: Wanted) -> dict[str, Any]:
    asked = {"with_input": wanted.with_input, "flatten": wanted.flatten, "raw": wanted.raw}
    given = {name: True for name, is_given in asked.items() if is_given}
    return {"format": wanted.form, "only": wanted.only, "stage": wanted.stage, **given}


def _with_start(pieces: Iterator[str], start: str) -> Iterator[str]:
    """Lines of JSON that begin as `start` says."""
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        yield "".join(f"{{{start}{line[1:]}\n" for line in lines)
