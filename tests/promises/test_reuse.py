"""What was paid for is not paid for again: results of earlier batches (--reuse), or shared by batches (--cache)."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import ledger
import pytest
from command import LEDGER_FILE, Bench, kill, members
from said import Said, say
from waiting import wait_until

HANDLER = """
from ledger import note

async def squares(item, ctx):
    note("start", item)
    await ctx.spend(usd=1)
    if item.get("bad"):
        raise ValueError("bad")
    return item["n"] ** 2
"""


class Shop:
    """A folder with a handler that is paid for; commands run in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench = Bench(folder)
        self._capsys = capsys
        self.handler = folder / "paid.py"
        self.handler.write_text(HANDLER)
        shutil.copy(LEDGER_FILE, folder)
        monkeypatch.setenv("LEDGER", str(self.bench.ledger))
        monkeypatch.setenv("GATE", str(folder / "gate"))
        monkeypatch.chdir(folder)

    def say(self, *arguments: str) -> Said:
        """Run ``batchq ARGUMENTS``."""
        return say(self._capsys, self.bench.home, *arguments)

    def start(self, batch_id: str, items: list[Any], *options: str, func: str = "paid.py:squares") -> Said:
        """Run a batch over these items, texts of JSON or what is made one."""
        lines = [item if isinstance(item, str) else json.dumps(item) for item in items]
        Path(f"{batch_id}.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return self.say(
            "start", f"{batch_id}.jsonl", "--func", func, "--id", batch_id, "-w", "1", "--retry-attempts", "1",
            "--no-breaker", "-q", *options,
        )  # fmt: skip

    def calls(self) -> Counter[int]:
        """By n of the item, how often it was paid for so far."""
        return Counter(n for word, n in ledger.read(self.bench.ledger) if word == "start")

    def told(self, verb: str, batch_id: str) -> dict[str, Any]:
        """What `status` or `report` says as JSON."""
        said: dict[str, Any] = json.loads(self.say(verb, batch_id, "--json").out)
        return said

    def results(self, batch_id: str) -> list[Any]:
        """What a batch has made, in the order of its input."""
        rows = [json.loads(line) for line in self.say("results", batch_id).out.splitlines()]
        return [row.get("result", row["status"]) for row in sorted(rows, key=lambda row: int(row["seq"]))]


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shop:
    return Shop(tmp_path, capsys, monkeypatch)


def test_item_of_an_earlier_batch_is_not_paid_for_again_and_a_changed_function_pays(shop: Shop) -> None:
    assert shop.start("old", [{"n": 1, "t": "ä"}, {"n": 2}, {"n": 3, "bad": 1}]).code == 1
    # The same in another order and another spelling; a failure, and an item that differs, are no such items.
    items = [{"n": 4}, '{"t":"\\u00e4",   "n":1}', {"n": 3, "bad": 1}, {"n": 2, "x": None}, {"n": 2}]
    done = shop.start("new", items, "--reuse", "old", "--budget", "usd=100")
    assert done.code == 1, done.err
    assert shop.results("new") == [16, 1, "failed", 4, 4]
    assert shop.calls() == {1: 1, 2: 2, 3: 2, 4: 1}
    status, report = shop.told("status", "new"), shop.told("report", "new")
    assert (status["reused"], status["attempts"], status["success_count"], status["spent"]) == (2, 3, 4, {"usd": 3.0})
    assert (report["reused"], report["attempts"]) == (2, 3)
    assert "2 reused" in shop.say("status", "new").out and "2 items reused" in shop.say("report", "new").out
    assert "that of an item that was done before" in shop.say("show", "new", "#2").out
    assert "all is well" in shop.say("check", "new").err

    assert shop.start("waits", [{"n": 2}], "--reuse", "old", "--queue").code == 0
    shop.handler.write_text(HANDLER.replace("** 2", "** 3"))
    refused = shop.say("resume", "waits")
    assert refused.code == 2 and "waits cannot go on with --reuse: --reuse old: it has run another" in refused.err
    refused = shop.start("third", [{"n": 2}], "--reuse", "old")
    assert refused.code == 2 and "another function, or the function has changed" in refused.err
    assert "--reuse-changed" in refused.err and not (shop.bench.home / "third").exists()
    assert shop.start("third", [{"n": 2}], "--reuse", "old", "--reuse", "new", "--reuse-changed").code == 0
    assert shop.results("third") == [4]
    assert "attempts  0; 1 item reused, which needed none" in shop.say("report", "third").out


def test_batches_share_a_cache_at_the_same_time_and_later(shop: Shop) -> None:
    shop.bench.write_input(40)
    target = f"{LEDGER_FILE}:waits"
    both = [
        shop.bench.begin("start", "input.jsonl", "--func", target, "--id", name, "--cache", "cache", "-w", "2")
        for name in ("a", "b")
    ]
    assert [process.communicate(timeout=60) and process.returncode for process in both] == [0, 0]
    paid = shop.calls().total()
    assert 40 <= paid <= 80
    items = [json.loads(line) for line in Path("input.jsonl").read_text().splitlines()]
    assert shop.start("c", items, "--cache", "cache", func=target).code == 0
    assert shop.results("c") == [n * n for n in range(1, 41)]
    assert shop.calls().total() == paid and shop.told("status", "c")["reused"] == 40
    # Another function has other results, and the folder of another's is none of ours.
    assert shop.start("d", [{"n": 5}], "--cache", "cache").code == 0 and shop.told("status", "d")["reused"] == 0
    Path("mine").mkdir()
    damaged = bytearray(Path("cache/cache.db").read_bytes())
    damaged[4096:] = bytes(len(damaged) - 4096)
    Path("cache/cache.db").write_bytes(damaged)
    refused = shop.start("f", [{"n": 5}], "--cache", "cache")
    assert refused.code == 2 and re.search(r"cannot use \S+ as --cache: .* malformed", refused.err)
    (Path("mine") / "cache.db").write_text("my own notes")
    refused = shop.start("e", [{"n": 5}], "--cache", "mine")
    assert (
        refused.code == 2 and "cannot use" in refused.err and (Path("mine") / "cache.db").read_text() == "my own notes"
    )


def test_batch_that_is_killed_goes_on_with_the_results_of_one_that_is_gone(shop: Shop) -> None:
    target = f"{LEDGER_FILE}:held"
    Path("gate").touch()
    assert shop.start("old", [{"n": n} for n in range(1, 6)], func=target).code == 0
    Path("gate").unlink()
    Path("new.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in (6, 7, 1, 2, 3, 4, 5)))
    process = shop.bench.begin(
        "start",
        "new.jsonl",
        "--func",
        target,
        "--id",
        "new",
        "--reuse",
        "old",
        "-c",
        "2",
        "--chunk-size",
        "2",
        "-w",
        "1",
    )
    wait_until(lambda: {6, 7} <= shop.calls().keys())
    kill(members(process.pid))
    process.communicate(timeout=60)
    shutil.rmtree(shop.bench.home / "old")
    Path("gate").touch()
    done = shop.say("resume", "new", "-q")
    assert done.code == 0, done.err
    assert shop.results("new") == [6, 7, 1, 2, 3, 4, 5]
    assert shop.calls() == {6: 2, 7: 2, **dict.fromkeys(range(1, 6), 1)}
    assert shop.told("status", "new")["reused"] == 5


STAGES = """
from pathlib import Path

def less(item):
    return {"n": item["n"] - 1}

def tenfold(item):
    if item["n"] and not Path("gate").exists():
        raise ConnectionError("down")
    return item["n"] * 10
"""


def test_item_in_a_later_stage_is_not_taken_for_one_that_is_what_the_stage_before_gave(shop: Shop) -> None:
    Path("staged.py").write_text(STAGES)
    stages = ("--then", "staged.py:tenfold", "--cache", "cache")
    assert shop.start("a", [{"n": 1}, {"n": 2}], *stages, func="staged.py:less").code == 1
    Path("gate").touch()
    assert shop.say("retry", "a", "-q").code == 0
    assert shop.results("a") == [0, 10]
    with closing(sqlite3.connect("cache/cache.db")) as cache:
        assert cache.execute("SELECT result FROM known ORDER BY result").fetchall() == [("0",), ("10",)]


def test_same_command_in_another_folder_takes_nothing_of_this_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.txt").write_text(name)
    (tmp_path / "files.jsonl").write_text('{"path": "file.txt"}\n')

    def start(folder: str, batch_id: str, *options: str) -> Said:
        monkeypatch.chdir(tmp_path / folder)
        return shop.say("start", "../files.jsonl", "--exec", "cat {path}", "--id", batch_id, "-q", "-w", "1", *options)

    assert start("one", "a", "--cache", "../cache").code == 0 and start("two", "b", "--cache", "../cache").code == 0
    assert (shop.results("a"), shop.results("b")) == (["one"], ["two"])
    refused = start("two", "c", "--reuse", "a")
    assert refused.code == 2 and f"ran in another folder ({tmp_path / 'one'})" in refused.err


@pytest.mark.parametrize(
    "options, said",
    [
        (("--reuse", "nosuch"), "no batch 'nosuch'"),
        (("--reuse-changed",), "--reuse-changed is of use with --reuse only"),
        (("--cache", ""), "--cache needs a folder"),
        (("--cache", "paid.py"), r"cannot use \S+paid.py as --cache: File exists"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_stored(shop: Shop, options: tuple[str, ...], said: str) -> None:
    done = shop.start("b1", [{"n": 1}], *options)
    assert done.code == 2 and re.search(said, done.err)
    assert not (shop.bench.home / "b1").exists()
