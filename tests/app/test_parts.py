"""Whether several batches are the shards of one input, all of them, and each once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchq.app.merged import merge
from batchq.app.parts import Part, together
from batchq.app.report import BatchReport
from batchq.errors import UsageError
from batchq.shards import Shard
from batchq.spec import SourceSpec

SOURCE = SourceSpec("/a.jsonl", "a.jsonl", "jsonl", 100, 1)
ITEMS = 720  # all numbers of parts below divide it


def parts(*shards: str, **more: Any) -> list[Part]:
    return [Part(f"b{n}", replace(SOURCE, shard=shard, **more)) for n, shard in enumerate(shards, 1)]


def hashed(name: str, shard: str, digest: str) -> list[Part]:
    return [part._replace(named=name) for part in parts(shard, digest=digest)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 6).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))), min_size=1, max_size=6))
def test_shards_overlap_and_are_all_as_their_items_say(chosen: list[tuple[int, int]]) -> None:
    shards = [Shard(*each) for each in chosen]
    found = together([Part(f"b{n}", replace(SOURCE, shard=str(each))) for n, each in enumerate(shards)])
    if all(each.is_whole for each in shards):
        assert found[:3] == (False, False, [])
        return
    held = [place for each in shards for place in range(1, ITEMS + 1) if each.holds(place)]
    assert found.are_shards == (len(set(held)) == len(held))
    assert found.are_all == (sorted(held) == list(range(1, ITEMS + 1)))
    assert bool(found.troubles) == (not found.are_all)


@pytest.mark.parametrize(
    "chosen, said",
    [
        (parts("1/3", "3/3"), "shard 2/3 is missing"),
        (parts("2/30"), "shards 1/30, 3/30, 4/30, 5/30, 6/30, 7/30, 8/30, 9/30, 10/30, 11/30 and 19 more are missing"),
        (parts("1/2", "2/4"), "these shards are 3/4 of the input; the rest is missing"),
        (parts("1/2", "3/4", "2/2"), "b1 (shard 1/2) and b2 (shard 3/4) have items in common, which count twice"),
        (
            [*parts("1/2"), Part("c", replace(SOURCE, shard="2/2", limit=5, id_field="x"))],
            "c is a shard of another choice of records than b1: --limit differs",
        ),
        (
            [*parts("1/2"), Part("c", replace(SOURCE, shard="2/2", size=None, name="-"))],
            "c is a shard of another input (-) than b1 (a.jsonl, 100 bytes)",
        ),
        (
            [*parts("1/2"), Part("c", replace(SOURCE, size=7))],
            "c is the whole of another input (a.jsonl, 7 bytes) than b1 (a.jsonl, 100 bytes)",
        ),
        (
            [*parts("1/3"), *hashed("c", "2/3", "d"), *hashed("d", "3/3", "e")],
            (
                "d is a shard of another input than c: a.jsonl, 100 bytes holds other records than "
                "a.jsonl, 100 bytes, or in another order"
            ),
        ),
        (
            [part._replace(runs={"prompt": part.named, "model": "m", "--then": []}) for part in parts("1/2", "2/2")],
            "b2 does something else than b1: another prompt",
        ),
    ],
)
def test_what_is_not_as_it_should_be_is_said(chosen: list[Part], said: str) -> None:
    assert together(chosen).troubles[0] == said


def test_file_that_lies_elsewhere_under_another_name_is_the_same_input() -> None:
    moved = replace(SOURCE, path="/mnt/b.jsonl", name="b.jsonl", mtime_ns=2, shard="2/2")
    assert together([*parts("1/2"), Part("c", moved)])[:3] == (True, True, [])
    with pytest.raises(UsageError, match="b1 is named twice"):
        together([*parts("1/2"), *parts("1/2")])


def report(state: str, start: int, seconds: float, done: int = 10) -> BatchReport:
    stamps = [f"2026-11-26T07:00:{second:02d}+00:00" for second in (start, start + int(seconds))]
    made = BatchReport("b", 10, done, done, 0, seconds, 0.5, stamps[0], None, [], {}, state)
    made.throughput = {"step_seconds": 1, "counts": [], "worked": [dict(zip(("start", "end"), stamps, strict=True))]}
    return made


@pytest.mark.parametrize(
    "states, state",
    [
        (("completed", "completed"), "completed"),
        (("completed", "filling"), "running"),
        (("failed", "pausing"), "running"),
        (("completed", "interrupted"), "interrupted"),
        (("paused", "failed"), "failed"),
        (("completed", "cancelled"), "cancelled"),
    ],
)
def test_several_stand_as_the_one_that_needs_somebody_most(states: tuple[str, str], state: str) -> None:
    assert merge(parts("1/2", "2/2"), [report(each, 0, 4) for each in states]).state == state


@pytest.mark.parametrize("second, active", [(0, 4.0), (2, 6.0), (4, 8.0), (20, 8.0)])
def test_rate_counts_time_once_in_which_several_were_at_work(second: int, active: float) -> None:
    merged = merge(parts("1/2", "2/2"), [report("completed", 0, 4.0), report("completed", second, 4.0)])
    assert (merged.total_duration, merged.items_per_second) == (active, round(20 / active, 3))
    assert merged.speedup == round(20 * 0.5 / active, 2)
