"""A batch's folder names code: what this user has not put there on this machine is not run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import troubles
from command import ended
from durable import Library, ideas
from waiting import wait_until

from batchq.app.verbs import respecify_locked
from batchq.errors import SealBroken, TargetError
from batchq.store.home import Home
from batchq.store.reading import reading
from batchq.store.seal import Seal

pytestmark = pytest.mark.slow

COUNT = 6
PAUSING_PROGRAM = f"""
import asyncio, os
from pathlib import Path
import batchq, ledger
from command import Bench
from batchq import BatchConfig, BatchHalted, BatchProcessor

async def by_value(item):
    return await ledger.held(item)

async def main():
    ideas = [{{"id": f"i{{n}}", "n": n}} for n in range(1, {COUNT} + 1)]
    config = BatchConfig(mode="queue", max_concurrent=1)
    task = asyncio.create_task(BatchProcessor(config).process_batch(ideas, FUNCTION, "b1"))
    while not os.path.exists(os.environ["LEDGER"]):
        await asyncio.sleep(0.01)
    batchq.open("b1").pause()
    await asyncio.to_thread(Bench(Path.cwd()).wait_until_told)
    open(os.environ["GATE"], "w").close()
    try:
        await task
    except BatchHalted as halted:
        assert halted.report.state == "paused"

asyncio.run(main())
"""
EVIL = """
def handler(item):
    open("evil", "w").close()
"""


@pytest.fixture(scope="module", params=["ledger.held", "by_value"], ids=["by-name", "by-value"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Batch b1, of which one item has run; its function is stored by name, and by value."""
    return made_by_a_program(tmp_path_factory.mktemp("original"), request.param)


@pytest.fixture
def paused(original: Library, library: Library) -> Library:
    """A copy of it."""
    shutil.copytree(original.home, library.home)
    (library.folder / "evil.py").write_text(EVIL)
    Path(library.environment()["GATE"]).touch()
    return library


def made_by_a_program(folder: Path, function: str) -> Library:
    """A batch of six items that is paused when the first has run."""
    library = Library(folder)
    done = library.program(PAUSING_PROGRAM.replace("FUNCTION", function))
    assert done.returncode == 0, done.stderr
    assert library.handle().status().tally.done == 1
    return library


def change(library: Library, how: Callable[[dict[str, Any]], None]) -> None:
    """Change what the file says of the batch, as somebody with an editor for SQLite would."""
    with closing(sqlite3.connect(library.database)) as connection, connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT spec, handler, seal FROM batch").fetchone())
        how(row)
        connection.execute("UPDATE batch SET spec = :spec, handler = :handler, seal = :seal", row)


def change_spec(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """A change of the specification."""

    def how(row: dict[str, Any]) -> None:
        row["spec"] = json.dumps({**json.loads(row["spec"]), **changes})

    return how


class Evil:
    """A pickle that does something when it is read."""

    def __reduce__(self) -> Any:
        return open, ("evil", "w")


def change_pickle(row: dict[str, Any]) -> None:
    """Another function by value."""
    row["handler"] = pickle.dumps(Evil())
    change_spec(pickled_by=f"{sys.version_info.major}.{sys.version_info.minor}", target="by_value")(row)


def remove_seal(row: dict[str, Any]) -> None:
    """As of a batch that was made before there were seals."""
    row["seal"] = None


CHANGES = [
    change_spec(target="evil:handler"),
    change_spec(target="evil:handler", pickled_by=None),
    change_spec(setup="evil:handler"),
    change_spec(folder="/tmp"),
    change_spec(cwd="/tmp"),
    change_pickle,
    remove_seal,
]


def check_refused(library: Library, **environment: str) -> None:
    """The command line, or the library without an environment, refuses it, names the way out, and touches nothing."""
    before = library.content()
    starts = library.starts()
    if environment:
        refused = library.run("resume", "b1", **environment)
        assert refused.returncode == 2
        assert "was not stored by you on this machine" in refused.stderr and "--func" in refused.stderr
    else:
        for call in (library.handle().resume, library.handle().retry):
            with pytest.raises(SealBroken) as caught:
                call()
            assert "--func" in caught.value.hint
    assert library.content() == before
    assert library.starts() == starts
    assert list(library.folder.rglob("evil")) == []


def test_batch_whose_code_was_changed_in_its_file_is_refused(paused: Library) -> None:
    before: dict[str, Any] = {}
    change(paused, before.update)
    for how in CHANGES:
        change(paused, how)
        check_refused(paused)
        change(paused, lambda row: row.update(before))
    assert paused.run("resume", "b1", "-q").returncode == 0
    assert len(paused.outcomes()) == COUNT


def test_failed_items_of_a_batch_from_elsewhere_are_not_put_back_to_run_again(library: Library) -> None:
    library.process(ideas(COUNT), troubles.fails, retry_attempts=1)
    change(library, remove_seal)
    before = library.content()
    with pytest.raises(SealBroken, match="not stored by you"):
        library.handle().retry()
    assert library.content() == before
    assert library.handle().status().state == "completed"


def test_batch_of_another_user_is_refused_until_the_function_is_named(paused: Library, tmp_path: Path) -> None:
    """The folder was copied into the home of somebody whose key is another."""
    stranger = Library(tmp_path / "stranger")
    stranger.folder.mkdir()
    shutil.copytree(paused.home / "b1", stranger.home / "b1")
    shutil.copy(Path(__file__).parent.parent / "support" / "ledger.py", stranger.folder / "mine.py")
    theirs = {"XDG_CONFIG_HOME": str(tmp_path / "stranger" / "config")}
    check_refused(stranger, **theirs)
    named = stranger.run("resume", "b1", "-q", "--func", "mine:waits", **theirs)
    assert (named.returncode, named.stderr) == (0, "")
    assert len(stranger.outcomes()) == COUNT
    assert set(stranger.starts()) == set(range(2, COUNT + 1))


def test_named_function_is_sealed_and_needs_no_name_again(paused: Library) -> None:
    change(paused, remove_seal)
    check_refused(paused, LANG="C")
    refused = paused.run("resume", "b1", "--func", "ledger:nothing_like_it")
    assert refused.returncode == 2 and "no 'nothing_like_it'" in refused.stderr
    first = paused.begin("resume", "b1", "-q", "--func", "ledger:held", GATE=str(paused.folder / "closed"))
    wait_until(lambda: paused.starts()[2])
    paused.handle().pause()
    paused.wait_until_told()
    (paused.folder / "closed").touch()
    assert ended(first) == 3
    assert paused.run("resume", "b1", "-q").returncode == 0
    assert len(paused.outcomes()) == COUNT


def test_caller_who_passes_the_function_himself_needs_no_seal(paused: Library) -> None:
    change(paused, remove_seal)
    report = paused.process(ideas(COUNT), troubles.square)
    assert (report.state, report.success_count) == ("completed", COUNT)
    assert paused.run("resume", "b1", "-q").returncode == 0


def test_batch_with_a_setup_needs_both_names(library: Library) -> None:
    (library.folder / "mine.py").write_text(
        "import ledger\n"
        "async def handler(item, ctx):\n    assert ctx.resource == 'mine'\n    return await ledger.waits(item)\n"
        "def setup():\n    yield 'mine'\n"
    )
    library.write_input(20)
    begun = library.begin("start", "input.jsonl", "--func", "ledger:held", "--setup", "mine:setup", "--id", "b1", "-q")
    wait_until(lambda: bool(library.starts()))
    library.handle().pause()
    library.wait_until_told()
    library.admit(20)
    assert ended(begun) == 3
    change(library, change_spec(setup="evil:handler"))
    for words in (["--func", "mine:handler"], ["--setup", "mine:setup"]):
        refused = library.run("resume", "b1", *words)
        assert refused.returncode == 2 and "--func TARGET --setup TARGET" in refused.stderr
    both = library.run("resume", "b1", "-q", "--func", "mine:handler", "--setup", "mine:setup")
    assert (both.returncode, both.stderr) == (0, "")
    assert len(library.outcomes()) == 20


def test_function_by_value_of_another_python_is_refused_and_both_versions_are_named(library: Library) -> None:
    made_by_a_program(library.folder, "by_value")
    home, folder = Home(library.home), Home(library.home).find("b1")
    with reading(folder.database) as reader:
        spec, (pickled, _) = reader.row().spec, reader.handler()
    respecify_locked(home, folder, replace(spec, pickled_by="3.9"), pickled)
    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    refused = library.run("resume", "b1")
    assert refused.returncode == 2
    assert f"Python 3.9 has stored it, and this is {this}" in refused.stderr and "that Python" in refused.stderr
    with pytest.raises(TargetError, match=r"Python 3\.9"):
        library.handle().resume()
    assert library.handle().status().tally.done == 1
    assert library.process(ideas(COUNT), troubles.square).success_count == COUNT


# The key -----------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a key."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "batchq"


def test_key_is_for_this_user_alone_and_made_once(config: Path, library: Library) -> None:
    before = os.umask(0o000)
    try:
        library.process(ideas(2), troubles.square, "first")
    finally:
        os.umask(before)
    key = config / "seal.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.stat().st_mode) == 0o700
    assert len(key.read_bytes()) == 32
    made = key.read_bytes()
    library.process(ideas(2), troubles.square, "second")
    assert key.read_bytes() == made
    assert os.listdir(config) == ["seal.key"]


def test_processes_that_make_the_key_at_once_agree_on_it(config: Path, library: Library) -> None:
    gate = library.folder / "gate"
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom batchq.store.seal import Seal\n"
        f"while not os.path.exists({str(gate)!r}): pass\n"
        "sys.stdout.write(Seal(Path('/nowhere'))._key().hex())\n"
    )
    makers = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=library.folder)
        for _ in range(6)
    ]
    gate.touch()
    keys = {maker.communicate(timeout=120)[0] for maker in makers}
    assert keys == {(config / "seal.key").read_bytes().hex()}
    assert os.listdir(config) == ["seal.key"]


def test_key_is_kept_in_the_home_where_the_configuration_cannot_be_written(config: Path, library: Library) -> None:
    config.parent.write_text("a file where a folder should be")
    report = library.process(ideas(3), troubles.square)
    assert report.success_count == 3
    key = library.home / ".seal.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert library.run("resume", "b1").returncode == 0


def test_key_that_was_cut_short_is_made_anew(config: Path, library: Library) -> None:
    config.mkdir(parents=True)
    (config / "seal.key").write_bytes(b"short")
    assert Seal(library.home)._key() == (config / "seal.key").read_bytes()
    assert len((config / "seal.key").read_bytes()) == 32
