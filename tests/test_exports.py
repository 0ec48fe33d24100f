"""What `import batchq` offers, and what a quick command does not load."""

from __future__ import annotations

import subprocess
import sys

import batchq

HEAVY = {"sqlite3", "persistqueue", "tenacity", "tqdm", "multiprocessing", "asyncio", "psutil", "batchq.engine"}


def test_every_public_name_is_there_and_nothing_else_is() -> None:
    assert sorted([*batchq.__all__, "map", "open"]) == sorted(dir(batchq))
    assert all(getattr(batchq, name) is not None for name in dir(batchq))
    assert not hasattr(batchq, "nosuch")


def _loaded_by(program: str) -> set[str]:
    said = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(said.stdout.split())


def test_the_command_line_loads_nothing_heavy_before_it_knows_what_to_do() -> None:
    assert _loaded_by("import batchq.cli.run") & HEAVY == set()


def test_importing_the_package_loads_nothing_of_it() -> None:
    assert {name for name in _loaded_by("import batchq") if name.startswith("batchq.")} == set()


def test_a_worker_loads_neither_the_command_line_nor_the_app() -> None:
    loaded = _loaded_by("import batchq.engine.process")
    assert [
        n for n in loaded if n.startswith(("batchq.app", "batchq.cli", "click", "tqdm", "concurrent.futures.process"))
    ] == []
