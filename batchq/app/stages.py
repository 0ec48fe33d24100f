"""Stages of a batch by their numbers, as users name them."""

from __future__ import annotations

from batchq.errors import UsageError
from batchq.spec import BatchSpec


def check_stage(spec: BatchSpec, stage: int) -> None:
    """Raise `UsageError` where a batch has no stage of that number, from 1.

    Example:
        check_stage(spec, 2)  # of `start --func a:titles --then b:scripts` the scripts
    """
    stages = len(spec.stages) + 1
    if not 1 <= stage <= stages:
        has = f"stages 1 to {stages}" if stages > 1 else "one stage"
        raise UsageError(f"there is no stage {stage}: the batch has {has}")
