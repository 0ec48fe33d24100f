"""What is simulated, and what came of it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from batchq.engine.limits import share_of
from batchq.spec import BatchSpec
from batchq.store.recorder import BUFFER_BYTES

GAP_SECONDS: Final = 0.02
"""Between two parcels of a busy worker."""


class Crowd(NamedTuple):
    """Workers that do nothing but wait, and report.

    Attributes:
        workers: how many.
        slots: items that each has in flight.
        result_bytes: of each outcome.
        max_uncommitted: outcomes that are not in the file yet, over all workers; `--max-uncommitted` of a batch.
    """

    workers: int
    slots: int
    result_bytes: int
    max_uncommitted: int

    @property
    def in_flight(self) -> int:
        """Items at a time."""
        return self.workers * self.slots

    @property
    def most(self) -> int:
        """Outcomes that one worker may have uncommitted."""
        return share_of(self.max_uncommitted, self.workers)

    @property
    def most_bytes(self) -> int:
        """Bytes of results likewise."""
        return BUFFER_BYTES // self.workers

    def wait(self, offered: float) -> float:
        """Seconds that each item takes where so many a second come of all."""
        return self.in_flight / offered

    @property
    def name(self) -> str:
        """For a chart."""
        size = f"{self.result_bytes // 1000} kB" if self.result_bytes >= 1000 else f"{self.result_bytes} B"
        name = f"{self.workers:,} x {self.slots:,}, {size}"
        is_default = self.max_uncommitted == BatchSpec.max_uncommitted
        return name if is_default else f"{name}; {self.max_uncommitted:,} uncommitted"


class Step(NamedTuple):
    """What was measured at one load.

    Attributes:
        offered: outcomes a second that the items would give, were nothing ever waited for.
        recorded: outcomes a second that came into the file.
        commits: transactions a second with outcomes.
        p50: seconds from the end of an item to its commit.
        p99: likewise.
        cpu: seconds of CPU a second of the process that writes.
        wal: bytes of the write-ahead log at most.
    """

    offered: float
    recorded: float
    commits: float
    p50: float | None
    p99: float | None
    cpu: float
    wal: int


class Curve(NamedTuple):
    """A crowd under growing load."""

    crowd: Crowd
    steps: list[Step]

    @property
    def limit(self) -> float:
        """Outcomes a second at which it saturates."""
        return max(step.recorded for step in self.steps)

    @classmethod
    def of(cls, told: dict[str, Any]) -> Curve:
        """The curve of which `to_dict` has made `told`."""
        return cls(Crowd(**{name: told[name] for name in Crowd._fields}), [Step(**step) for step in told["steps"]])

    def to_dict(self) -> dict[str, Any]:
        """For a file."""
        told = {**self.crowd._asdict(), "name": self.crowd.name, "limit": round(self.limit)}
        return {**told, "steps": [step._asdict() for step in self.steps]}
