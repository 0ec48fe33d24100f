"""Which engine runs the workers of a batch."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from batchq.engine.dask.parcels import PATIENCE_SECONDS
from batchq.errors import ConfigError
from batchq.spec import DASK, BatchSpec

if TYPE_CHECKING:
    from batchq.engine.local import Engine

PATIENCE: Final = "BATCHQ_PATIENCE"
LEAST_PATIENCE: Final = 2.0
"""Seconds; a machine that is only busy may not answer for one."""


def engine_of(spec: BatchSpec, note: Callable[[str], None]) -> Engine | None:
    """The engine of a batch, ready to start workers; None for that of this machine.

    Args:
        spec: what the batch is.
        note: told what the user should know.

    Raises:
        UsageError: Dask is not installed, no worker of the cluster can run the batch, or `PATIENCE` is no number.
        ClusterUnreachable: the scheduler does not answer.
    """
    if spec.engine != DASK:
        return None
    from batchq.engine.dask.engine import DaskEngine

    patience = seconds_of(PATIENCE, os.environ.get(PATIENCE))
    return DaskEngine(spec.scheduler, min(spec.workers, spec.concurrency), note, patience)


def seconds_of(name: str, text: str | None) -> float:
    """What the variable `name` says: the seconds after which a worker that does not answer is lost; raises ConfigError.

    Example:
        >>> seconds_of("BATCHQ_PATIENCE", "30"), seconds_of("BATCHQ_PATIENCE", None)
        (30.0, 15.0)
    """
    try:
        seconds = float(text or PATIENCE_SECONDS)
    except ValueError:
        seconds = 0.0
    if not LEAST_PATIENCE <= seconds < math.inf:
        raise ConfigError(name, text, f"a number of seconds from {LEAST_PATIENCE:g}")
    return seconds


def fitted(spec: BatchSpec, engine: Engine | None) -> BatchSpec:
    """`spec` with as many workers as there are places for them just now."""
    capacity = engine.capacity if engine is not None else None
    return replace(spec, workers=min(capacity, spec.concurrency), all_workers=False) if capacity else spec
