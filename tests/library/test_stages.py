"""`then=`: functions one after the other, of which each item begins again at the one that has failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ledger
import pytest
from durable import Idea, Library, ideas
from in_memory import quick, run

import batchq
from batchq import BatchProcessor, Context
from batchq.errors import BatchHalted, TargetError
from batchq.handlers import export


def both(mode: str, library: Library) -> BatchProcessor:
    return BatchProcessor(library.config(retry_attempts=1) if mode == "queue" else quick(mode=mode, retry_attempts=1))


@pytest.mark.parametrize("mode", ["parallel", "sequential", "queue"])
def test_each_function_gets_what_the_one_before_has_returned(mode: str, library: Library) -> None:
    folder = Path(library.folder)

    async def title(idea: Idea) -> dict[str, Any]:
        ledger.note("start", idea)
        return {"title": f"idea {idea['n']}"}

    def script(titled: dict[str, Any], ctx: Context) -> str:
        if titled["title"] == "idea 3" and not (folder / "up").exists():
            raise ConnectionError("the model is down")
        return f"{titled['title']}, once {ctx.payload['n']}, in stage {ctx.stage}"

    processor = both(mode, library)
    report = run(processor.process_batch(ideas(4), title, "b1", then=(script, str.upper)))
    assert [each.get("result") for each in report.results] == [
        None if n == 3 else f"IDEA {n}, ONCE {n}, IN STAGE 2" for n in range(1, 5)
    ]
    assert [each["error"] for each in report.failures] == ["the model is down"]
    if mode == "queue":
        (folder / "up").touch()
        assert library.handle().retry().success_count == 4
        assert set(library.starts().values()) == {1}, "a title was made twice"
        again = run(processor.process_batch(ideas(4), title, "b1", then=(script, str.upper)))
        assert (again.success_count, set(library.starts().values())) == (4, {1})


def test_run_and_stream_take_one_function_or_several() -> None:
    report = batchq.run([1, 2], lambda n: n + 1, mode="parallel", then=str, enable_progress_tracking=False)
    assert [each["result"] for each in report.results] == ["2", "3"]

    async def streamed() -> list[Any]:
        stream = BatchProcessor(quick()).stream([1, 2], lambda n: n + 1, then=[str, len])
        return [each.result async for each in stream]

    assert run(streamed()) == [1, 1]


def test_functions_travel_by_name_only_where_all_of_them_can() -> None:
    exported = export(json.loads, json.dumps)
    assert (exported.target, exported.stages, exported.pickled) == ("json:loads", ("json:dumps",), None)
    mixed = export(json.loads, lambda text: text)
    assert mixed.pickled is not None and ":" not in mixed.target + "".join(mixed.stages)


def test_function_that_cannot_be_a_stage_is_refused_before_anything_runs(library: Library) -> None:
    with pytest.raises(TargetError, match="takes no argument"):
        run(both("parallel", library).process_batch(ideas(2), str, then=[lambda: 1]))
    with pytest.raises(TargetError, match="not a function"):
        run(both("queue", library).process_batch(ideas(2), str, "b1", then=["pipeline:script"]))  # type: ignore[list-item]
    assert not library.home.exists() or not list(library.home.iterdir())


def test_another_first_function_is_named_together_with_the_later_ones(library: Library) -> None:
    processor = BatchProcessor(library.config(retry_attempts=1, halt=1))
    with pytest.raises(BatchHalted):
        run(processor.process_batch(ideas(3), lambda idea: 1 // (idea["n"] - 1), "b1", then=lambda n: n))
    refused = library.run("resume", "b1", "--func", "json:dumps")
    assert refused.returncode == 2 and "--then" in refused.stderr and "Traceback" not in refused.stderr
    resumed = library.run("resume", "b1", "--func", "json:dumps", "--then", "builtins:str")
    assert (library.handle().status().state, "changed" in resumed.stderr) == ("completed", True), resumed.stderr
