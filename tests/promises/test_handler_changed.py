"""A function that has changed since the batch began is run as it is now, and that is noted and never silent."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Bench
from durable import ideas, run

import batchq
from batchq import BatchConfig, BatchProcessor, BatchReport
from batchq.fingerprint import fingerprint
from batchq.handlers import load_handler

FAILS = "def run(item):\n    if item['n'] > 2:\n        raise ValueError('v1')\n    return 'v1'\n"
HALTS = "import time, batchq\ndef run(item):\n    time.sleep(0.3)\n    raise batchq.Halt('a bug')\n"
MENDED = "def run(item):\n    return 'v2'\n"


def test_mended_function_runs_what_has_failed_and_the_change_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write_input(4)
    (tmp_path / "handler.py").write_text(FAILS)
    target = ("--func", "handler.py:run")
    begun = bench.run("start", "input.jsonl", *target, "--id", "b1", "--retry-attempts", "1", "-q", "--json")
    assert json.loads(begun.stdout)["handler_changed"] == []

    (tmp_path / "handler.py").write_text(MENDED)
    mended = bench.run("retry", "b1")
    assert mended.returncode == 0
    assert "handler.py:run has changed since the batch began" in mended.stderr
    assert "function  changed" in mended.stdout
    assert "handler.py:run has changed since the batch began" in (bench.home / "b1" / "batch.log").read_text()
    assert [result for _, (_, result) in sorted(bench.outcomes().items())] == ["v1", "v1", "v2", "v2"]


def test_library_tells_it_when_the_batch_goes_on_with_another_function(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def process(function: Callable[[Any], Any]) -> BatchReport:
        config = BatchConfig(mode="queue", home=tmp_path, workers=1, max_concurrent=1)
        return run(BatchProcessor(config).process_batch(ideas(60), function, "b1"))

    (tmp_path / "mending.py").write_text(HALTS)
    sys.path.insert(0, str(tmp_path))
    try:
        import mending  # type: ignore[import-not-found]

        for _ in range(2):
            with pytest.raises(batchq.BatchHalted) as halted:
                process(mending.run)
            assert halted.value.report.handler_changed == []  # type: ignore[attr-defined]
        (tmp_path / "mending.py").write_text(MENDED)
        report = process(mending.run)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("mending", None)
    assert len(report.handler_changed) == 1
    assert "changed" in (tmp_path / "b1" / "batch.log").read_text()


def test_fingerprint_is_that_of_the_files_in_which_a_function_is_written(tmp_path: Path) -> None:
    (tmp_path / "inner.py").write_text("import functools\ndef work(item, n=0):\n    return 1\n")
    path = tmp_path / "outer.py"
    path.write_text("import functools\nfrom inner import work\nbound = functools.partial(work, n=1)\n")
    try:
        function = load_handler(f"{path}:bound", tmp_path).function
        first = fingerprint(function, f"{path}:bound")
        assert isinstance(function, functools.partial)
        assert first == fingerprint(function, f"{path}:bound") != fingerprint(function, f"{path}:work")
        path.write_text(path.read_text() + "# another\n")
        second = fingerprint(function, f"{path}:bound")
        (tmp_path / "inner.py").write_text("def work(item, n=0):\n    return 2\n")
        assert len({first, second, fingerprint(function, f"{path}:bound")}) == 3
    finally:
        sys.path.remove(str(tmp_path))
        for name in ("inner", "outer"):
            sys.modules.pop(name, None)


def test_function_that_is_written_in_no_file_is_known_by_its_value() -> None:
    namespace: dict[str, Any] = {}
    exec("def made(item):\n    return 1\n", namespace)
    made = namespace["made"]
    assert fingerprint(made, "made") is None
    assert fingerprint(made, "made", b"1") == fingerprint(made, "made", b"1") != fingerprint(made, "made", b"2")
