"""The example data and the example pipeline are what the README says of them."""

from __future__ import annotations

import asyncio
import csv
import dataclasses
import importlib.util
import json
import logging
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from batchq.context import Context

DATA = Path(__file__).parents[2] / "data"
IDEAS: list[dict[str, Any]] = [json.loads(line) for line in (DATA / "ideas.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("PIPELINE_DELAY", "0")
    spec = importlib.util.spec_from_file_location("example_pipeline", DATA / "pipeline.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "example_pipeline", module)
    spec.loader.exec_module(module)
    return module


def test_there_are_120_ideas_with_ids_of_their_own_and_in_several_scripts() -> None:
    assert len({idea["id"] for idea in IDEAS}) == len(IDEAS) == 120
    assert all(idea["text"] and idea["genre"] and idea["audience"] and idea["metadata"] for idea in IDEAS)
    assert sum(not idea["text"].isascii() for idea in IDEAS) >= 5


def test_the_csv_holds_the_same_ideas() -> None:
    with (DATA / "ideas.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["text"], row["genre"]) for row in rows] == [
        (idea["id"], idea["text"], idea["genre"]) for idea in IDEAS
    ]


def test_every_idea_gets_a_title_and_an_outline_and_the_same_ones_again(pipeline: ModuleType) -> None:
    for idea in IDEAS:
        made = pipeline.make_title_sync(idea)
        assert made == pipeline.make_title_sync(idea)
        assert made["title"] and 3 <= len(made["outline"]) <= 5
        assert any(keyword.lower() in made["title"].lower() for keyword in made["keywords"])


def test_setup_makes_no_difference_to_the_titles(pipeline: ModuleType) -> None:
    async def with_and_without() -> tuple[Any, Any]:
        log = logging.LoggerAdapter(logging.getLogger("batchq.item"), {})
        context = Context("b1", "idea-001", 1, 1, "key", None, log)
        without = await pipeline.make_title(IDEAS[0], context)
        async with pipeline.phrasebook() as book:
            return without, await pipeline.make_title(IDEAS[0], dataclasses.replace(context, resource=book))

    without, with_setup = asyncio.run(with_and_without())
    assert without == with_setup
