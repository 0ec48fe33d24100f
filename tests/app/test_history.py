"""How long items took and how many were in flight over time: as it was, whatever the size of a batch and its file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from batches import fill, make_batch, make_records
from earlier import make_earlier
from hypothesis import given
from hypothesis import strategies as st

import batchq.app.history
from batchq.app.history import history, merged
from batchq.model import Outcome
from batchq.store.batch import BatchStore
from batchq.store.connection import open_writer, transaction
from batchq.store.home import BatchFolder
from batchq.store.outcomes import OutcomeWriter
from batchq.store.rows import Interval

BEGIN = 1_795_762_800
"""A multiple of an hour."""


def make_worked(folder: Path, spans: Sequence[tuple[float, float]]) -> Path:
    """A batch whose items were worked on from and until these seconds."""
    database = make_batch(folder, [])
    fill(database, make_records(["1"] * len(spans)))
    with closing(open_writer(database)) as connection, transaction(connection):
        OutcomeWriter(connection).record(
            [
                Outcome(seq, 1, 1, int((end - begin) * 1e6), int((BEGIN + end) * 1000), 1, "1", None)
                for seq, (begin, end) in enumerate(spans, 1)
            ]
        )
        connection.execute("DELETE FROM ack_queue_chunks")
    return database


@pytest.mark.parametrize("fine", [20_000, 0], ids=["by the second", "as stored"])
def test_latency_and_in_flight_over_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fine: int) -> None:
    monkeypatch.setattr(batchq.app.history, "FINE_OUTCOMES", fine)
    # Five slots that take 40 s an item, one ending each 8 s; then one slot that takes 2 s.
    slow = [(8.0 * slot + 40 * nth, 8.0 * slot + 40 * (nth + 1)) for nth in range(10) for slot in range(5)]
    quick = [(1000.5 + 2 * nth, 1002.5 + 2 * nth) for nth in range(50)]
    make_worked(tmp_path, slow + quick)
    intervals = history(BatchFolder(tmp_path))["intervals"]
    worked = sum(each["in_flight"] * each["seconds"] for each in intervals)
    assert worked == pytest.approx(50 * 40 + 50 * 2, rel=0.001)
    full = [each for each in intervals if 50 <= each["start"] - BEGIN < 380]
    assert sum(each["in_flight"] for each in full) / len(full) == pytest.approx(5, rel=0.05)
    assert {each["latency"] for each in full} - {None} == {40.0}
    later = [each for each in intervals if 1010 <= each["start"] - BEGIN < 1090]
    assert {each["latency"] for each in later} - {None} == {2.0}
    assert sum(each["in_flight"] for each in later) / len(later) == pytest.approx(1, rel=0.05)
    assert all(each["in_flight"] == 0 for each in intervals if 450 < each["start"] - BEGIN < 990)


def test_file_that_does_not_tell_how_long_handlers_worked_is_read_and_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batchq.app.history, "FINE_OUTCOMES", 0)
    spans = [(nth, nth + 5.0) for nth in range(40)]
    for version in (1, 2):
        folder = BatchFolder(tmp_path / f"{version}")
        folder.path.mkdir()
        database = make_worked(folder.path, spans)
        told = history(folder)["intervals"]
        make_earlier(database, version)
        untold = history(folder)["intervals"]
        assert sum(each["success"] for each in untold) == 40
        assert {(each["latency"], each["in_flight"]) for each in untold} == {(None, None)}
        with closing(BatchStore(database)) as store:
            assert store.check() == []
        assert history(folder)["intervals"] == told


@given(
    st.lists(
        st.builds(Interval, st.integers(0, 10**5), st.integers(1, 9), st.integers(0, 9), st.integers(0, 10**11)),
        max_size=30,
        unique_by=lambda each: each.start_s,
    ),
    st.lists(st.tuples(st.integers(0, 10**5), st.integers(1, 9)), max_size=9),
    st.sampled_from([1, 10]),
    st.sampled_from([2, 7, 600]),
)
def test_nothing_is_lost_in_fewer_points(
    outcomes: list[Interval], retries: list[tuple[int, int]], seconds: int, most: int
) -> None:
    step, points = merged(outcomes, retries, seconds, most)
    assert len(points) <= most and all(point.start % step == 0 for point in points)
    assert sum(point.success for point in points) == sum(each.success for each in outcomes)
    assert sum(point.retries for point in points) == sum(count for _, count in retries)
    busy = sum((each.busy_us or 0) / 1e6 for each in outcomes)
    told = sum((point.latency or 0) * (point.success + point.failed) for point in points)
    assert told == pytest.approx(busy, abs=0.001)
    assert sum((point.in_flight or 0) * step for point in points) == pytest.approx(busy, abs=0.001 * step * len(points))
