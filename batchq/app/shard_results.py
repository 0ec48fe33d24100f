"""The results of the shards of one input, in the order of that input, as if one batch had run all of it.

b1 (1/3)  1 4 7 ─┐
b2 (2/3)  2 5 8 ─┼─▶ 1 2 3 4 5 6 7 8: `seq` is the place in the whole input
b3 (3/3)  3 6   ─┘
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from heapq import merge
from operator import attrgetter
from typing import BinaryIO, Final

from batchq.app.parts import Part, together
from batchq.app.render import results_jsonl
from batchq.app.results import Wanted, items_of, text_of, write_table
from batchq.errors import UsageError
from batchq.model import BatchRow
from batchq.shards import Shard
from batchq.store.home import Home
from batchq.store.named import named_folder
from batchq.store.reading import LAST, ReportReader, reading
from batchq.store.rows import ResultRow

_SEQ: Final = attrgetter("seq")


class ShardResults:
    """What came of the items of several batches that are shards of one input.

    Args:
        home: where those are that are named by their ids.
        named: the batches.
        note: told in words what is missing.
        mixed: also where they have run different things.

    Raises:
        UsageError: one of them is not there, they are no shards of one input, have items in common, or see `mixed`.
    """

    def __init__(self, home: Home, named: Sequence[str], note: Callable[[str], None], mixed: bool = False) -> None:
        self._folders = [named_folder(home, name) for name in named]
        parts = []
        for name, folder in zip(named, self._folders, strict=True):
            with reading(folder.database) as reader:
                row = reader.row()
                parts.append(Part.of(name, row.batch_id, row.created_at, row.spec))
        belong = together(parts)
        if not belong.are_shards:
            whole = [f"{part.named} is no shard" for part in parts if part.shard.is_whole]
            raise UsageError(
                f"these batches are not the shards of one input: {(belong.troubles or whole)[0]}",
                "Ask for the results of one at a time.",
            )
        if belong.mixed and not mixed:
            raise UsageError(
                f"these results do not go together: {belong.mixed}",
                "Say --mixed to have them together all the same.",
            )
        for trouble in belong.troubles:
            note(trouble)
        self._shards = [part.shard for part in parts]

    def results(self, wanted: Wanted) -> Iterator[str]:
        """Outcomes as text; see `results.text_of`."""
        with self._reading() as reader:
            yield from text_of(reader, wanted)

    def write_table(self, sink: BinaryIO, wanted: Wanted) -> None:
        """Outcomes as Parquet."""
        with self._reading() as reader:
            write_table(sink, reader, wanted)

    def as_input(self, only: str | None, note: Callable[[str], None]) -> Iterator[str]:
        """The items themselves; `note` is told what is left out."""
        with self._reading() as reader:
            yield from items_of(reader, only, note)

    @contextmanager
    def _reading(self) -> Iterator[ShardsReader]:
        with ExitStack() as stack:
            readers = [stack.enter_context(reading(folder.database)) for folder in self._folders]
            yield ShardsReader(readers, self._shards)


class ShardsReader:
    """Reads several batches as `ReportReader` reads one; implements `results.Outcomes`.

    Args:
        readers: of each batch's file.
        shards: which part of the input each batch is.
    """

    def __init__(self, readers: Sequence[ReportReader], shards: Sequence[Shard]) -> None:
        self._readers = readers
        self._shards = shards
        self._last = [LAST] * len(readers)

    def row(self) -> BatchRow:
        """The row of the first one; what one of them hides, they all hide."""
        rows = [reader.row() for reader in self._readers]
        redact = dict.fromkeys(field for row in rows for field in row.spec.redact)
        return rows[0]._replace(spec=replace(rows[0].spec, redact=tuple(redact)))

    def last_commit(self) -> int:
        """Note which outcomes there are; a number that stands for them in `results`."""
        self._last = [reader.last_commit() for reader in self._readers]
        return sum(self._last)

    def results(self, only: str | None = None, with_input: bool = False, *, until: int = LAST) -> Iterator[ResultRow]:
        """Items that have an outcome, in the order of the whole input; see `ReportReader.results`.

        Args:
            only: ``success`` or ``failed``; None yields both.
            with_input: read the payloads too.
            until: what `last_commit` has given last, to leave out later outcomes.
        """
        last = [LAST] * len(self._readers) if until == LAST else self._last
        return self._in_order(
            reader.results(only, with_input, until=number) for reader, number in zip(self._readers, last, strict=True)
        )

    def stage_results(self, stage: int, with_input: bool = False) -> Iterator[ResultRow]:
        """What a stage that is not the last has given; see `ReportReader.stage_results`."""
        return self._in_order(reader.stage_results(stage, with_input) for reader in self._readers)

    def lines(self, start: str = "") -> Iterator[str]:
        """All that `results` yields as lines of JSON."""
        for line in results_jsonl(self.results()):
            yield f"{{{start}{line[1:]}"

    def _in_order(self, each: Iterator[Iterator[ResultRow]]) -> Iterator[ResultRow]:
        placed = [_placed(rows, shard) for rows, shard in zip(each, self._shards, strict=True)]
        return merge(*placed, key=_SEQ)


def _placed(rows: Iterator[ResultRow], shard: Shard) -> Iterator[ResultRow]:
    return (row._replace(seq=shard.place(row.seq)) for row in rows)
