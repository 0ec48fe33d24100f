"""The examples run as a newcomer runs them, and say what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

EXAMPLES: Final = Path(__file__).parent.parent.parent / "scripts" / "examples"
SAY: Final = {
    "small_batch": ["10: 10 succeeded, 0 failed", "idea-10   A Story About Rain, Part 10"],
    "medium_batch": ["50 of 50", "idea-50 is there after", "medium,50,50,0,"],
    "one_by_one": ["at idea-1\nat idea-2\nat idea-3\nat idea-4\nat idea-5\n5 of 5 in"],
    "failures": [
        "8 succeeded, 1 of them only when tried again",
        "idea-7: Timeout after 0.2s (attempts: 3)",
        "idea-without-text: an idea without a text has no title (attempts: 1)",
    ],
    "queue_mode": ["100 of 100; the last is 'A Market At Dawn, Part 100'", "batchq report batch-"],
    "idea_creator": ["lighthouses-12  success  Lighthouses, told by night, no. 12"],
}


def run(example: str, home: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{example}.py")],
        env={**os.environ, "BATCHQ_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_example_runs_and_says_what_it_promises(example: str, tmp_path: Path) -> None:
    said = run(example, tmp_path)
    assert [text for text in SAY[example] if text not in said] == []


def test_queue_example_that_has_run_is_not_run_again(tmp_path: Path) -> None:
    first = run("queue_mode", tmp_path, BATCH="mine")
    assert run("queue_mode", tmp_path, BATCH="mine") == first
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
