"""What only a batch with a file can do, asked for from Python; and conditions on ideas, which any batch can have."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from durable import Library, ideas
from in_memory import process, quick, results, run
from receiver import Receiver

import batchq
from batchq import BatchProcessor
from batchq.errors import ConfigError, OutputError, UsageError

PEOPLE = [{"id": f"p{n}", "n": n, "key": f"s3cret-of-{n}", "lang": "en" if n % 2 else "de"} for n in range(1, 9)]


def tells_the_key(item: dict[str, Any]) -> int:
    """Item 3 fails, and tells what it must not."""
    if item["n"] == 3:
        raise batchq.Permanent(f"{item['key']} is not valid")
    return int(item["n"])


def test_a_batch_from_python_hides_chooses_writes_a_file_and_tells_its_end(library: Library) -> None:
    out = library.folder / "titles.jsonl"
    with Receiver.listening() as receiver:
        settings = {
            "redact": "key",
            "where": "lang == 'en' and n < 7",
            "out": out,
            "notify": receiver.at("/end"),
            "max_tasks_per_worker": 100,
        }
        report = library.process(PEOPLE, tells_the_key, **settings)
        assert results(report) == [1, None, 5]
        assert receiver.types("/end") == ["batch.completed"], "it is told by the time that the call returns"
    assert report.left_out == {"where": 5}
    assert report.failures[0]["error"] == "[redacted] is not valid"
    assert report.config["redact"] == ["key"] and report.config["where"] == settings["where"]
    assert "s3cret-of-3" not in library.handle().item("p3").payload
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted((line["seq"], line["status"]) for line in lines) == [(1, "success"), (2, "failed"), (3, "success")]

    out.unlink()
    again = library.process(PEOPLE, tells_the_key, **{**settings, "notify": ()})
    assert again.success_count == 2
    assert len(out.read_text().splitlines()) == 3, "a file that is gone is written anew, and nothing has run for it"
    with pytest.raises(UsageError, match=r"writes to .*titles\.jsonl"):
        library.process(PEOPLE, tells_the_key, **{**settings, "out": library.folder / "others.jsonl"})
    with pytest.raises(OutputError, match="exists already") as refused:
        library.process(PEOPLE, tells_the_key, "b2", **settings)
    assert "overwrite=True" in refused.value.hint

    earlier = library.process(PEOPLE, tells_the_key, "b3", reuse="b1")
    assert earlier.reused == 2 and earlier.success_count == 7


def test_shares_sizes_and_moments_are_read_as_the_command_line_reads_them(library: Library) -> None:
    config = library.config(deadline="2h", memfree="1M", max_worker_memory="2G", notify_at="5%", notify="http://a.b/c")
    assert config.moment is not None and config.least_free == 1 << 20
    assert (config.most_memory, config.share, config.addresses) == (2 << 30, 0.05, ("http://a.b/c",))


@pytest.mark.parametrize(
    "setting",
    [
        {"redact": "key"},
        {"out": "x.jsonl"},
        {"notify": ["https://example.org/?token=s3cret"]},
        {"deadline": "2h"},
        {"cache": "results"},
        {"max_tasks_per_worker": 5},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_a_batch_in_memory_refuses_what_needs_a_file_and_processes(setting: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=rf"^{next(iter(setting))} needs mode='queue'$"):
        quick(**setting)


@pytest.mark.parametrize(
    ("settings", "error", "what"),
    [
        ({"overwrite": True}, UsageError, "overwrite is of use with out only"),
        ({"notify_at": "5%"}, UsageError, "notify_at is of use with notify only"),
        ({"redact": "key,,mail"}, ConfigError, "redact"),
        ({"notify": "ftp://example.org"}, ConfigError, "notify"),
        ({"out": ""}, ConfigError, "out"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_by_their_names(
    settings: dict[str, Any], error: type[UsageError], what: str, library: Library
) -> None:
    with pytest.raises(error, match=f"^{what}"):
        library.config(**settings)


def square(item: dict[str, Any]) -> int:
    """Nothing is noted: no test asks how often it ran."""
    return int(item["n"]) ** 2


async def _streamed() -> AsyncIterator[dict[str, Any]]:
    for idea in ideas(9):
        yield idea


def test_a_condition_chooses_among_ideas_in_memory_before_shards_are_cut() -> None:
    report = process(ideas(9), square, where="n > 3", shard="2/3")
    assert [result["idea_id"] for result in report.results] == ["i5", "i8"]
    assert report.left_out == {"where": 3}

    async def streamed() -> list[Any]:
        stream = BatchProcessor(quick(where="n in (2, 4)")).stream(_streamed(), square)
        return sorted([each.result async for each in stream])

    assert run(streamed()) == [4, 16]
    assert list(batchq.map(square, ideas(5), where="n >= 4")) == [16, 25]
    with pytest.raises(UsageError, match=r"^where, column 5"):
        process(ideas(2), square, where="n ==== 3")
