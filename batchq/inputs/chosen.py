"""Several files as one input, and the choice among their records.

    files ─▶ records ─▶ --where ─▶ --unique ─▶ --skip ─▶ --sample, --shuffle ─▶ --limit ─▶ --shard
                                                                        items ◀─ --id-field, --select ◀─┘

Reading on means to read again from the beginning: what was left out, and what was seen, follows from the records.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final

from batchq.errors import ConfigError, InputError
from batchq.inputs.fields import ABSENT, choose, look_up, top
from batchq.inputs.reader import Reader, changed
from batchq.inputs.values import item_id_in, json_text, told
from batchq.inputs.where import Where
from batchq.model import Position, Record
from batchq.shards import Shard
from batchq.spec import SourceSpec

REST: Final = 1000
"""After so many records without one that becomes an item, whoever stores them may look up."""


class Chosen:
    """The records of one or several files, without those that the user leaves out.

    `--unique` keeps 16 bytes of each different value (about 100 MB of memory a million); `--sample` keeps the sample,
    and `--shuffle` all records.

    Args:
        source: the input.
        position: so many records are passed over.
        digest: `digest` at that position; empty when there is nothing to compare with.
        open_file: opens one file from its beginning.
    """

    def __init__(
        self, source: SourceSpec, position: Position, digest: str, open_file: Callable[[SourceSpec], Reader]
    ) -> None:
        self._source = source
        self._passed = position.records
        self._expected = digest
        self._open_file = open_file
        self._opened: Reader | None = None
        self._read_files: list[str] = []
        self._reading = source.name
        self._hash = hashlib.blake2b(digest_size=16)
        self._seen: set[bytes] = set()
        self.skipped: dict[str, int] = {}
        """Records that were left out so far, by the option that did it."""
        is_table = any(part.format[:3] in ("csv", "tsv", "txt") for part in source.parts)
        self._where = None if source.where is None else Where(source.where, is_table and not source.csv_types)
        self.unseen = set(self._asked())
        """Options that name a field which no record has had so far, with that field: mistyped, most likely."""
        self._shard = Shard.of(source.shard)
        self._records = self._read()

    def __iter__(self) -> Iterator[Record | None]:
        """The records that become items; None says that many were left out since the last."""
        return self._records

    def digest(self) -> str:
        """Hash over the items that were yielded or passed over."""
        return self._hash.hexdigest()

    def whole(self) -> str | None:
        """Of a shard: hash over all that was read of the files, whichever shard has it; None of all of an input.

        The files' readers make it anyway, so that it costs nothing, however many shards there are.
        """
        if self._shard.is_whole:
            return None
        digests = [*self._read_files, *([self._opened.digest()] if self._opened else [])]
        return hashlib.blake2b(" ".join(digests).encode(), digest_size=16).hexdigest()

    def close(self) -> None:
        """Nothing more is read; standard input stays open, since a thread of its own may still wait for it."""
        if self._source.is_stdin:
            return
        self._records.close()
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def check_first(self) -> None:
        """Raise `InputError` when a file cannot be read, its first record cannot, or has no such column."""
        for part in reversed(self._source.parts):  # the first one stays open: standard input is read once
            if self._opened is not None:
                self._opened.close()
            self._opened = self._open_file(part)
            self._opened.check_first()
            self._check_fields(self._opened.columns, part.name)

    def _check_fields(self, columns: Sequence[str] | None, name: str) -> None:
        if columns is None:
            return
        for option, field in self._asked():
            if field not in columns and top(field) not in columns:
                raise ConfigError(option, field, f"a column of {name} ({', '.join(columns)})")

    def _asked(self) -> list[tuple[str, str]]:
        """Each option that names a field, and the field."""
        source = self._source
        asked = [("--where", field) for field in sorted(self._where.fields if self._where else ())]
        asked += [
            (option, field) for option, field in (("--id-field", source.id_field), ("--unique", source.unique)) if field
        ]
        return asked + [("--select", field) for field in source.select]

    def _see(self, value: Any) -> None:
        self.unseen -= {(option, field) for option, field in self.unseen if look_up(value, field) is not ABSENT}

    def _read(self) -> Generator[Record | None, None, None]:
        # A generator: closing it closes the file that it is in.
        source = self._source
        records = self._drawn(self._taken()) if source.sample is not None or source.shuffle else self._taken()
        passed = seq = 0
        for record in self._own(self._first(records)):
            if record is None:
                yield None
                continue
            item = self._shaped(record)
            seq += 1
            if item.item_id is None and not self._shard.is_whole:
                item = item._replace(item_id=f"item-{self._shard.place(seq)}")
            self._hash.update(item.payload.encode("utf-8", "surrogatepass") + b"\n")
            if passed < self._passed:
                passed += 1
                if passed == self._passed:
                    self._compare()
            else:
                yield item
        if passed < self._passed:
            raise changed(source.name)

    def _first(self, records: Iterator[Record | None]) -> Iterator[Record | None]:
        """So many of them as are to be read."""
        left = self._source.limit
        if left is None:
            yield from records
        elif left:
            for record in records:
                yield record
                left -= record is not None
                if not left:
                    return

    def _own(self, records: Iterator[Record | None]) -> Iterator[Record | None]:
        """Those of this shard."""
        shard = self._shard
        if shard.is_whole:
            yield from records
            return
        place = 0
        for record in records:
            if record is None:
                yield None
                continue
            place += 1
            if shard.holds(place):
                yield record
                continue
            self.skipped["shard"] = others = self.skipped.get("shard", 0) + 1
            if others % REST == 0:
                yield None

    def _compare(self) -> None:
        if self._expected and self.digest() != self._expected:
            raise changed(self._source.name)

    def _taken(self) -> Iterator[Record | None]:
        """Records of all files that nothing leaves out; what cannot be read is an item that fails."""
        skip, quiet = self._source.skip, 0
        for record in self._of_all_files():
            try:
                reason = self._left_out_by(record)
            except RecursionError as error:
                record, reason = self._refused(record, told(error)[1]), ""
            if not reason and skip:
                skip -= 1
                reason = "skip"
            if not reason:
                quiet = 0
                yield record
                continue
            self.skipped[reason] = self.skipped.get(reason, 0) + 1
            quiet += 1
            if quiet % REST == 0:
                yield None

    def _left_out_by(self, record: Record) -> str:
        """Which option leaves a record out for what it holds; empty for none."""
        where, unique = self._where, self._source.unique
        if record.error is not None or (where is None and unique is None):
            return ""
        value = json.loads(record.payload)
        if self.unseen:
            self._see(value)
        if where is not None and not where(value):
            return "where"
        return "unique" if unique is not None and self._is_repeated(look_up(value, unique)) else ""

    def _of_all_files(self) -> Iterator[Record]:
        for part in self._source.parts:
            reader = self._opened or self._open_file(part)
            self._opened = reader
            self._reading = part.name
            yield from reader
            self._read_files.append(reader.digest())
            reader.close()
            self._opened = None

    def _is_repeated(self, value: Any) -> bool:
        if value is ABSENT or value is None or value == "":
            return False  # nothing is no value that two records could share
        key = hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).digest()
        if key in self._seen:
            return True
        self._seen.add(key)
        return False

    def _drawn(self, records: Iterator[Record | None]) -> Iterator[Record | None]:
        """A random part of all records, or all in a random order; the same for the same seed."""
        size = self._source.sample
        # Only `random()` is promised to give the same numbers in every Python.
        draw = random.Random(self._source.seed).random
        kept: list[tuple[int, Record]] = []
        number = 0
        for record in records:
            if record is None:
                yield None
                continue
            if size is None or number < size:
                kept.append((number, record))
            elif (place := int(draw() * (number + 1))) < size:
                kept[place] = (number, record)
            number += 1
            if number % REST == 0:
                yield None
        if number > len(kept):
            self.skipped["sample"] = number - len(kept)
        kept.sort(key=lambda each: each[0])
        if self._source.shuffle:
            for last in range(len(kept) - 1, 0, -1):
                other = int(draw() * (last + 1))
                kept[last], kept[other] = kept[other], kept[last]
        for _, record in kept:
            yield record

    def _shaped(self, record: Record) -> Record:
        source = self._source
        if record.error is not None or not (source.id_field or source.select):
            return record
        try:
            value = json.loads(record.payload)
            if self.unseen:
                self._see(value)
            if source.select:
                record = record._replace(payload=json_text(choose(value, source.select)))
        except (ValueError, RecursionError) as error:  # 1e999, which Python takes for infinity
            return self._refused(record, told(error)[1])
        if source.id_field is None:
            return record
        found = look_up(value, source.id_field)
        return record._replace(item_id=item_id_in(None if found is ABSENT else found))

    def _refused(self, record: Record, reason: str) -> Record:
        drawn = self._source.sample is not None or self._source.shuffle
        name = self._source.name if drawn else self._reading
        return record._replace(error=str(InputError(name, reason, record.line)))
