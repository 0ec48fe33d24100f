"""What a worker is told when it starts, and what it says when it leaves; both cross a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchq.spec import BatchSpec
from batchq.store.chunks import LANE_ALL

LEFT_DRAINED: Final = "drained"
LEFT_STUCK: Final = "stuck"
LEFT_FAILED: Final = "failed"
LEFT_RETIRED: Final = "retired"
"""Whoever runs the cluster ends its process: what was in flight was given back."""


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker is told.

    Attributes:
        folder: the batch's folder.
        batch_id: the batch.
        key_prefix: of which idempotency keys are made.
        spec: the batch's specification.
        epoch: the supervisor's epoch.
        worker: its number, unique in the batch.
        place: its place on the board.
        slots: items in flight here.
        claimants: workers that share what is ready.
        lane: which chunks it claims; above 0 it is a quarantine process.
    """

    folder: Path
    batch_id: str
    key_prefix: str
    spec: BatchSpec
    epoch: int
    worker: int
    place: int
    slots: int
    claimants: int
    lane: int = LANE_ALL

    @property
    def claimant(self) -> str:
        """The worker's name in the chunk queue."""
        return str(self.worker)


@dataclass(frozen=True)
class WorkerReport:
    """How a worker left; it crosses the pipe back to the supervisor."""

    left: str
    reason: str = ""
    exit_code: int = 0

    @classmethod
    def of_fault(cls, error: BaseException) -> WorkerReport:
        """A worker that failed by no item and no mistake of the user; told as text, since it crosses a pipe."""
        return cls(LEFT_FAILED, f"a worker failed: {type(error).__name__}: {error}", 70)
