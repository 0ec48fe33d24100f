"""Some chaos schedules of the thousands that `scripts/chaos` runs; `chaos.py` tells what they do."""

from __future__ import annotations

import pytest
from chaos import schedule

pytestmark = pytest.mark.slow

SCHEDULES = 12
FAULTS = 2
"""Of each schedule at most: `scripts/chaos` does up to three."""


@pytest.mark.parametrize("seed", range(1, SCHEDULES + 1))
def test_promise_holds_under_the_faults_of_schedule(seed: int) -> None:
    result = schedule(seed, faults=FAULTS)
    assert not result.verdict.broken, result.failure()
