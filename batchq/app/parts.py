"""Several batches that are told of as one: whether they are the shards of one input, all of them, and each once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from math import gcd
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from batchq.errors import UsageError
from batchq.fingerprint import OF_THE_BILL
from batchq.shards import Shard
from batchq.spec import BatchSpec, SourceSpec

CHOICE: Final = (
    *("encoding", "csv_types", "max_item_size", "where", "unique", "skip", "sample", "shuffle", "seed", "limit"),
)
"""What says beside the input itself which records become items."""
OF_THE_PLACE: Final = OF_THE_BILL | {"title", "base_url"}
"""Of ready-made work what may be another on each machine: each has a server of its own for the same model."""
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
LISTED: Final = 10
"""Shards that are missing are told one by one up to so many."""


class Part(NamedTuple):
    """One of several batches.

    Attributes:
        named: how the user has named it: by its id, or by the path of its folder.
        source: its input.
        made: its id and when it was made, which a copy of it shares; None where nobody knows.
        runs: what it runs, see `runs_of`.
    """

    named: str
    source: SourceSpec
    made: tuple[str, float] | None = None
    runs: Mapping[str, Any] = NOTHING

    @classmethod
    def of(cls, named: str, batch_id: str, created_at: float, spec: BatchSpec) -> Part:
        """The part that a batch is.

        Args:
            named: as the user has named it.
            batch_id: its id.
            created_at: seconds since 1970.
            spec: what it is.
        """
        return cls(named, spec.source, (batch_id, created_at), runs_of(spec))

    def is_same(self, other: Part) -> bool:
        """Whether both are the same batch, perhaps one by its id and the other by its path, or as a copy."""
        return self.made == other.made if self.made is not None else self.named == other.named

    @property
    def shard(self) -> Shard:
        """Which part of its input it is."""
        return Shard.of(self.source.shard)

    @property
    def input(self) -> tuple[Any, ...]:
        """What two batches have in common that read the same, wherever it lies on their machines."""
        return tuple((part.format, part.size) for part in self.source.parts)

    @property
    def choice(self) -> dict[str, Any]:
        """What it takes of that."""
        return {name: getattr(self.source, name) for name in CHOICE}

    def reads_as(self, other: Part) -> bool:
        """Whether it chooses among the same records as another one, as far as they have read them."""
        return self.input == other.input and self.choice == other.choice and not self.holds_other(other)

    def holds_other(self, other: Part) -> bool:
        """Whether the input of another one is known to hold other records, or in another order."""
        return None not in (self.source.digest, other.source.digest) and self.source.digest != other.source.digest

    def overlaps(self, other: Part) -> bool:
        """Whether the two have items in common, where they choose among the same."""
        mine, its = self.shard, other.shard
        return (mine.number - its.number) % gcd(mine.parts, its.parts) == 0


class Together(NamedTuple):
    """How several batches belong together.

    Attributes:
        are_shards: they are shards of one input, and no two have an item in common.
        are_all: these shards are all of it.
        troubles: what is not as it should be with shards, in words; empty also where there are none.
        mixed: which two of these shards have run something else, in words; None where they have run the same.
    """

    are_shards: bool
    are_all: bool
    troubles: list[str]
    mixed: str | None = None


def together(parts: Sequence[Part]) -> Together:
    """How `parts` belong together.

    Raises:
        UsageError: one of them is named twice.

    Example:
        >>> from dataclasses import replace
        >>> source = SourceSpec("/a.jsonl", "a.jsonl", "jsonl", size=10, shard="1/2")
        >>> together([Part("b1", source), Part("b2", replace(source, shard="2/2"))]).are_all
        True
    """
    for one, other in combinations(parts, 2):
        if one.is_same(other):
            also = "" if one.named == other.named else f", also as {other.named}"
            raise UsageError(f"{one.named} is named twice{also}")
    shards = [part for part in parts if not part.shard.is_whole]
    if not shards:
        return Together(False, False, [])
    first = next((part for part in shards if part.source.digest is not None), shards[0])
    others = [part for part in parts if not part.reads_as(first)]
    same = [part for part in parts if part.reads_as(first)]
    troubles = [_difference(first, part) for part in others]
    common = [f"{_with_shard(a)} and {_with_shard(b)}" for a, b in combinations(same, 2) if a.overlaps(b)]
    troubles += [f"{pair} have items in common, which count twice" for pair in common]
    covered = sum((Fraction(1, part.shard.parts) for part in same), Fraction())
    if not common and covered < 1:
        troubles.append(_missing(same, covered))
    mixed = next(filter(None, (_mix(first, part) for part in same)), None)
    troubles += [mixed] if mixed else []
    are_shards = not common and len(same) == len(parts)
    return Together(are_shards, are_shards and covered == 1, troubles, mixed)


def runs_of(spec: BatchSpec) -> dict[str, Any]:
    """What a batch does with its items, by what a user calls it; the same for the same on another machine.

    Args:
        spec: what the batch is.

    Example:
        >>> source = SourceSpec("/a.jsonl", "a.jsonl", "jsonl")
        >>> runs_of(BatchSpec("/home/ada/pipeline.py:title", "/home/ada", "/home/ada", "python", source))["function"]
        'title'
    """
    work: Mapping[str, Any] = {"function": spec.fingerprint or _own_name(spec.target)}
    if spec.work is not None:
        work = {name: value for name, value in spec.work.items() if name not in OF_THE_PLACE}
    return {
        **work,
        "--then": [_own_name(each) for each in spec.stages],
        "--setup": spec.setup and _own_name(spec.setup),
        "--select": spec.source.select,
        "--id-field": spec.source.id_field,
    }


def _own_name(target: str) -> str:
    """The function's, without where it lies."""
    return target.rpartition(":")[2]


def _mix(first: Part, other: Part) -> str | None:
    """How what a batch has run differs from that of another one, in words."""
    names = dict.fromkeys((*first.runs, *other.runs))
    differing = [f"another {name}" for name in names if first.runs.get(name) != other.runs.get(name)]
    return f"{other.named} does something else than {first.named}: {', '.join(differing)}" if differing else None


def _with_shard(part: Part) -> str:
    return f"{part.named} ({'the whole input' if part.shard.is_whole else f'shard {part.shard}'})"


def _difference(first: Part, other: Part) -> str:
    what = "the whole" if other.shard.is_whole else "a shard"
    if first.input != other.input:
        return f"{other.named} is {what} of another input ({_input(other)}) than {first.named} ({_input(first)})"
    if other.holds_other(first) and other.choice == first.choice:
        same = f"{_input(other)} holds other records than {_input(first)}, or in another order"
        return f"{other.named} is {what} of another input than {first.named}: {same}"
    options = [f"--{name.replace('_', '-')}" for name, value in other.choice.items() if value != first.choice[name]]
    return f"{other.named} is {what} of another choice of records than {first.named}: {', '.join(options)} differs"


def _input(part: Part) -> str:
    sizes = [size for _, size in part.input]
    known = [size for size in sizes if size is not None]
    return part.source.name + (f", {sum(known):,} bytes" if len(known) == len(sizes) else "")


def _missing(parts: Sequence[Part], covered: Fraction) -> str:
    if len({part.shard.parts for part in parts}) > 1:
        return f"these shards are {covered} of the input; the rest is missing"
    missing = list(_others([part.shard for part in parts]))
    more = f" and {len(missing) - LISTED:,} more" if len(missing) > LISTED else ""
    verb = "is" if len(missing) == 1 else "are"
    return f"shard{'s' * (len(missing) > 1)} {', '.join(map(str, missing[:LISTED]))}{more} {verb} missing"


def _others(shards: Sequence[Shard]) -> Iterator[Shard]:
    """The parts of the same number that are not among them."""
    there = {shard.number for shard in shards}
    parts = shards[0].parts
    return (Shard(number, parts) for number in range(1, parts + 1) if number not in there)
