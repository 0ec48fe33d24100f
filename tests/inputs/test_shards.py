"""Parts of an input: all of them together are the whole, each item in one of them, and each leads back to its line."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fuzz_inputs import read_all
from hypothesis import given, settings
from hypothesis import strategies as st

import batchq
from batchq.engine.handover import Handover
from batchq.errors import ConfigError, InputChanged
from batchq.inputs import describe, gather, open_reader
from batchq.model import Position
from batchq.shards import MOST, Shard

CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "limit": st.integers(1, 40),
        "skip": st.integers(0, 5),
        "where": st.sampled_from(["n > 3", "n != 7"]),
        "unique": st.just("half"),
        "sample": st.integers(1, 20),
        "shuffle": st.booleans(),
        "id_field": st.just("n"),
    },
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 12), CHOICES)
def test_all_shards_of_a_choice_are_that_choice_each_item_once(usable: list[bool], parts: int, choice: Any) -> None:
    lines = [f'{{"n": {n}, "half": {n // 2}}}' if each else "{broken" for n, each in enumerate(usable, 1)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        path.write_text("".join(line + "\n" for line in lines))
        source = replace(describe(str(path)), seed=3, **choice)
        whole = read_all(source)
        found: dict[int, Any] = {}
        for number in range(1, parts + 1):
            shard = Shard(number, parts)
            part = read_all(replace(source, shard=str(shard)))
            assert len(part) == shard.size(len(whole))
            for seq, record in enumerate(part, 1):
                assert shard.place(seq) not in found
                found[shard.place(seq)] = record
    assert [found[place].payload for place in sorted(found)] == [record.payload for record in whole]
    assert [found[place].line for place in sorted(found)] == [record.line for record in whole]
    named = [record.item_id or f"item-{place}" for place, record in enumerate(whole, 1)]
    assert [found[place].item_id or f"item-{place}" for place in sorted(found)] == named
    assert all(f"line {record.line}" in record.error for record in found.values() if record.error)


def test_reading_a_shard_on_gives_its_rest_and_notices_what_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(3000)))
    source = replace(describe(str(path)), shard="2/3", where="n != 2")
    whole = read_all(source)
    assert [record.line for record in whole[:3]] == [2, 6, 9] and whole[0].item_id == "item-2"
    reader = open_reader(source, Position(1, 1, 400), whole.digests[399])
    assert [record for record in reader if record is not None] == whole[400:]
    assert dict(reader.skipped) == {"where": 1, "shard": 2999 - len(whole)}
    path.write_text(path.read_text().replace('{"n": 1}\n', ""))
    assert isinstance(read_all(source, Position(1, 1, 400), whole.digests[399]).broke, InputChanged)


def test_shards_know_their_input_from_one_with_other_records_or_another_order(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.jsonl", "b.jsonl")]
    for number, file in enumerate(files):
        file.write_text("".join(f'{{"n": {n}}}\n' for n in range(100 + number, 200, 2)))

    def hash_of(shard: str, after: int = 0, **choice: Any) -> str | None:
        source = replace(gather([str(file) for file in files]), shard=shard, **choice)
        reader = open_reader(source, Position(records=after))
        assert [*reader]
        return reader.whole()

    for choice in ({}, {"limit": 61}, {"where": "n > 150"}, {"shuffle": True}):
        assert len({hash_of(shard, **choice) for shard in ("1/3", "2/3", "3/3", "4/7")}) == 1
    whole = hash_of("1/3")
    assert hash_of("1/3", after=5) == whole != hash_of("1/3", limit=61)
    assert hash_of("1/1") is None
    files.reverse()
    assert hash_of("1/3") != whole
    files.reverse()
    files[1].write_text(files[1].read_text().replace("151", "157"))
    assert hash_of("1/3") != whole


@pytest.mark.parametrize("kind", [list, iter, "async"])
def test_shards_of_a_program_know_its_ideas_from_others(kind: Any) -> None:
    async def drawn(ideas: list[int]) -> AsyncIterator[int]:
        for idea in ideas:
            yield idea

    async def hash_of(ideas: list[int], shard: str) -> str | None:
        handover = Handover(drawn(ideas) if kind == "async" else kind(ideas), Shard.of(shard))
        walking = asyncio.create_task(asyncio.to_thread(lambda: [*handover]))
        await handover.draw()
        assert await walking
        await handover.aclose()
        return handover.whole()

    async def check() -> None:
        whole = await hash_of([*range(1000)], "1/3")
        assert await hash_of([*range(1000)], "3/3") == whole
        for other in ([*range(999, -1, -1)], [*range(999)], [*range(1, 1001)]):
            assert await hash_of(other, "3/3") != whole
        assert await hash_of([*range(1000)], "1/1") is None

    asyncio.run(check())


@pytest.mark.parametrize(
    "text, said",
    [
        ("0/10", "--shard must be a part from 1/10 to 10/10, not '0/10'"),
        ("11/10", "a part from 1/10 to 10/10"),
        ("1/0", "one of 1 to 100000 parts"),
        (f"1/{MOST + 1}", "one of 1 to"),
        *((text, "such as 3/10") for text in ("x", "3", "3/", "/3", "-1/3", "1.5/3", "3:10", "")),
    ],
)
def test_shard_that_is_none_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Shard.of(text)


@pytest.mark.parametrize("kind", [list, iter, "async"])
@pytest.mark.parametrize("mode", ["parallel", "sequential"])
def test_program_runs_its_shard_and_items_keep_their_place(mode: str, kind: Any) -> None:
    async def drawn() -> AsyncIterator[int]:
        for n in range(10):
            yield n

    found = {}
    for shard in ("1/3", "2/3", "3/3"):
        items = drawn() if kind == "async" else kind(range(10))
        report = batchq.run(items, str, mode=mode, shard=shard, enable_progress_tracking=False)
        found |= {each["idea_id"]: each["result"] for each in report.results}
    assert found == {f"item-{n + 1}": str(n) for n in range(10)}


def test_map_and_a_wrong_shard_of_a_program() -> None:
    assert list(batchq.map(str, range(7), shard="2/3")) == ["1", "4"]
    with pytest.raises(ConfigError, match="shard must be a part from 1/3 to 3/3"):
        batchq.BatchConfig(shard="4/3")


def test_durable_shard_of_a_program_leads_to_the_place_and_goes_on_with_that_shard_only(tmp_path: Path) -> None:
    def run(shard: str) -> batchq.BatchReport:
        settings: dict[str, Any] = {"home": tmp_path, "enable_progress_tracking": False, "workers": 1}
        return batchq.run(range(5), str, batch_id="b1", shard=shard, **settings)

    report = run("2/3")
    assert [(each["idea_id"], each["result"]) for each in report.results] == [("item-2", "1"), ("item-5", "4")]
    assert report.config["shard"] == "2/3"
    assert run("2/3").results[1]["result"] == "4"
    with pytest.raises(InputChanged):
        run("1/3")


def test_async_items_that_are_left_early_are_let_go() -> None:
    closed = []

    async def drawn() -> AsyncIterator[int]:
        try:
            for n in range(100):
                yield n
        finally:
            closed.append(True)

    async def main() -> None:
        part = Shard(2, 3).out_of(drawn())
        async for each in part:  # type: ignore[union-attr]
            assert each == 1
            break
        await part.aclose()  # type: ignore[union-attr]

    asyncio.run(main())
    assert closed == [True]
