"""`start --shard`: parts of one input as batches of their own, and one report and one set of results of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from batchq.cli.console import run_command
from batchq.cli.run import cli

HANDLERS = """
def odd_fails(item):
    if item["n"] % 2:
        raise ValueError("odd: " + str(item["n"]))
    return {"n": item["n"]}
"""
ASKED = ("--func", "odd.py:odd_fails", "--retry-attempts", "1", "-w", "1", "-q")


class Said(NamedTuple):
    """What a command has said."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten items in `in.jsonl`, and in `H` three batches, each with a third of them; the last of the first eight."""
    folder = tmp_path_factory.mktemp("shards")
    (folder / "odd.py").write_text(HANDLERS)
    (folder / "in.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(1, 11)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
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
