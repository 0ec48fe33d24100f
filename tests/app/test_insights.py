"""Throughput over time: nothing recorded is lost from it, whatever the clock and the pauses did."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchq.app.insights import MOST_STEPS, throughput
from batchq.store.rows import Interval


def made(counts: list[Interval], seconds: int, spans: list[tuple[float, float]]) -> dict[str, Any]:
    found = throughput(counts, seconds, spans)
    assert found is not None
    return found


def worked(found: dict[str, Any]) -> list[tuple[float, float]]:
    return [(moment(span["start"]), moment(span["end"])) for span in found["worked"]]


def moment(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def test_nothing_recorded_and_never_run_is_nothing() -> None:
    assert throughput([], 1, []) is None


def test_pause_is_a_gap_and_a_slow_stretch_is_none() -> None:
    found = made([Interval(0, 5, 0), Interval(990, 1, 1), Interval(5000, 3, 0)], 10, [(0, 1000.0), (5000, 5003.5)])
    assert worked(found) == [(0, 1000), (5000, 5010)]
    assert found["step_seconds"] == 10


@pytest.mark.parametrize("hours, step", [(0.01, 1), (1, 30), (10, 300), (24 * 300, 2 * 86400 + 86400)])
def test_steps_grow_with_the_time_that_was_worked(hours: float, step: int) -> None:
    found = made([], 1, [(0, hours * 3600)])
    assert found["step_seconds"] == step


@given(
    st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 9), st.integers(0, 9)), max_size=30),
    st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 10**5)), min_size=1, max_size=10),
    st.sampled_from([1, 10]),
)
def test_every_outcome_is_in_a_step_within_a_span(
    counts: list[tuple[int, int, int]], spans: list[tuple[int, float]], seconds: int
) -> None:
    intervals = [Interval(start * seconds, success, failed) for start, success, failed in counts]
    found = made(intervals, seconds, [(start, start + length) for start, length in spans])
    assert sum(each["success"] for each in found["counts"]) == sum(each.success for each in intervals)
    assert sum(each["failed"] for each in found["counts"]) == sum(each.failed for each in intervals)
    stretches = worked(found)
    step = found["step_seconds"]
    assert all(before[1] < after[0] for before, after in pairwise(stretches))
    for each in found["counts"]:
        start = moment(each["start"])
        assert any(low <= start and start + step <= high for low, high in stretches)
    many = len(spans) + len(intervals)
    assert sum(end - start for start, end in stretches) <= step * (MOST_STEPS + 2 * many)
