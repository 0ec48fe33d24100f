"""Which lane each suspect runs in, after a worker has died with items begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from batchq.engine.failures import describe
from batchq.errors import WorkerCrashed
from batchq.model import Failure
from batchq.store.chunks import LANE_ALL, LANE_ALONE

SINGLY: Final = 16
"""So many suspects run one by one; more of them are narrowed down in groups first."""


@dataclass(frozen=True)
class Verdict:
    """What follows for the items that a dead worker had begun.

    Attributes:
        lanes: the lane in which each suspect runs next.
        killers: those whose worker died while it ran them alone; each counts one more death.
        failed: the failure of those that did so often enough.
    """

    lanes: Mapping[int, int] = field(default_factory=dict)
    killers: Sequence[int] = ()
    failed: Mapping[int, Failure] = field(default_factory=dict)


def judge_alone(begun: Sequence[int], deaths: Mapping[int, int], how: str, most: int) -> Verdict:
    """The verdict on what ran alone in a worker that died.

    Args:
        begun: the items that it had begun.
        deaths: how often each has killed a worker before.
        how: how the worker died.
        most: deaths after which an item is failed.
    """
    failed = {seq: describe(WorkerCrashed(how, deaths[seq] + 1)) for seq in begun if deaths[seq] + 1 >= most}
    return Verdict({seq: LANE_ALONE for seq in begun if seq not in failed}, begun, failed)


def quarantine_lanes(suspects: Sequence[int], lane: int, next_lane: int) -> tuple[dict[int, int], int]:
    """The lane of each suspect, and the next lane that is free.

    Args:
        suspects: the items that the dead worker had begun.
        lane: the lane that it worked in: a group that has killed a worker again is halved.
        next_lane: the first free lane.

    Example:
        >>> quarantine_lanes([4, 9], 0, 2)
        ({4: 1, 9: 1}, 2)
        >>> lanes, free = quarantine_lanes(range(40), 3, 4)
        >>> lanes[19], lanes[20], free
        (4, 5, 6)
    """
    if len(suspects) <= SINGLY:
        return dict.fromkeys(suspects, LANE_ALONE), next_lane
    if lane == LANE_ALL:
        return dict.fromkeys(suspects, next_lane), next_lane + 1
    half = len(suspects) // 2
    lanes = dict.fromkeys(suspects[:half], next_lane) | dict.fromkeys(suspects[half:], next_lane + 1)
    return lanes, next_lane + 2


def lane_to_run(ready: Mapping[int, int], running: Sequence[int]) -> int | None:
    """A quarantine lane with something ready that no process runs yet; singles have one process each.

    Args:
        ready: messages in each lane.
        running: lanes of the processes that run.

    Example:
        >>> lane_to_run({1: 2, 2: 5}, [1]), lane_to_run({2: 5}, [2])
        (1, None)
    """
    for lane, messages in sorted(ready.items()):
        if running.count(lane) < (messages if lane == LANE_ALONE else 1):
            return lane
    return None
