"""Random sequences of what can happen to a batch, on a real file, against a model of what each may lead to."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from batches import make_spec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from batchq.model import ACTIVE, STATES
from batchq.store.batch import BatchStore, create_batch, steer

WORKING: Final = {"filling", "running"}
LEFT_FOR_GOOD: Final = {"cancelled"}


class Batch(RuleBasedStateMachine):
    """Verbs of users from outside, events of a supervisor from inside."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "batch.db"
        create_batch(self.path, "b1", make_spec())
        self.before = self.state()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def state(self) -> str:
        with closing(BatchStore(self.path)) as store:
            return store.progress().state

    def happens(self, event: str) -> tuple[str, str]:
        before = self.state()
        with closing(BatchStore(self.path)) as store:
            store.move(event)
        return before, self.state()

    @rule()
    def pause(self) -> None:
        before = self.state()
        after = steer(self.path, "pause")
        expected = {"queued": "paused", "filling": "pausing", "running": "pausing"}.get(before, before)
        assert after == self.state() == expected

    @rule()
    def unpause(self) -> None:
        before = self.state()
        assert steer(self.path, "resume") == ("filling" if before == "pausing" else before)

    @rule()
    def cancel(self) -> None:
        before = self.state()
        after = steer(self.path, "cancel")
        if before in WORKING or before in ("pausing", "cancelling"):
            assert after == "cancelling"
        else:
            assert after == (before if before == "completed" else "cancelled")

    @rule()
    def retry(self) -> None:
        before, after = self.happens("retry")
        assert after == ("queued" if before == "completed" else before)

    @rule()
    def a_supervisor_begins(self) -> None:
        before, after = self.happens("supervise")
        if before in LEFT_FOR_GOOD or before in ("completed", "cancelling"):
            assert after == before
        else:
            assert after in WORKING

    @rule()
    def the_input_is_stored(self) -> None:
        before, after = self.happens("filled")
        assert after == ("running" if before == "filling" else before)

    @rule()
    def nothing_is_in_flight_any_more(self) -> None:
        before, after = self.happens("drained")
        assert after == {"pausing": "paused", "cancelling": "cancelled"}.get(before, before)

    @rule()
    def all_is_done(self) -> None:
        before, after = self.happens("complete")
        assert after == ("completed" if before == "running" else before)

    @rule()
    def too_much_fails(self) -> None:
        before, after = self.happens("halt")
        assert after == ("failed" if before in WORKING else before)

    @rule()
    def a_server_takes_it_into_its_queue(self) -> None:
        before, after = self.happens("enqueue")
        assert after == ("queued" if before in ("paused", "failed") else before)

    @rule()
    def a_server_goes_on_with_it(self) -> None:
        before, after = self.happens("take")
        assert after == {"queued": "filling"}.get(before, before), "it wakes nothing that was paused"

    @rule()
    def a_server_gives_it_up(self) -> None:
        before, after = self.happens("give up")
        assert after == ("failed" if before in WORKING or before == "queued" else before)

    @invariant()
    def what_was_cancelled_stays_so(self) -> None:
        if not hasattr(self, "before"):
            return
        now = self.state()
        assert now in STATES
        if self.before in LEFT_FOR_GOOD:
            assert now == self.before
        if self.before == "cancelling":
            assert now in ("cancelling", "cancelled")
        assert (now in ACTIVE) == (now in WORKING), "workers may claim while it works, and only then"
        self.before = now


Batch.TestCase.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
TestBatch = Batch.TestCase
