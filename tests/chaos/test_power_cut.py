"""A power cut takes the end of the log with it: the rest is whole, and the batch goes on from there."""

from __future__ import annotations

import power_cut
import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(1, 3))
def test_file_opens_after_a_power_cut_and_resume_gives_every_item_one_outcome(seed: int) -> None:
    cut = power_cut.run(seed)
    assert not cut.wrong, power_cut.failure(cut)
    assert cut.cuts >= power_cut.CUTS, "the batch was never caught running"
    if seed % 2:
        assert cut.bytes > 0, "nothing was cut"
