"""What goes to and fro between a guest, which runs items elsewhere, and its agent, who keeps the books here.

    agent ── Orders 1, 2, 3 … ──▶ guest      claims, answers, what the board tells
          ◀── News 1, 2, 3 … ────            outcomes, attempts, acks, what goes back, charges, log lines

Each parcel has a number.  One that may have got lost is sent again, and whoever has got it already drops it: so nothing
is lost on the way and nothing counts twice.  Tuples rather than named ones inside: they are packed in half the time.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from batchq.engine.orders import WorkerReport
from batchq.engine.signs import Told
from batchq.model import Chunk, Item
from batchq.pace import Charge, Grant
from batchq.store.chunks import Claim

PATIENCE_SECONDS: Final = 15.0
"""Whoever has heard nothing of the other for so long takes it for lost."""
POLL_SECONDS: Final = 0.25
"""A guest with nothing to tell answers after so long, so that both know that the other lives."""
GAP_SECONDS: Final = 0.02
"""Between two parcels of a guest, each of which costs as much as dozens of items …"""
FED_GAP_SECONDS: Final = 0.1
"""… and between two of one that has enough to begin meanwhile."""


class Orders(NamedTuple):
    """What a guest is told.

    Attributes:
        number: of this parcel, from 1.
        told: by the board.
        holds: for so many seconds nothing may begin, see `Place.hold_on`.
        claims: chunks with their items, see `pack_claim`.
        answers: by the number of a charge, what came of it, or why nothing did.
        committed: outcomes that were committed so far.
        failed: why nothing can be recorded any more.
        closed: all is committed; the guest may end.
    """

    number: int
    told: Told
    holds: tuple[float, float] = (0.0, 0.0)
    claims: Sequence[tuple[Any, ...]] = ()
    answers: Sequence[tuple[int, Any, str | None]] = ()
    committed: int = 0
    failed: str | None = None
    closed: bool = False


class News(NamedTuple):
    """What a guest has to say.

    Attributes:
        number: of this parcel, from 1.
        outcomes: see `model.Outcome`.
        attempts: see `model.FailedAttempt`.
        stages: see `model.StageResult`.
        finished: chunks that are done.
        given_back: chunks with the seq from which on they go to others.
        put_back: chunks with items of which no outcome will come from here.
        entries: charges: number, name and what, see `pace.Booking`.
        want: so many items more; None for no change.
        hurry: it is about to be idle.
        holds: nobody should begin anything for so many seconds, see `Place.hold_on`.
        lines: for the log.
        closing: nothing more will come.
        report: how it left.
        differs: it has loaded another function than the batch began with, whose results are none of others.
    """

    number: int
    outcomes: Sequence[tuple[Any, ...]] = ()
    attempts: Sequence[tuple[Any, ...]] = ()
    stages: Sequence[tuple[Any, ...]] = ()
    finished: Sequence[int] = ()
    given_back: Sequence[tuple[int, int]] = ()
    put_back: Sequence[tuple[int, Sequence[int]]] = ()
    entries: Sequence[tuple[int, str, Any]] = ()
    want: int | None = None
    hurry: bool = False
    holds: tuple[float, float] = (0.0, 0.0)
    lines: Sequence[str] = ()
    closing: bool = False
    report: WorkerReport | None = None
    differs: bool = False


def pack(parcel: tuple[Any, ...]) -> bytes:
    """A parcel as bytes."""
    return pickle.dumps(parcel, protocol=5)


def unpack(data: bytes) -> Any:
    """The parcel of which `pack` made bytes; whoever sends them may run code here, as everybody in a cluster may."""
    return pickle.loads(data)


def pack_claim(claim: Claim, known: Mapping[int, str]) -> tuple[Any, ...]:
    """A claim, and the results of its items that were done before, as plain tuples."""
    return claim.open, [(tuple(chunk), [tuple(item) for item in items]) for chunk, items in claim.chunks], known


def unpack_claim(packed: tuple[Any, ...]) -> tuple[Claim, Mapping[int, str]]:
    """The claim of which `pack_claim` made tuples, and those results."""
    is_open, chunks, known = packed
    return Claim(is_open, [(Chunk._make(chunk), list(map(Item._make, items))) for chunk, items in chunks]), known


def relative(answer: Any) -> Any:
    """An answer of a book with its times from now on: the clock of another machine began elsewhere.

    Example:
        >>> grant = Grant(time.monotonic_ns() + 10**9, 0.0, 1)
        >>> abs(absolute(relative(grant)).first_ns - grant.first_ns) < 10**8
        True
    """
    now = time.monotonic_ns()
    if isinstance(answer, Grant):
        return answer._replace(first_ns=answer.first_ns - now)
    if isinstance(answer, Charge):
        return replace(answer, start_ns=answer.start_ns - now)
    return answer


def absolute(answer: Any) -> Any:
    """The answer of which `relative` made one, by the clock of this machine; later by what the way took."""
    now = time.monotonic_ns()
    if isinstance(answer, Grant):
        return answer._replace(first_ns=answer.first_ns + now)
    if isinstance(answer, Charge):
        return replace(answer, start_ns=answer.start_ns + now)
    return answer
