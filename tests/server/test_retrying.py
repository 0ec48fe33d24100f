"""A retry over HTTP that takes long: what a caller's expression may cost, and what becomes of half of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from answering import answers

from batchq.app.status import status
from batchq.server.api.actions import LITERAL
from batchq.store.home import Home

pytestmark = pytest.mark.slow

FAILS = """
async def f(item):
    raise ValueError("quick" if item != "2001" else "a" * 60 + "!")
"""
ENDLESS = "^ValueError: (quick|(a+)+$)"
"""It finds the first two thousand at once, which are moved in one go, and looks for ever at the one behind them."""


def test_batch_goes_on_with_what_was_moved_before_the_expression_took_too_long(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(FAILS)
    (tmp_path / "in.txt").write_text("".join(f"{number}\n" for number in range(1, 2002)))
    home = Home(tmp_path / "home")
    words = "start in.txt --func m.py:f --id b --concurrency 50 --workers 1 --retry-attempts 1 --no-breaker --home home"
    command = [sys.executable, "-m", "batchq", *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert status(home, "b").tally.failed == 2001, done.stderr
    path = "/api/v1/batches/b/retry"
    (refused,) = answers(tmp_path, ("POST", path, {"json": {"error": ENDLESS}}), retry_seconds=8.0)
    assert refused.status_code == 422 and "2,000 items run again already" in refused.json()["detail"], refused.text
    assert (status(home, "b").tally.failed, status(home, "b").state) == (1, "queued")
    for asked in ({"error": r"ValueError: aaa"}, {"timed_out": True}, {}):
        (answer,) = answers(tmp_path, ("POST", path, {"json": asked}), retry_seconds=0.001)
        assert answer.status_code == 200, "it was no expression, and has all the time that it needs"
    assert status(home, "b").tally.failed == 0


@pytest.mark.parametrize("expression", ["Error: no answer", r"a\.b \(c\) \[\^\]", ""])
def test_text_is_told_from_an_expression(expression: str) -> None:
    assert LITERAL.fullmatch(expression)


@pytest.mark.parametrize("expression", ["(a+)+$", "a*", r"\d", r"a\\+", "a{3}", "[ab]", "a|b", r"(a)\1", "\\"])
def test_expression_is_told_from_a_text(expression: str) -> None:
    assert not LITERAL.fullmatch(expression)
