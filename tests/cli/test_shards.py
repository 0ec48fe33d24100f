"""`start --shard`: parts of one input as batches of their own, and one report and one set of results of them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from batchq.cli.console import run_command
from batchq.cli.run import cli

HANDLERS = """
def odd_fails(item):
    if item["n"] % 2:
        raise ValueError("odd: " + str(item["n"]))
    return {"n": item["n"]}


def none_fails(item):
    return 1
"""
ASKED = ("--func", "odd.py:odd_fails", "--retry-attempts", "1", "-w", "1", "-q")


TIME = re.compile(r"\d\.\d+(e-\d+)?")


class Said(NamedTuple):
    """What a command has said."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten items in `in.jsonl`, and in `H` three batches, each with a third of them; the last of the first eight.

    There, `whole` has run all of them, `other` the third third of an input of one, `turned` the second half of the ten
    in another order, and `mended` the second third with another function.
    """
    folder = tmp_path_factory.mktemp("shards")
    (folder / "odd.py").write_text(HANDLERS)
    (folder / "in.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(1, 11)))
    (folder / "other.jsonl").write_text('{"n": 2}\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "turned.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(10, 0, -1)))
        for words in (
            ["in.jsonl", "--id", "whole"],
            ["other.jsonl", "--id", "other", "--shard", "3/3"],
            ["turned.jsonl", "--id", "turned", "--shard", "2/3"],
            ["in.jsonl", "--id", "mended", "--shard", "2/3", "--func", "odd.py:none_fails"],
        ):
            run_command(cli, ["start", *ASKED, *words, "--home", "H"])
        for shard in ("1/3", "2/3", "3/3"):
            limit = ["--limit", "8"] if shard == "3/3" else []
            words = ["start", "in.jsonl", "--shard", shard, *limit, *ASKED, "--home", "H"]
            assert run_command(cli, words) == 1
    return folder


@pytest.fixture
def say(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    monkeypatch.chdir(folder)

    def run(*words: str, home: str = "H") -> Said:
        capsys.readouterr()
        code = run_command(cli, [*words, "--home", home])
        return Said(code, *capsys.readouterr())

    return run


def ids(folder: Path) -> list[str]:
    """The batches that `folder` has made, which are called by their shard."""
    return sorted(path.name for path in (folder / "H").glob("batch-*-001-*of3"))


def test_each_shard_is_a_batch_that_says_which_it_is_and_resume_keeps_to_it(
    folder: Path, say: Callable[..., Said]
) -> None:
    assert [name[-4:] for name in ids(folder)] == ["1of3", "2of3", "3of3"]
    last = ids(folder)[2]
    assert "  shard     3/3 of it\n" in say("status", last).out
    before = json.loads(say("report", last, "--json").out)
    assert (before["total_items"], before["left_out"], before["config"]["shard"]) == (2, {"shard": 6}, "3/3")
    report = say("report", last).out
    assert "shard     3/3 of in.jsonl" in report and f"resume {last} --all" in report
    assert say("resume", last, "--all", "-q").code == 1
    rows = [json.loads(line) for line in say("results", last).out.splitlines()]
    assert [(row["seq"], row["id"], row["line"]) for row in rows] == [
        (1, "item-3", 3),
        (2, "item-6", 6),
        (3, "item-9", 9),
    ]
    assert json.loads(say("status", last, "--json").out)["spec"]["source"]["shard"] == "3/3"
    assert json.loads(say("show", last, "item-6", "--json").out)["items"][0]["line"] == 6


@pytest.mark.parametrize(
    "words, said",
    [
        (["--shard", "11/10"], "batchq: --shard must be a part from 1/10 to 10/10, not '11/10'\n"),
        (["--shard", "x"], "batchq: --shard must be a part and the number of parts, such as 3/10"),
        (["--shard", "1/2", "--sample", "3"], "batchq: --shard 1/2 of a random --sample needs --seed\n  Say the same"),
        (["--shard", "1/2", "--shuffle"], "batchq: --shard 1/2 of a random --shuffle needs --seed\n"),
    ],
)
def test_shard_that_cannot_be_starts_nothing(say: Callable[..., Said], words: list[str], said: str) -> None:
    refused = say("start", "in.jsonl", *ASKED, *words, home="none")
    assert refused.code == 2 and refused.err.startswith(said), refused.err
    assert not Path("none").exists()


COUNTS = ("total_items", "processed_items", "success_count", "failure_count", "success_rate", "attempts", "state")


def lines(said: Said) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.out.splitlines()]


def test_report_on_all_shards_is_that_of_one_batch_over_all(folder: Path, say: Callable[..., Said]) -> None:
    say("resume", ids(folder)[2], "--all", "-q")
    merged = json.loads(say("report", *ids(folder), "--json").out)
    whole = json.loads(say("report", "whole", "--json").out)
    assert {name: merged[name] for name in COUNTS} == {name: whole[name] for name in COUNTS}
    assert (merged["left_out"], merged["batch_id"], merged["config"]["input"]) == ({}, "3 batches", "in.jsonl")
    assert [(each["batch_id"], each["shard"], each["total_items"]) for each in merged["batches"]] == [
        (name, f"{n}/3", items) for n, (name, items) in enumerate(zip(ids(folder), (4, 3, 3), strict=True), 1)
    ]
    assert [(group["failed"], len(group["examples"])) for group in merged["failure_groups"]] == [(5, 5)]
    assert sorted(each["line"] for each in merged["failures"]) == [1, 3, 5, 7, 9]
    assert {each["batch_id"] for each in merged["failures"]} <= set(ids(folder))
    assert sum(each["items"] for each in merged["workers"]) == sum(each["items"] for each in whole["workers"]) == 10
    assert sum(each["success"] + each["failed"] for each in merged["throughput"]["counts"]) == 10


def test_report_on_shards_has_a_line_for_each_in_every_form(folder: Path, say: Callable[..., Said]) -> None:
    say("resume", ids(folder)[2], "--all", "-q")
    text = say("report", *ids(folder)).out
    assert text.startswith("3 batches: completed\n  items     10: 5 succeeded, 5 failed (50% success)\n")
    rows = [line.split() for line in text.splitlines() if line.startswith("batch-")]
    assert [row[1:5] for row in rows] == [[f"{n}/3", "completed", f"{k}/{k}", f] for n, k, f in FOUND]
    assert f"Next: batchq results {' '.join(ids(folder))} --only failed --home H" in text
    page = say("report", *ids(folder), "--format", "html", "--failures", "1").out
    assert all(f">{name}</th>" in page for name in ids(folder)) and "And 4 more" in page
    table = list(csv.DictReader(io.StringIO(say("report", *ids(folder), "--format", "csv").out)))
    assert [(row["line"], row["batch"][-4:]) for row in table[:5]] == [(n, "1of3") for n in ["1", "4", "7", "10"]] + [
        ("2", "2of3")
    ]
    assert len(table) == 10 and "shard" not in say("report", *ids(folder), "--format", "csv").err


FOUND = [(1, 4, "2"), (2, 3, "1"), (3, 3, "2")]


@pytest.mark.parametrize("form", ["jsonl", "csv", "csv --flatten", "jsonl --with-input", "jsonl --only failed"])
def test_results_of_all_shards_are_those_of_one_batch_over_all(
    folder: Path, say: Callable[..., Said], form: str
) -> None:
    say("resume", ids(folder)[2], "--all", "-q")
    words = ("--format", *form.split())
    merged = say("results", *ids(folder), *words)
    assert merged.err == "" and TIME.sub("", merged.out) == TIME.sub("", say("results", "whole", *words).out)


def test_items_of_all_shards_are_the_input_again(folder: Path, say: Callable[..., Said]) -> None:
    say("resume", ids(folder)[2], "--all", "-q")
    assert say("results", *reversed(ids(folder)), "--as-input").out == (folder / "in.jsonl").read_text()


def test_shard_that_is_missing_is_told_and_one_in_another_home_is_named_by_its_path(
    folder: Path, say: Callable[..., Said]
) -> None:
    first, _, last = ids(folder)
    say("resume", last, "--all", "-q")
    path = str(folder / "H" / last)
    for form in ((), ("--format", "csv"), ("--format", "html")):
        said = say("report", first, path, *form)
        assert said.code == 0 and "shard 2/3 is missing" in said.out + said.err
    report = json.loads(say("report", first, path, "--json").out)
    assert (report["troubles"], report["left_out"]) == (["shard 2/3 is missing"], {"shard": 3})
    said = say("results", first, path + "/")
    assert [row["seq"] for row in lines(said)] == [1, 3, 4, 6, 7, 9, 10] and "shard 2/3 is missing" in said.err
    advised = f"Next: batchq results {last} --only failed --home {folder / 'H'}\n"
    assert say("report", path, home="none").out.endswith(advised)


@pytest.mark.parametrize(
    "more, said",
    [
        ("whole", "-1of3 (shard 1/3) and whole (the whole input) have items in common, which count twice"),
        ("other", "other is a shard of another input (other.jsonl, 9 bytes) than batch-"),
        ("turned", "turned.jsonl, 91 bytes holds other records than in.jsonl, 91 bytes, or in another order"),
    ],
)
def test_batches_that_do_not_fit_together_are_told_of_and_have_no_common_order(
    folder: Path, say: Callable[..., Said], more: str, said: str
) -> None:
    report = say("report", ids(folder)[0], more)
    assert report.code == 0 and said in report.out
    refused = say("results", ids(folder)[0], more)
    assert refused.code == 2 and said in refused.err and "not the shards of one input" in refused.err


def test_shards_that_have_run_different_functions_go_together_only_when_told_to(
    folder: Path, say: Callable[..., Said]
) -> None:
    first, mixed = ids(folder)[0], f"mended does something else than {ids(folder)[0]}: another function"
    assert f"  shards    {mixed}\n" in say("report", first, "mended").out
    refused = say("results", first, "mended", "-o", "mixed.jsonl")
    assert (refused.code, refused.err.splitlines()) == (
        2,
        [f"batchq: these results do not go together: {mixed}", "  Say --mixed to have them together all the same."],
    )
    said = say("results", first, "mended", "--mixed")
    assert [row["seq"] for row in lines(said)] == [1, 2, 4, 5, 7, 8, 10] and mixed in said.err


def test_same_batch_twice_and_what_cannot_be_of_several_is_refused(folder: Path, say: Callable[..., Said]) -> None:
    first, second, _ = ids(folder)
    for verb in ("report", "results"):
        assert say(verb, first, first).err == f"batchq: {first} is named twice\n"
        assert say(verb, first, f"H/{first}").err == f"batchq: {first} is named twice, also as H/{first}\n"
        assert "no batch 'none'" in say(verb, first, "none").err
    assert say("results", first, second, "-f").code == 2
    assert say("report").err.startswith("batchq: Missing argument 'ID'.")
    report = json.loads(say("report", "whole", "other", "--json").out)
    assert report["success_count"] == 5 and report["troubles"] == [
        "whole is the whole of another input (in.jsonl, 91 bytes) than other (other.jsonl, 9 bytes)",
        "shards 1/3, 2/3 are missing",
    ]
