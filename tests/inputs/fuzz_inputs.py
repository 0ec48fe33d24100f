"""Reads random and mutated files of every format: each gives records or an InputError, and loses none.

    seed ─▶ a file, and options of `start` ─▶ open_reader ─▶ what was wrong with what it gave

`scripts/fuzz-inputs` runs many; the number of a trial that fails is printed, and `--seed N --trials 1` replays it.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import json
import random
import signal
import sys
import tempfile
import time
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchq.errors import UsageError
from batchq.inputs import FORMATS, describe, open_reader
from batchq.model import Position, Record
from batchq.spec import SourceSpec

TRIAL_SECONDS = 20
BINARY = ("parquet", "arrow")
PIECES = [
    *(b'"', b",", b";", b"\n", b"\r", b"\t", b"[", b"]", b"{", b"}", b":", b"\\", b"1.", b"e5", b"NaN", b"null"),
    *(b'{"id": 1}', b"\\u", b"\\ud800", b"\xef\xbb\xbf", b"\xe9", b"\0", b"\xff\xfe", b"\x1f\x8b", b"BZh9", b"PAR1"),
    *(b"id,v\n", b'"a\nb"', b"[" * 2000, b"9" * 5000, b"\x28\xb5\x2f\xfd"),
]


class Broken(AssertionError):
    """A reader did what it must not."""


def value(rng: random.Random, depth: int = 0) -> Any:
    """A JSON value."""
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind < 2:
        return "".join(rng.choice('aé"\\,\n\r\t {}[]\U0001f600\u2028') for _ in range(rng.randrange(8)))
    if kind == 2:
        return rng.randrange(-(10 ** rng.randrange(1, 25)), 10**20)
    if kind == 3:
        return rng.choice([None, True, False, 1.5, -1e-9, 1e300])
    if kind < 6:
        return rng.randrange(10)
    if kind == 6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice("abcdef"): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def values_for(rng: random.Random, kind: str) -> list[Any]:
    """Items that a file of that format can hold."""
    count = rng.randrange(12)
    if kind in ("jsonl", "json"):
        return [value(rng) for _ in range(count)]
    if kind == "txt":
        return ["".join(rng.choice("aé,\t ;") for _ in range(rng.randrange(6))) + "x" for _ in range(count)]
    text = 'aé",;\t\n\r |'
    rows = [{"id": str(n), "v": "".join(rng.choice(text) for _ in range(rng.randrange(9)))} for n in range(count)]
    return [{**row, "n": n * 1.5} for n, row in enumerate(rows)] if kind in BINARY else rows


def written(rng: random.Random, kind: str, items: list[Any]) -> bytes:
    """The file that holds `items`."""
    if kind == "jsonl":
        return "".join(json.dumps(i, ensure_ascii=rng.random() < 0.5) + "\n" for i in items).encode()
    if kind == "json":
        return json.dumps(items, indent=rng.choice([None, 1])).encode()
    if kind == "txt":
        return "".join(f"{item}\n" for item in items).encode()
    if kind in BINARY:
        return _columnar(kind, items)
    import csv

    delimiter = "\t" if kind == "tsv" else rng.choice(",;\t|")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["id", "v"], delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writeheader()
    writer.writerows(items)
    return text.getvalue().encode()


def _columnar(kind: str, items: list[Any]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("id", pa.string()), ("v", pa.string()), ("n", pa.float64())])
    table = pa.Table.from_pylist(items, schema)
    sink = pa.BufferOutputStream()
    if kind == "parquet":
        parquet.write_table(table, sink, row_group_size=5)
    else:
        with pa.ipc.new_file(sink, schema) as writer:
            writer.write_table(table, max_chunksize=5)
    return bytes(sink.getvalue())


def mutated(rng: random.Random, content: bytes) -> bytes:
    """`content` with a few flaws."""
    data = bytearray(content)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data) + 1)
        how = rng.randrange(5)
        if how == 0:
            del data[at:]
        elif how == 1:
            del data[at : at + rng.randrange(1, 20)]
        elif how == 2:
            data[at:at] = rng.choice(PIECES)
        elif how == 3 and data:
            data[at % len(data)] = rng.randrange(256)
        else:
            data[at:at] = bytes(data[rng.randrange(len(data) + 1) :][: rng.randrange(40)])
    return bytes(data)


def packed(compression: str, content: bytes) -> bytes:
    """`content`, compressed."""
    if compression == "zst":
        import zstandard

        return zstandard.ZstdCompressor().compress(content)
    return {"gz": gzip.compress, "bz2": bz2.compress}[compression](content) if compression else content


def trial(seed: int, folder: Path) -> str:
    """One file; how it ended, in a word. Raises `Broken`, or whatever a reader must not raise."""
    rng = random.Random(seed)
    kind = rng.choice(FORMATS)
    compression = "" if kind in BINARY else rng.choice(["", "", "gz", "bz2", "zst"])
    items = values_for(rng, kind)
    way = rng.choice(["whole", "mutated", "mutated", "mutated", "random"])
    content = written(rng, kind, items)
    if way == "random":
        content = b"".join(rng.choice(PIECES) for _ in range(rng.randrange(30)))
        content += bytes(rng.randrange(256) for _ in range(rng.randrange(30)))
    flawed_inside = way == "mutated" and rng.random() < 0.6
    content = mutated(rng, content) if flawed_inside else content
    stored = packed(compression, content)
    if way == "mutated" and not flawed_inside:
        stored = mutated(rng, stored)
    path = folder / f"input.{kind}{'.' + compression if compression else ''}"
    path.write_bytes(stored)
    source = describe(str(path))
    try:
        records = read_all(source)
    except UsageError as error:
        if "\n" in str(error):
            raise Broken(f"an error of several lines: {error}") from error
        if way == "whole" and items:
            raise Broken(f"a good file is refused: {error}") from error
        return "refused at once"
    if way == "whole" and [json.loads(record.payload) for record in records] != items:
        raise Broken("other items came back")
    _check_none_lost(kind, compression, stored, records, getattr(records, "broke", None))
    _check_reading_on(rng, source, records)
    _check_choice(rng, source, records)
    if records.broke is not None:
        return "broken off, in words"
    return "with bad records" if any(record.error for record in records) else "read whole"


class Read(list[Record]):
    """Records, the digest behind each, and why they broke off."""

    broke: UsageError | None = None

    def __init__(self) -> None:
        super().__init__()
        self.digests: list[str] = []


def read_all(source: SourceSpec, position: Position = Position(), digest: str = "") -> Read:  # noqa: B008
    """All records of an input; raises only what opening it raises."""
    reader = open_reader(source, position, digest)
    found = Read()
    try:
        for record in reader:
            if record is not None:
                json.loads(record.payload, parse_constant=_no_json)
                record.payload.encode()
                found.append(record)
                found.digests.append(reader.digest())
    except UsageError as error:
        found.broke = error
    finally:
        reader.close()
    return found


def _no_json(name: str) -> Any:
    raise Broken(f"{name} in a payload")


def _check_none_lost(kind: str, compression: str, stored: bytes, records: Read, broke: UsageError | None) -> None:
    """Each line that is not blank is a record, up to where the file broke off."""
    if kind not in ("jsonl", "txt") or compression not in ("", "gz"):
        return
    content = _unzipped(stored) if compression else stored
    lines = content.split(b"\n")
    if broke is not None:
        lines.pop()  # it may go on behind the flaw
    lines = [lines[0].removeprefix(b"\xef\xbb\xbf"), *lines[1:]] if lines else []
    blank = b" \t\r\n" if kind == "jsonl" else None
    wanted = sum(bool(_text(line).strip(blank.decode() if blank else None)) for line in lines)
    if len(records) != wanted:
        raise Broken(f"{wanted} lines, but {len(records)} records")


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")


def _unzipped(stored: bytes) -> bytes:
    """All that comes before a flaw, byte by byte."""
    found = bytearray()
    rest = stored
    while rest:
        unpacker = zlib.decompressobj(wbits=31)
        try:
            for at in range(len(rest)):
                found += unpacker.decompress(rest[at : at + 1])
                if unpacker.eof:
                    rest = rest[at + 1 :].lstrip(b"\0")
                    break
            else:
                break
        except zlib.error:
            break
    return bytes(found)


def _check_reading_on(rng: random.Random, source: SourceSpec, records: Read) -> None:
    if not records:
        return
    count = rng.randrange(len(records)) + 1
    last = records[count - 1]
    rest = read_all(source, Position(last.position, last.next_line, count), records.digests[count - 1])
    if list(rest) != records[count:] or (rest.broke is None) != (records.broke is None):
        raise Broken(f"reading on behind record {count} gives something else")


def _check_choice(rng: random.Random, source: SourceSpec, records: Read) -> None:
    chosen = replace(
        source,
        where=rng.choice([None, "a == 1 or v in ('a', null)", "not id"]),
        unique=rng.choice([None, "a", "v.b"]),
        skip=rng.randrange(3),
        sample=rng.choice([None, 3]),
        shuffle=rng.random() < 0.3,
        select=rng.choice([(), ("a", "id")]),
        max_item_size=rng.choice([None, 10, 100]),
        csv_types=rng.random() < 0.3,
        seed=7,
    )
    reader = open_reader(chosen)
    found = []
    broke = None
    try:
        found = [record for record in reader if record is not None]
    except UsageError as error:
        broke = error
    finally:
        reader.close()
    # Of a broken array or table more can be read where its largest element is passed over unread.
    same = chosen.max_item_size is None or source.format.startswith(("jsonl", "txt", *BINARY))
    if same and broke is None and records.broke is None and len(found) + sum(reader.skipped.values()) != len(records):
        raise Broken(f"{len(records)} records, {len(found)} of them chosen, left out {dict(reader.skipped)}")
    for record in found:
        json.loads(record.payload, parse_constant=_no_json)


def _too_slow(*_: object) -> None:
    raise Broken(f"took longer than {TRIAL_SECONDS} s")


def main() -> int:
    """Run trials; the exit code is 1 where one was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="how many files (1000)")
    parser.add_argument("--seed", type=int, default=1, help="number of the first trial (1)")
    asked = parser.parse_args()
    signal.signal(signal.SIGALRM, _too_slow)
    ends: Counter[str] = Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="batchq-fuzz-") as folder:
        for seed in range(asked.seed, asked.seed + asked.trials):
            signal.alarm(TRIAL_SECONDS)
            try:
                ends[trial(seed, Path(folder))] += 1
            except Exception as error:
                ends["BROKEN"] += 1
                print(f"trial {seed}: {type(error).__name__}: {error}", file=sys.stderr)
            signal.alarm(0)
    figures = ", ".join(f"{count:,} {end}" for end, count in ends.most_common())
    print(f"{time.monotonic() - began:.0f} s  {asked.trials:,} files: {figures}")
    return 1 if ends["BROKEN"] else 0


if __name__ == "__main__":
    sys.exit(main())
